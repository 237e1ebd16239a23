"""A comparison as a page: one table, the winner, the rule, and each family's name leads to its report."""

from __future__ import annotations

from jinja2 import Environment, StrictUndefined

from evaluation.wording import visible

from .table_of_families import Comparison, cells

TEMPLATE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width">
<title>{{ comparison.name }}: families compared</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 110rem; padding: 0 1rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { border-bottom: 1px solid #bbb; padding: .3rem .7rem; text-align: left; white-space: nowrap; }
td:nth-child(3) { white-space: normal; }
.winner, dt { font-weight: bold; }
</style>
</head>
<body>
<h1>{{ comparison.name }}: families compared</h1>
<p>{{ "{:,}".format(comparison.n_train) }} train rows, {{ "{:,}".format(comparison.n_holdout) }} holdout rows,
at most {{ "{:g}".format(comparison.budget_s) }} s of training each, {{ comparison.date }}, seed {{ comparison.seed }}.
Nothing was published; earlier releases were not looked at.</p>
<p><strong>{{ "" if comparison.winner else "No winner. " }}{{ comparison.reason }}</strong></p>
<div class="wide"><table>
<thead><tr>{% for heading in headings %}<th scope="col">{{ heading }}</th>{% endfor %}</tr></thead>
<tbody>
{% for row in comparison.rows %}
<tr{% if row.kind == comparison.winner %} class="winner"{% endif %}>
{%- for cell in cells(row).values() -%}
<td>{% if loop.first and row.report %}<a href="{{ row.report }}">{{ cell }}</a>{% else %}{{ cell }}{% endif %}</td>
{%- endfor -%}
</tr>
{% endfor %}
</tbody>
</table></div>
<h2>For which purpose which family</h2>
<dl>
{% for advice in comparison.advice %}
<dt>{{ advice.purpose }}</dt><dd>{{ advice.words }}</dd>
{% endfor %}
</dl>
<p>Each family was fitted once: the intervals behind these words hold the chance of the rows, and not that of the
seed.</p>
{% for row in comparison.rows if row.reasons %}
<h2>{{ row.kind }}: {{ row.verdict }}</h2>
<ul>{% for reason in row.reasons %}<li>{{ reason }}</li>{% endfor %}</ul>
{% endfor %}
<h2>The rule</h2>
<p>{{ comparison.rule }}</p>
</body>
</html>
"""


def page(comparison: Comparison) -> str:
    """Return the page; every text is escaped, and characters that would steer the screen are spelled out."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, finalize=_spelled_out)
    headings = list(cells(comparison.rows[0]))
    return environment.from_string(TEMPLATE).render(comparison=comparison, headings=headings, cells=cells)


def _spelled_out(value: object) -> object:
    return visible(value) if type(value) is str else value
