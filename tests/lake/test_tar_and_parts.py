"""Tars and parts: the same content gives the same bytes, and everybody's tools read them."""

from __future__ import annotations

import gc
import hashlib
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lake import layout
from lake.parts import read_part, write_part
from lake.storage import Missing, Root
from lake.tar import TarWriter
from schemas.errors import LakeError
from schemas.tables import RECORDINGS_SCHEMA, SCHEMA_VERSION, utterances_schema

NAMES = st.text("abcdefgh0123456789-ü", min_size=1, max_size=150).map(lambda s: f"{s}.bin")
MEMBERS = st.dictionaries(NAMES, st.binary(max_size=2000), max_size=8)


def write(path: Path, members: dict[str, bytes]) -> tuple[dict[str, int], int, str]:
    path.unlink(missing_ok=True)
    with TarWriter(path) as writer:
        offsets = {name: writer.add(name, members[name]) for name in sorted(members)}
        return offsets, *writer.close()


@settings(max_examples=80, deadline=None)
@given(MEMBERS)
def test_tarfile_reads_the_same_members_at_the_same_places(tmp_path_factory, members):
    path = tmp_path_factory.mktemp("tar") / "x.tar"
    offsets, size, sha256 = write(path, members)
    data = path.read_bytes()
    assert (size, sha256) == (len(data), hashlib.sha256(data).hexdigest())
    with tarfile.open(path) as tar:
        read = {info.name: (tar.extractfile(info).read(), info.mtime, info.uid, info.offset_data) for info in tar}
    assert read == {name: (body, 0, 0, offsets[name]) for name, body in members.items()}
    assert all(data[offsets[n] : offsets[n] + len(body)] == body for n, body in members.items())
    assert write(path, members)[2] == sha256


def test_the_system_s_own_tar_reads_it_too(tmp_path):
    program = shutil.which("tar")
    if program is None:
        pytest.skip("there is no tar on this machine")
    members = {"a.flac": b"1" * 700, f"{'k' * 140}.json": b"{}", "ü.txt": b""}
    write(tmp_path / "x.tar", members)
    (tmp_path / "out").mkdir()
    subprocess.run([program, "-xf", tmp_path / "x.tar", "-C", tmp_path / "out"], check=True, capture_output=True)
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == members


def test_a_tar_that_breaks_off_is_no_finished_tar(tmp_path):
    def broken() -> None:
        with TarWriter(tmp_path / "x.tar") as writer:
            writer.add("a", b"1")
            raise RuntimeError("the disk is full")

    with pytest.raises(RuntimeError):
        broken()
    with pytest.raises(FileExistsError):
        TarWriter(tmp_path / "x.tar")


def test_a_member_s_name_is_one_that_everybody_can_unpack(tmp_path):
    with TarWriter(tmp_path / "x.tar") as writer:
        for name in ("", "/etc/passwd", "../x", "a/../b"):
            with pytest.raises(LakeError, match="no name for a tar member"):
                writer.add(name, b"")


def test_members_out_of_order_are_refused(tmp_path):
    with TarWriter(tmp_path / "x.tar") as writer:
        writer.add("b", b"")
        for name in ("a", "b"):
            with pytest.raises(LakeError, match="in order"):
                writer.add(name, b"")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # webdataset leaves its file open
def test_webdataset_reads_a_shard(tmp_path):
    import webdataset as wds

    write(tmp_path / "x.tar", {"k1.flac": b"a", "k1.json": b"{}", "k1.txt": b"hi", "k2.flac": b"b", "k2.json": b"{}"})
    dataset = wds.WebDataset(str(tmp_path / "x.tar"), shardshuffle=False)
    samples = [(s["__key__"], s["flac"], s.get("txt")) for s in dataset]
    dataset.close()
    del dataset
    gc.collect()
    assert samples == [("k1", b"a", b"hi"), ("k2", b"b", None)]


ROW = {
    "key": "k", "recording_id": "r", "consent_complete": True, "snr_db": 12.5, "extra": [("a", "1")],
    "consent": [{"subject_id": "s", "grant_id": None, "role": "speaker", "binding": "sole"}],
    "lineage": {"source_root": "a", "parents": ["r"], "models": [("m", "1")]},
    "quality_flags": [], "pace": 2.5,
}  # fmt: skip
SCHEMA = utterances_schema({"pace": "double"})


def test_the_same_rows_are_the_same_bytes_and_round_trip(tmp_path):
    rows = [{**ROW, "key": f"k{n}"} for n in range(100)]
    one, two = (write_part(tmp_path / name, rows, SCHEMA) for name in ("a", "b"))
    assert one == two
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    back = pq.read_table(tmp_path / "a").to_pylist()
    assert back[3]["consent"] == ROW["consent"]
    assert back[3]["lineage"]["models"] == [("m", "1")]
    assert back[3]["c50_db"] is None


def test_duckdb_and_pandas_read_a_part(tmp_path):
    path = tmp_path / "part.parquet"
    write_part(path, [ROW], SCHEMA)
    with duckdb.connect() as connection:
        found = connection.execute(f"select consent[1].binding, lineage.source_root, extra['a'], pace from '{path}'")
        assert found.fetchall() == [("sole", "a", "1", 2.5)]
    assert pd.read_parquet(path)["snr_db"].tolist() == [12.5]


def test_every_field_says_what_it_is(tmp_path):
    path = tmp_path / "part.parquet"
    write_part(path, [ROW], SCHEMA)
    schema = pq.read_schema(path)
    assert schema.metadata[b"schema_version"] == SCHEMA_VERSION.encode()
    assert all(field.metadata[b"description"] for field in schema)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({**ROW, "surprise": 1}, "surprise"),
        ({**ROW, "key": None}, "key.*may not be null"),
        ({**ROW, "snr_db": "loud"}, "snr_db"),
    ],
)
def test_a_row_that_does_not_fit_is_refused_by_name(tmp_path, row, said):
    with pytest.raises(LakeError, match=said):
        write_part(tmp_path / "x", [row], SCHEMA)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_number_that_is_none_is_refused(tmp_path, value):
    with pytest.raises(LakeError, match=r"snr_db.*NaN or infinity"):
        write_part(tmp_path / "x", [ROW, {**ROW, "snr_db": value}], SCHEMA)


def test_a_part_is_read_back_whole_or_in_columns(tmp_path):
    root = Root(str(tmp_path))
    path = layout.utterances_path("r", "0000000-aa", "1" * 64)
    write_part(tmp_path / "part", [ROW], SCHEMA)
    root.create(path, tmp_path / "part")
    assert read_part(root, path).schema.names == SCHEMA.names
    assert read_part(root, path, ["snr_db", "key"]).to_pylist() == [{"snr_db": 12.5, "key": "k"}]
    with pytest.raises(Missing):
        read_part(root, "nowhere")
    root.create("torn", (tmp_path / "part").read_bytes()[:-10])
    with pytest.raises(LakeError, match="torn cannot be read as Parquet"):
        read_part(root, "torn")


def test_a_part_is_never_written_over(tmp_path):
    write_part(tmp_path / "x", [ROW], SCHEMA)
    with pytest.raises(FileExistsError):
        write_part(tmp_path / "x", [ROW], SCHEMA)


_WITHOUT_PANDAS = """
import sys
from pathlib import Path
from lake.parts import read_part, write_part
from lake.storage import Root
from schemas.tables import RECORDINGS_SCHEMA
write_part(Path(sys.argv[1]) / "x", [], RECORDINGS_SCHEMA)
table = read_part(Root(sys.argv[1]), "x")
print("pandas" in sys.modules, len(table.to_pandas()), "pandas" in sys.modules)
"""


def test_writing_and_reading_a_part_does_not_import_pandas(tmp_path):
    said = subprocess.run(
        [sys.executable, "-c", _WITHOUT_PANDAS, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert said.stdout.split() == ["False", "0", "True"], "and who asks for pandas gets it"


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.text(max_size=5), st.none() | st.floats(-99, 99), st.lists(st.text(max_size=3), max_size=3)))
)
def test_whatever_the_rows_the_same_ones_are_the_same_bytes_and_come_back(tmp_path_factory, values):
    folder = tmp_path_factory.mktemp("part")
    rows = [{**ROW, "key": key, "snr_db": snr, "quality_flags": flags} for key, snr, flags in values]
    assert write_part(folder / "a", rows, SCHEMA) == write_part(folder / "b", rows, SCHEMA)
    back = read_part(Root(str(folder)), "a", ["key", "snr_db", "quality_flags"]).to_pylist()
    assert [(row["key"], row["snr_db"], row["quality_flags"]) for row in back] == values


def test_no_rows_make_an_empty_typed_part(tmp_path):
    write_part(tmp_path / "x", [], RECORDINGS_SCHEMA)
    assert pq.read_table(tmp_path / "x").schema.equals(pa.schema(RECORDINGS_SCHEMA))
