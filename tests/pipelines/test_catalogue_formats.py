"""Tables as spreadsheets, editors and exporters leave them."""

from __future__ import annotations

import gzip

import pytest

from pipelines.catalogue_formats import beside, read_rows
from schemas.errors import ConfigError
from tests.pipelines.tables import csv_file, jsonl_file

ROWS = [(2, {"path": "a.wav", "text": "one"}), (3, {"path": "b, c.wav"})]


@pytest.mark.parametrize(
    "text",
    [
        'path,text\na.wav,one\n"b, c.wav",\n',
        '\ufeffpath,text\r\na.wav,one\r\n"b, c.wav",\r\n',
        "path\ttext\na.wav\tone\nb, c.wav\t\n",
        "path;text\na.wav;one\nb, c.wav;\n",
        'path , text\na.wav,one\n"b, c.wav",',
    ],
    ids=["plain", "windows with a mark", "tabs", "semicolons", "spaces in the header, no last line end"],
)
def test_tables_of_every_spreadsheet_say_the_same(tmp_path, text):
    assert list(read_rows(csv_file(tmp_path, text))) == ROWS


def test_a_line_number_is_where_the_row_begins(tmp_path):
    rows = list(read_rows(csv_file(tmp_path, 'path,text\n\na.wav,"one\ntwo"\n\nb.wav,x\n')))
    assert rows == [(3, {"path": "a.wav", "text": "one\ntwo"}), (6, {"path": "b.wav", "text": "x"})]


def test_gzip_is_unpacked(tmp_path):
    path = tmp_path / "c.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"path": "a.wav"}\n'))
    assert list(read_rows(str(path))) == [(1, {"path": "a.wav"})]
    path.write_bytes(gzip.compress(b'{"path": "a.wav"}\n' * 1000)[:-12])
    with pytest.raises(ConfigError, match=r"cannot be read"):
        list(read_rows(str(path)))


def test_empty_cells_are_left_out(tmp_path):
    rows = list(read_rows(jsonl_file(tmp_path, [{"path": "a.wav", "text": None, "language": "", "complete": False}])))
    assert rows == [(1, {"path": "a.wav", "complete": False})]


REFUSED = {
    "nothing": ("c.csv", b"", "holds no row"),
    "a header only": ("c.csv", b"path,subject\n", "holds no row"),
    "too few cells": ("c.csv", b"path,subject\na.wav\n", "line 2: 1 cells under a header of 2"),
    "too many cells": ("c.csv", b"path,subject\na.wav,b,c\n", "line 2: 3 cells under a header of 2"),
    "column twice": ("c.csv", b"path,path\na,b\n", "line 1: column `path` stands twice"),
    "column without a name": ("c.csv", b"path,\na,b\n", "line 1: a column has no name"),
    "open quote": ("c.csv", b'path\n"a.wav\n', "line 2: unexpected end of data"),
    "long cell": ("c.csv", b"path,text\na.wav," + b"x" * 200_000 + b"\n", "line 2: a cell of more than 131,072"),
    "latin-1": ("c.csv", b"path\na.wav\nz\xfcrich.wav\n", "line 3, byte 2: not UTF-8 (0xfc)"),
    "utf-16": ("c.csv", "path\na.wav\n".encode("utf-16"), "is UTF-16; save it as UTF-8"),
    "broken json": ("c.jsonl", b'{"path": "a"}\n{"path": \n', "line 2: not JSON"),
    "json list": ("c.jsonl", b'[{"path": "a"}]', "a JSON list; write one object per line"),
    "json text": ("c.jsonl", b'"path"\n', "line 1: not a JSON object"),
    "json key twice": (
        "c.jsonl",
        b'{"complete": false, "path": "a", "complete": true}\n',
        "key `complete` stands twice",
    ),
    "no parquet": ("c.parquet", b"path\na.wav\n", "cannot be read"),
    "no table": ("c.xlsx", b"", "not a table that can be read"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_table_is_refused_in_one_line(tmp_path, case):
    name, content, said = REFUSED[case]
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        list(read_rows(str(path)))
    assert said in str(caught.value)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere.csv: no such file"):
        list(read_rows(str(tmp_path / "nowhere.csv")))
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(ConfigError, match=r"folder.csv: cannot be read"):
        list(read_rows(str(tmp_path / "folder.csv")))


def test_files_are_found_beside_the_table():
    assert beside("/data/c.csv", "rttm/a.rttm") == "/data/rttm/a.rttm"
    assert beside("/data/sub/c.csv", "../a.rttm") == "/data/a.rttm"
    assert beside("c.csv", "a.rttm") == "a.rttm"
    assert beside("gs://b/x/c.csv", "a.rttm") == "gs://b/x/a.rttm"
    assert beside("/data/c.csv", "gs://b/a.rttm") == "gs://b/a.rttm"
    assert beside("/data/c.csv", "/else/a.rttm") == "/else/a.rttm"
