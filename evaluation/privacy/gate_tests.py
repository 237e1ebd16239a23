"""The privacy family of an evaluation: nearest-record and copy statistics, and the tests of the privacy gate."""

from __future__ import annotations

from dataclasses import replace

from ..config import EvaluationConfig
from ..features import Frames
from ..metric import Findings
from .closest_records import judge_nearest_records
from .identifiers import judge_identifiers
from .inference import inference_test
from .membership import membership_test
from .nearest_records import measure_searched, search
from .outliers import judge_outliers
from .repeated_records import judge_copies
from .together import Together
from .value_support import judge_value_support


def measure_records(frames: Frames, config: EvaluationConfig, *, seed: int) -> Findings:
    """Measure how near the synthetic rows come to train rows, and judge the record-level tests of the privacy gate.

    Each test decides by its own statistics and prints what it could have seen with the rows at hand. Where releases
    were published before, each but that of identifiers judges this release and all of them together.

    Raises:
        ConfigError: a declared quasi-identifier is no column of the table.

    Example:
        >>> import numpy as np
        >>> import pyarrow as pa
        >>> from evaluation.features import frames_of
        >>> from evaluation.tables import Tables
        >>> from pipeline.columns import Continuous
        >>> from pipeline.schema import Schema
        >>> train, holdout = (pa.table({"x": np.random.default_rng(i).normal(size=600)}) for i in range(2))
        >>> schema = Schema(columns=(Continuous(name="x", arrow="double"),))
        >>> copied = measure_records(frames_of(Tables(schema, train, holdout, train)), EvaluationConfig(), seed=0)
        >>> [(test.name, test.verdict) for test in copied.tests][:2]
        [('g0_identifiers', 'NOT APPLICABLE'), ('g1_copies', 'FAIL')]

    """
    searched = search(frames, config, seed=seed)
    copies, values = judge_copies(frames, config), judge_value_support(frames)
    nearest = judge_nearest_records(frames, config, seed=seed, searched=searched)
    outliers = judge_outliers(frames, seed=seed)
    if (all_of := Together.of(frames, config, seed=seed)) is not None:
        every, some = all_of.every, all_of.searched
        copies = all_of.judged(copies, judge_copies(every, config), exact=True)
        values = all_of.judged(values, judge_value_support(every), exact=True)
        nearest = all_of.judged(nearest, judge_nearest_records(some, config, seed=seed))
        outliers = all_of.judged(outliers, judge_outliers(every, seed=seed, near=some.synthetic))
    tests = (judge_identifiers(frames), copies, values, nearest, outliers)
    return replace(measure_searched(frames, searched, config, seed=seed), tests=tests)


def measure_membership(frames: Frames, config: EvaluationConfig, *, seed: int) -> Findings:
    """Attack the synthetic table to learn which rows were in train; the numbers are those of this release."""
    test, numbers = membership_test(frames, config, seed=seed)
    if (all_of := Together.of(frames, config, seed=seed)) is not None:
        test = all_of.judged(test, membership_test(all_of.searched, config, seed=seed)[0])
    return Findings(numbers, tests=(test,))


def measure_inference(frames: Frames, config: EvaluationConfig, *, seed: int) -> Findings:
    """Attack the synthetic table to learn cells of train rows, to single them out, and to link their parts."""
    test, numbers = inference_test(frames, config, seed=seed)
    if (all_of := Together.of(frames, config, seed=seed)) is not None:
        test = all_of.judged(test, inference_test(all_of.searched, config, seed=seed)[0])
    return Findings(numbers, tests=(test,))
