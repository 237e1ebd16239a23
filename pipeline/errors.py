"""Every error that tabmint raises on purpose.

```
TabmintError
├── InputError              the caller can mend it; the command line exits with 2
│   ├── ConfigError         a setting is wrong or missing
│   ├── SourceError         records cannot be read
│   ├── SchemaError         a schema is malformed, or a table does not fit it
│   ├── DataError           a table cannot be learned from, or a value cannot be encoded
│   ├── DriftError          the source differs from that of the last accepted release in a way that is refused
│   ├── PreflightError      a job would fail, or run out of memory or disk
│   ├── ArtifactError       a model or release folder is missing, damaged or of another version
│   └── UnsupportedError    this generator cannot do what was asked, by its nature
├── NotFittedError          a generator was used before `fit` or `load`
├── TrainingError           training failed and nothing usable is left
├── PublishError            a release could not be written; the last good one stays
│   └── DeliveryError       a release could not be written to a sink; what was there stays
└── RefusedError            a gate failed; the command line exits with 3
```
"""

from __future__ import annotations


class TabmintError(Exception):
    """The root of the tree: a message made of the rule, the actual value and the remedy.

    Example:
        >>> str(TabmintError("a table needs rows", actual="0 rows", remedy="check the query"))
        'a table needs rows; found 0 rows; check the query'
    """

    def __init__(self, rule: str, *, actual: str = "", remedy: str = "") -> None:
        self.rule, self.actual, self.remedy = rule, actual, remedy
        parts = (rule, f"found {actual}" if actual else "", remedy)
        super().__init__("; ".join(part for part in parts if part))


class InputError(TabmintError):
    """Something the caller gave is wrong, and the message says how to mend it."""


class ConfigError(InputError):
    """A setting is wrong or missing."""


class SourceError(InputError):
    """Records cannot be read."""


class SchemaError(InputError):
    """A schema is malformed, or a table does not fit it."""


class DataError(InputError):
    """A table cannot be learned from, or a value cannot be encoded."""


class DriftError(InputError):
    """The source differs from that of the last accepted release in a way that is refused."""


class PreflightError(InputError):
    """A job would fail, or run out of memory or disk."""


class ArtifactError(InputError):
    """A model or release folder is missing, damaged or of another version."""


class UnsupportedError(InputError):
    """The generator cannot do what was asked, by its nature."""


class NotFittedError(TabmintError):
    """A generator was used before `fit` or `load`."""


class TrainingError(TabmintError):
    """Training failed and nothing usable is left."""


class PublishError(TabmintError):
    """A release could not be written; the last good one stays in place."""


class DeliveryError(PublishError):
    """A published release could not be written to a sink; what the sink held stays, and delivering again is safe."""


class RefusedError(TabmintError):
    """A gate failed; nothing was published."""
