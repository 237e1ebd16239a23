"""Files that are not what their name says: pickles, bombs, and valid tables with some bytes changed."""

import gzip
import io
import json
import pickle
import struct
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq

from pipeline.seeds import numpy_rng


class Touch:
    """Unpickled, it creates a file."""

    def __init__(self, canary):
        self.canary = str(canary)

    def __reduce__(self):
        return open, (self.canary, "w")


def pickles(folder, canary):
    """Write pickles under the names of tables and return their paths."""
    paths = []
    for protocol in (0, 2, 5):
        for suffix in (".csv", ".tsv", ".txt", ".csv.gz", ".parquet", ".pq", ".feather", ".arrow", ".ipc"):
            content = pickle.dumps(Touch(canary), protocol=protocol)
            paths.append(folder / f"pickle{protocol}{suffix}")
            paths[-1].write_bytes(gzip.compress(content) if suffix == ".csv.gz" and protocol else content)
    return paths


def gzip_bomb(path, gigabytes=3):
    """Write a few megabytes that grow to many gigabytes of text."""
    member = gzip.compress(b"0" * 2**26, 1)
    path.write_bytes(gzip.compress(b"a,b\n1,2\n") + member * (16 * gigabytes))
    return path


def zip_bomb(path):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("table.csv", b"a,b\n" + b"1,2\n" * 2**24)
    return path


def rows_bomb(path):
    """Write a small Parquet file of a billion rows: runs of one missing value."""
    part = pa.table({"x": pa.nulls(2**24, pa.int64())})
    with pq.ParquetWriter(path, part.schema) as writer:
        for _ in range(65):
            writer.write_table(part, row_group_size=2**24)
    return path


def level_bomb(path):
    """Write a Parquet file of one long level that every row has: a terabyte of text once it is read."""
    column = pa.DictionaryArray.from_arrays(np.zeros(2**20, np.int32), pa.array(["x" * 2**20]))
    pq.write_table(pa.table({"x": column}), path, store_schema=False)
    return path


def feather_bomb(path):
    pyarrow.feather.write_feather(pa.table({"x": np.zeros(2**24, np.int64)}), path, compression="zstd")
    return path


def weights(header, body=b""):
    """Return a safetensors file with that header: bytes, or what is to be JSON."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


def hostile_weights(canary):
    """Return contents for a weights file, by what is wrong with them."""
    tensor = {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 8]}
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("archive/data.pkl", pickle.dumps(Touch(canary)))
    return {
        "pickle": pickle.dumps(Touch(canary)),
        "torch archive": archive.getvalue(),
        "empty": b"",
        "oversize header": struct.pack("<Q", 2**62) + b"{}",
        "header beyond the file": struct.pack("<Q", 10**6) + b"{}",
        "huge header": weights(b" " * 101_000_000),
        "deep header": weights(b'{"__metadata__":' + b"[" * 50_000 + b"]" * 50_000 + b"}"),
        "deep state": weights({"__metadata__": {"state": "[" * 50_000 + "]" * 50_000}}),
        "huge tensor": weights({"__metadata__": {"state": "{}"}, "x": tensor}, b"\0" * 8),
        "no state": weights({}),
        "state that is no object": weights({"__metadata__": {"state": "7"}}),
        "header that is no object": weights([1]),
    }


def hostile_states(canary):
    """Return contents for a model's JSON file, by what is wrong with them."""
    deep = b"[" * 50_000 + b"]" * 50_000
    return {
        "state pickle": pickle.dumps(Touch(canary), protocol=0),
        "binary state": pickle.dumps(Touch(canary)),
        "empty state": b"",
        "list": b"[]",
        "number": b"7",
        "deep list": deep,
        "deep format": b'{"format": ' + deep + b"}",
        "nothing but a format": b'{"format": 1}',
        "of wrong types": b'{"format": 1, "config": 7, "transform": [], "seed": "x", "layout": null, "versions": 1}',
    }


def _seed_table():
    rng = np.random.default_rng(0)
    n = 400
    return pa.table(
        {
            "text": rng.choice(["a", "bb", "", "long level"], n),
            "level": pa.array(rng.choice(["x", "y"], n)).dictionary_encode(),
            "number": rng.normal(size=n),
            "count": pa.array([None if i % 5 == 0 else i for i in range(n)], pa.int32()),
            "flag": rng.random(n) < 0.5,
            "seen": pa.array(np.arange(n) * 10**9, pa.timestamp("us", "Europe/Oslo")),
            "price": pa.array([None] * n, pa.decimal128(9, 2)),
        }
    )


def seeds():
    """Return valid files in every encoding, by ending: what is mutated."""
    table, found = _seed_table(), []
    for options in (
        {"compression": "none", "use_dictionary": False},
        {"compression": "snappy"},
        {"compression": "zstd", "data_page_version": "2.0", "row_group_size": 50},
        {"compression": "gzip", "column_encoding": {"number": "BYTE_STREAM_SPLIT"}, "use_dictionary": False},
        {"compression": "none", "column_encoding": {"count": "DELTA_BINARY_PACKED"}, "use_dictionary": ["level"]},
    ):
        sink = io.BytesIO()
        pq.write_table(table, sink, **options)
        found.append((".parquet", sink.getvalue()))
    for compression in ("uncompressed", "lz4", "zstd"):
        sink = io.BytesIO()
        pyarrow.feather.write_feather(table, sink, compression=compression)
        found.append((".feather", sink.getvalue()))
    return found


def mutants(n):
    """Yield the endings and the bytes of `n` files that each were valid before some of their bytes were changed."""
    valid = seeds()
    for number in range(n):
        rng = numpy_rng(number, "mutant")
        suffix, content = valid[number % len(valid)]
        yield suffix, bytes(_mutated(bytearray(content), rng))


def _mutated(data, rng):
    for _ in range(int(rng.choice([1, 1, 2, 8]))):
        near_end = rng.random() < 0.5  # where the footer declares sizes
        at = int(rng.integers(max(0, len(data) - 1_500), len(data)) if near_end else rng.integers(len(data)))
        match rng.integers(7):
            case 0:
                data[at] ^= 1 << int(rng.integers(8))
            case 1:
                data[at] = int(rng.choice([0, 1, 0x7F, 0x80, 0xFF]))
            case 2:
                data[at : at + 9] = b"\xff" * 8 + b"\x7f"  # the largest variable-length number
            case 3:
                data[at : at + 8] = struct.pack("<q", int(rng.choice([2**31 - 1, 2**31, -1, 2**62, -(2**63)])))
            case 4:
                data[at : at + 16] = rng.bytes(16)
            case 5:
                del data[at : at + int(rng.integers(1, 64))]
            case _:
                start = int(rng.integers(len(data)))
                data[at:at] = data[start : start + 32]
        if not data:
            break
    return data
