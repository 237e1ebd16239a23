"""Rebuild patients.parquet from the table `nhefs` of the package causaldata; examples/README.md says what it holds.

`python examples/make_patients.py [FOLDER]`, where FOLDER holds nhefs.dta; without it, that of the installed package is
read. Nothing is random: columns are chosen, named and typed, codes become words, and weights have two decimals.
"""

import sys
from importlib.util import find_spec
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

SEX = {"0": "male", "1": "female"}
MARITAL = {2: "married", 3: "widowed", 4: "never married", 5: "divorced", 6: "separated"}
EDUCATION = {"1": "8th grade or less", "2": "some high school", "3": "high school", "4": "some college", "5": "college"}
EXERCISE = {"0": "much", "1": "moderate", "2": "little or none"}
SCHEMA = pa.schema(
    [
        pa.field("sex", pa.string(), nullable=False),
        pa.field("age", pa.int64(), nullable=False),
        pa.field("marital", pa.string()),
        pa.field("school_years", pa.int64(), nullable=False),
        pa.field("education", pa.string(), nullable=False),
        pa.field("exercise", pa.string(), nullable=False),
        pa.field("height", pa.float64(), nullable=False),
        pa.field("weight_1971", pa.float64(), nullable=False),
        pa.field("weight_1982", pa.float64()),
        pa.field("weight_change", pa.float64()),
        pa.field("smoke_years", pa.int64(), nullable=False),
        pa.field("cigarettes", pa.int64(), nullable=False),
        pa.field("quit", pa.bool_(), nullable=False),
        pa.field("asthma", pa.bool_(), nullable=False),
        pa.field("cholesterol", pa.int64()),
        pa.field("systolic", pa.int64()),
        pa.field("diastolic", pa.int64()),
        pa.field("pregnancies", pa.int64()),
        pa.field("died", pa.bool_(), nullable=False),
        pa.field("year_of_death", pa.int64()),
    ]
)


def published_folder() -> Path:
    """Return the folder of the installed package that holds the table, without importing the package."""
    spec = find_spec("causaldata")
    if spec is None or spec.origin is None:
        sys.exit(
            "causaldata is not installed: pip install --no-deps causaldata==0.1.5, or give the folder of nhefs.dta"
        )
    return Path(spec.origin).parent / "nhefs"


def patients(folder: Path) -> pa.Table:
    """Return one row per person: examined in 1971, visited again in 1982, followed until 1992."""
    found = pd.read_stata(folder / "nhefs.dta")
    before, after = found["wt71"].round(2), found["wt82"].round(2)
    whole = found[["age", "school", "smokeyrs", "smokeintensity", "cholesterol", "sbp", "dbp", "pregnancies"]]
    whole = whole.astype("Int64")
    table = pd.DataFrame(
        {
            "sex": found["sex"].astype(str).map(SEX),
            "age": whole["age"],
            "marital": found["marital"].map(MARITAL),
            "school_years": whole["school"],
            "education": found["education"].astype(str).map(EDUCATION),
            "exercise": found["exercise"].astype(str).map(EXERCISE),
            "height": found["ht"].round(1),
            "weight_1971": before,
            "weight_1982": after,
            "weight_change": (after - before).round(2),
            "smoke_years": whole["smokeyrs"],
            "cigarettes": whole["smokeintensity"],
            "quit": found["qsmk"] == 1,
            "asthma": found["asthma"] == 1,
            "cholesterol": whole["cholesterol"],
            "systolic": whole["sbp"],
            "diastolic": whole["dbp"],
            "pregnancies": whole["pregnancies"],
            "died": found["death"] == 1,
            "year_of_death": found["yrdth"].astype("Int64") + 1900,
        }
    )
    return pa.Table.from_pandas(table, schema=SCHEMA, preserve_index=False).replace_schema_metadata(None)


def main() -> None:
    """Write patients.parquet beside this file."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else published_folder()
    pq.write_table(patients(folder), Path(__file__).with_name("patients.parquet"), compression="zstd")


if __name__ == "__main__":
    main()
