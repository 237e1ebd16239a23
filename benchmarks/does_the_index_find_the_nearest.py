"""Does the index of `evaluation.privacy.index` find the nearest records, and what does it save?

    TABMINT_DATA=FOLDER python benchmarks/does_the_index_find_the_nearest.py --tables kdd99_10pct adult --rows 100000

cuts `--rows` rows of each table (or a third of it) twice, as references and as queries, drops repeated rows, and
searches the two nearest references of each query by the mixed distance: exactly, and by the index. Printed are the
share of queries whose nearest distance is the same, the mean excess of the others, and the time of both.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import numpy as np

from evaluation import Tables
from evaluation.features import frames_of
from evaluation.privacy.copies import row_keys
from evaluation.privacy.index import Index
from evaluation.privacy.neighbours import nearest
from evaluation.privacy.space import Space
from pipeline.inference import infer
from pipeline.seeds import numpy_rng
from pipeline.source import read

TABLES = ("adult", "default", "news_39000", "kdd99_10pct")


def main() -> None:
    """Search both ways and print a line for each table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", nargs="+", default=list(TABLES))
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=2_000)
    arguments = parser.parse_args()
    print("| table | references | queries | same distance | mean excess | exact, s | index, s | of which built |")
    print("|---|---|---|---|---|---|---|---|")
    for name in arguments.tables:
        rng = numpy_rng(0, "index", name)
        whole = read(Path(os.environ["TABMINT_DATA"]) / f"{name}.csv.gz").table
        n_rows = min(arguments.rows, whole.num_rows // 3)
        parts = [whole.take(rows) for rows in rng.permutation(whole.num_rows)[: 3 * n_rows].reshape(3, n_rows)]
        frames = frames_of(Tables(infer(whole), *parts))
        distinct = {role: np.unique(keys, return_index=True)[1] for role, keys in row_keys(frames).items()}
        space = Space(frames.train.join(frames.holdout))
        references = space.place(frames.train.take(distinct["train"]))
        queries = space.place(frames.synthetic.take(rng.permutation(distinct["synthetic"])[: arguments.queries]))
        began = time.perf_counter()
        exact = nearest(space, queries, references)
        searched = time.perf_counter()
        index = Index(space, references)
        built = time.perf_counter()
        found = index.nearest(queries)
        ended = time.perf_counter()
        excess = found.first - exact.first
        times = f"{searched - began:.1f} | {ended - searched:.1f} | {built - searched:.1f}"
        shares = f"{np.mean(excess <= 1e-6):.1%} | {excess.mean():.5f}"
        print(f"| {name} | {len(references):,} | {len(queries):,} | {shares} | {times} |", flush=True)


if __name__ == "__main__":
    main()
