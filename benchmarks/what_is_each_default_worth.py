"""What is each default worth, on rows that no bar is judged on?

    TABMINT_DATA=FOLDER python benchmarks/what_is_each_default_worth.py --kinds flow_matching --seeds 0 1 2

fits each family as it comes and with one setting changed, one member and no budget, and judges every fit as
`how_close_to_real.py --choose` does: on the last quarter of train, which nothing was learned from. It prints a Markdown
row for each setting: the mean over the seeds of the detector's AUC, shape and trend error, held-out loss (nats per row;
a detector's AUC for WGAN-GP) and its gap to train's, and how far the AUC and the held-out loss lie from the default's,
with the standard error of the mean difference over the seeds.

There are as many fits at a time as cores, of one thread each; without a budget, load changes their seconds alone.
`--only` names the settings to try, if not all.
"""

from __future__ import annotations

import argparse
import os
from concurrent.futures import ThreadPoolExecutor
from itertools import product

import numpy as np
from how_close_to_real import fit_of, in_fresh_process

from pipeline.cores import n_cores

TOKENS = (
    "transform.max_repeated=0",
    "generator.training.ema_decay=0",
    "generator.training.epochs=7",
    "generator.training.epochs=28",
    "generator.training.learning_rate=0.002",
    "generator.training.learning_rate=0.008",
    "generator.width=64",
    "generator.width=256",
    "generator.depth=1",
    "generator.depth=3",
    "generator.ordered_share=0",
    "generator.ordered_share=1",
)
CHANGES: dict[str, tuple[str, ...]] = {
    "flow_matching": (
        *TOKENS,
        "generator.value_times=logit_normal",
        "generator.value_solver=euler",
        "generator.value_steps=16",
    ),
    "ddpm": (
        "generator.time_sampling=learned",
        "generator.schedule=cosine",
        "generator.prediction=data",
        "generator.prediction=v",
        "generator.sampler_steps=4",
        "generator.sampler_steps=32",
    ),
    "vae": (
        "transform.max_repeated=0",
        "generator.training.ema_decay=0",
        "generator.training.learning_rate=0.002",
        "generator.prior=normal",
        "generator.beta=0.5",
        "generator.free_bits=0",
        "generator.annealed_share=0",
        "generator.latent_size=8",
        "generator.latent_size=32",
        "generator.decoder_depth=2",
        "generator.ordered_share=0",
    ),
    "wgan_gp": (
        "transform.max_repeated=0",
        "generator.training.ema_decay=0",
        "generator.n_critic=2",
        "generator.pack=2",
        "generator.penalty=one_sided",
        "generator.penalty=spectral_r1",
        "generator.penalty_weight=10",
        "generator.final_temperature=0.2",
        "generator.width=256",
        "generator.critic_depth=2",
    ),
}
JUDGES = ("marginals", "pairs", "detection")
HEADINGS = (
    "family",
    "table",
    "setting",
    "C2ST AUC",
    "against the default",
    "shape %",
    "trend %",
    "held-out loss",
    "against the default",
    "held-out less train",
    "steps",
    "fit s",
)
Figures = dict[str, float | str]


def fitted(kind: str, table: str, setting: str, seed: int) -> Figures:
    """Fit once with a setting changed, or with none, and return the figures."""
    settings = ["generator.members=1", *([setting] if setting else [])]
    return in_fresh_process(
        fit_of(kind, table, budget=None, settings=settings, choose=True, families=JUDGES), seed, True
    )


def shown(kind: str, table: str, setting: str, rows: list[Figures], default: list[Figures]) -> str:
    """Return the Markdown row of one setting."""
    value = {key: np.array([float(row[key]) for row in rows]) for key in rows[0] if key != "fingerprint"}
    against = {key: value[key] - [float(row[key]) for row in default] for key in ("c2st_auc", "held_out_loss")}
    gap = value["held_out_loss"] - value["train_loss"]
    cells = [
        kind,
        table,
        f"`{setting}`" if setting else "as it comes",
        f"{value['c2st_auc'].mean():.3f}",
        _difference(against["c2st_auc"], 3) if setting else "",
        f"{100 * value['shape_error'].mean():.2f}",
        f"{100 * value['trend_error'].mean():.2f}",
        f"{value['held_out_loss'].mean():.3f}",
        _difference(against["held_out_loss"], 3) if setting else "",
        f"{gap.mean():.2f}",
        f"{value['steps'].mean():.0f}",
        f"{value['fit_s'].mean():.0f}",
    ]
    return f"| {' | '.join(cells)} |"


def _difference(differences: np.ndarray, digits: int) -> str:
    """Return the mean difference and its standard error over the seeds."""
    error = f" ± {differences.std(ddof=1) / np.sqrt(len(differences)):.{digits}f}" if len(differences) > 1 else ""
    return f"{differences.mean():+.{digits}f}{error}"


def main() -> None:
    """Fit everything that is asked for, and print a row as soon as a setting is done."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", nargs="+", choices=CHANGES, default=list(CHANGES))
    parser.add_argument("--tables", nargs="+", default=["adult"])
    parser.add_argument("--only", nargs="+", metavar="SETTING=VALUE")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    arguments = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"  # of the fits: there is one for each core
    print(f"| {' | '.join(HEADINGS)} |\n|{'---|' * len(HEADINGS)}")
    with ThreadPoolExecutor(n_cores()) as pool:
        for kind, table in product(arguments.kinds, arguments.tables):
            settings = ("", *(arguments.only or CHANGES[kind]))
            jobs = {
                setting: [pool.submit(fitted, kind, table, setting, seed) for seed in arguments.seeds]
                for setting in settings
            }
            default = [job.result() for job in jobs[""]]
            for setting in settings:
                print(shown(kind, table, setting, [job.result() for job in jobs[setting]], default), flush=True)


if __name__ == "__main__":
    main()
