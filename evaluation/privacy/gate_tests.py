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
from .value_support import judge_value_support


def measure_records(frames: Frames, config: EvaluationConfig, *, seed: int) -> Findings:
    """Measure how near the synthetic rows come to train rows, and judge the record-level tests of the privacy gate.

    Each test decides by its own statistics and prints what it could have seen with the rows at hand.

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
    tests = (
        judge_identifiers(frames),
        judge_copies(frames, config),
        judge_value_support(frames),
        judge_nearest_records(frames, config, seed=seed, searched=searched),
        judge_outliers(frames, seed=seed),
    )
    return replace(measure_searched(frames, searched, config, seed=seed), tests=tests)


def measure_membership(frames: Frames, config: EvaluationConfig, *, seed: int) -> Findings:
    """Attack the synthetic table to learn which rows were in train."""
    test, numbers = membership_test(frames, config, seed=seed)
    return Findings(numbers, tests=(test,))


def measure_inference(frames: Frames, config: EvaluationConfig, *, seed: int) -> Findings:
    """Attack the synthetic table to learn cells of train rows, to single them out, and to link their parts."""
    test, numbers = inference_test(frames, config, seed=seed)
    return Findings(numbers, tests=(test,))
