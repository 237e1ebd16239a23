"""Judge a synthetic table against the rows it was learned from and rows that were set aside.

Example:
    >>> import pyarrow as pa
    >>> from pipeline.inference import infer
    >>> table = pa.table({"age": list(range(100)), "smokes": ["yes", "no", "no", "no"] * 25})
    >>> config = EvaluationConfig(families=("marginals",))
    >>> report = evaluate(Tables(infer(table), table, table, table, None), config, seed=0)
    >>> report.measured("shape_error").value
    0.0
"""

from .config import EvaluationConfig
from .gate import Gate, Gates
from .history import figures, privacy_verdicts
from .measurement import Measured, Measurement, Unmeasured
from .rendering.render import write_report
from .report import EarlierRelease, Report, SinceLast, SourceDrift
from .suite import evaluate
from .tables import Tables

__all__ = [
    "EarlierRelease",
    "EvaluationConfig",
    "Gate",
    "Gates",
    "Measured",
    "Measurement",
    "Report",
    "SinceLast",
    "SourceDrift",
    "Tables",
    "Unmeasured",
    "evaluate",
    "figures",
    "privacy_verdicts",
    "write_report",
]
