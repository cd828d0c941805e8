"""Columns are what the row reader reads, cell by cell and fault by fault."""

from __future__ import annotations

import gzip
from unittest import mock

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines import csv_columns
from pipelines.catalogue_formats import read_rows
from pipelines.csv_columns import Columns, Rows, read_columns
from schemas.errors import ConfigError
from tests.pipelines.tables import csv_file, jsonl_file

lines = st.lists(st.text("ab,;\t\"' \r\né\0", max_size=12), max_size=6)
plain_lines = st.lists(st.builds(",".join, st.lists(st.text("ab 'é.", max_size=4), min_size=2, max_size=2)), max_size=8)
quoted = st.lists(
    st.builds(
        ",".join,
        st.lists(st.sampled_from(['"a"', '""', '"a,b"', '"a""b"', "a", "", '""""', '"é"']), min_size=2, max_size=2),
    ),
    max_size=8,
)


def outcome(rows):
    """What is read, up to what is refused."""
    found = []
    try:
        for row in rows:
            found.append(row)
    except ConfigError as error:
        return found, str(error)
    return found, None


def in_columns(uri):
    return [row for piece in read_columns(uri) for row in piece.rows()]


@given(st.one_of(lines, plain_lines, quoted), st.sampled_from(["\n", "\r\n"]), st.booleans(), st.integers(1, 40))
@settings(max_examples=150)
def test_columns_hold_what_the_row_reader_reads(tmp_path_factory, body, ending, ends, block_bytes):
    folder = tmp_path_factory.mktemp("csv")
    text = ending.join(["one,two", *body]) + (ending if ends else "")
    uri = csv_file(folder, text)
    expected = outcome(read_rows(uri))
    with mock.patch.object(csv_columns, "_BLOCK_BYTES", block_bytes):
        try:
            found = (in_columns(uri), None)
        except ConfigError as error:
            found = ([], str(error))
    assert found[1] == expected[1]
    if expected[1] is None:
        assert found[0] == expected[0]


@pytest.mark.parametrize("packed", [False, True])
def test_a_plain_table_is_read_in_columns_only(tmp_path, monkeypatch, packed):
    monkeypatch.setattr(csv_columns, "_BLOCK_BYTES", 1000)
    text = "path,version,size\r\n" + "".join(f'"show, {n}/a.wav",é{n},"{n}"\r\n' for n in range(200)) + "\r\n\n"
    uri = csv_file(tmp_path, text)
    if packed:
        uri += ".gz"
        with gzip.open(uri, "wb") as file:
            file.write(text.encode())
    pieces = list(read_columns(uri))
    assert len(pieces) > 5
    assert all(isinstance(piece, Columns) for piece in pieces)
    assert [row for piece in pieces for row in piece.rows()] == list(read_rows(uri))


@pytest.mark.parametrize(
    "odd", ['a,"b\nc"\n', "a,b\rc\n", '"a"b,c\n', "\n", ",\n", "a,\0\n", '"a,b\n', f"{'x' * 131_073},b\n"]
)
def test_what_is_not_plain_is_left_to_the_row_reader(tmp_path, odd):
    uri = csv_file(tmp_path, f"one,two\n1,2\n{odd}3,4\n")
    rows, fault = outcome(read_rows(uri))
    pieces, said = outcome(read_columns(uri))
    assert said == fault
    assert any(isinstance(piece, Rows) for piece in pieces) or said
    assert said or [row for piece in pieces for row in piece.rows()] == rows


def test_bytes_that_are_not_utf8_are_named_by_their_line(tmp_path):
    path = tmp_path / "x.csv"
    path.write_bytes(b"one,two\n" + b"a,b\n" * 5 + b"a,\xff\n")
    with pytest.raises(ConfigError, match=r"line 7, byte 3: not UTF-8 \(0xff\); save it as UTF-8"):
        in_columns(str(path))


def test_json_lines_and_parquet_come_as_they_are(tmp_path):
    rows = [{"path": f"{n}.wav", "size": n, "version": None if n % 2 else ""} for n in range(10)]
    expected = [(n + 1, {"path": f"{n}.wav", "size": n}) for n in range(10)]
    assert in_columns(jsonl_file(tmp_path, rows)) == expected
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "x.parquet", row_group_size=3)
    assert in_columns(str(tmp_path / "x.parquet")) == expected
    pq.write_table(pa.table({"path": pa.array([], pa.string())}), tmp_path / "empty.parquet")
    with pytest.raises(ConfigError, match=r"holds no row"):
        in_columns(str(tmp_path / "empty.parquet"))
