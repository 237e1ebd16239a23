"""A table that holds original rows says so, and is neither published, delivered nor judged as synthetic."""

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

from pipeline.delivery import FolderSink, deliver
from pipeline.errors import RefusedError
from pipeline.publish import current, open_output
from pipeline.shareable import holds_original_rows, not_shareable, refuse_original_rows
from pipeline.sink import write_parquet

from .releases import manifest

PLAIN = pa.table({"a": [1, 2]})
MARKED = not_shareable(PLAIN)


def test_the_mark_outlives_a_file_and_keeps_other_metadata(tmp_path):
    table = not_shareable(PLAIN.replace_schema_metadata({"unit": "m"}))
    write_parquet(table, tmp_path / "t.parquet")
    again = pq.read_table(tmp_path / "t.parquet")
    assert holds_original_rows(again.schema) and again.schema.metadata[b"unit"] == b"m" and again.equals(PLAIN)
    assert not holds_original_rows(PLAIN.schema)


@pytest.mark.parametrize("name", ["t.parquet", "part/t.parquet", "t.feather"])
def test_a_marked_file_is_refused_wherever_it_lies(tmp_path, name):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    writes = pyarrow.feather.write_feather if name.endswith("feather") else pq.write_table
    for table, refused in ((PLAIN, False), (MARKED, True)):
        writes(table, str(path))
        for named in (path, f"file://{path}") if name == "t.parquet" else (path,):
            if refused:
                with pytest.raises(RefusedError, match="holds original rows"):
                    refuse_original_rows(named)
            else:
                refuse_original_rows(named)


def test_one_marked_file_of_a_folder_is_enough(tmp_path):
    pq.write_table(PLAIN, tmp_path / "a.parquet")
    pq.write_table(MARKED, tmp_path / "b.parquet")
    with pytest.raises(RefusedError, match=r"b\.parquet"):
        refuse_original_rows(tmp_path)


def test_what_is_no_table_carries_no_mark(tmp_path):
    (tmp_path / "t.parquet").write_bytes(b"PAR1")
    refuse_original_rows(tmp_path / "t.parquet")
    refuse_original_rows(tmp_path / "absent.csv")


def test_a_release_with_a_marked_table_is_not_published(tmp_path):
    with open_output(tmp_path, "flights") as output:
        folder = output.stage("r1")
        write_parquet(MARKED, folder / "synthetic.parquet")
        with pytest.raises(RefusedError, match="holds original rows"):
            output.publish(folder, manifest("r1"))
        assert current(tmp_path, "flights") is None
        write_parquet(PLAIN, folder / "synthetic.parquet")
        output.publish(folder, manifest("r1"))
    assert current(tmp_path, "flights") is not None


def test_a_marked_table_is_not_delivered(tmp_path):
    write_parquet(MARKED, tmp_path / "synthetic.parquet")
    sink = FolderSink(kind="folder", url=str(tmp_path / "out"))
    with pytest.raises(RefusedError, match="holds original rows"):
        deliver(sink, tmp_path, MARKED, manifest("r1"))
    assert not (tmp_path / "out").exists()
