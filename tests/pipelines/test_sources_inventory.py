"""An inventory instead of a listing."""

from __future__ import annotations

import pytest

from pipelines.sources import Ignored, SourceRoot, SourcesConfig, list_sources
from schemas.errors import ConfigError
from schemas.source import Source
from tests.pipelines.tables import csv_file, parquet_file

ROOT = SourceRoot("r", "s3://bucket/in")


def inventoried(uri, root=ROOT, *, several=False, **config):
    ignored = Ignored()
    found = list(list_sources(root, SourcesConfig(inventory=uri, **config), ignored, is_one_of_several=several))
    return found, dict(ignored.counts)


def test_an_inventory_is_read_instead_of_the_root(tmp_path):
    rows = [("a/x.wav", "v1", 10), ("./y.mp3", "v2", 0), ("s3://bucket/in/z.flac", "v3", 5), ("notes.txt", "v4", 1)]
    expected = (
        [Source("r", "a/x.wav", "v1", 10), Source("r", "y.mp3", "v2", 0), Source("r", "z.flac", "v3", 5)],
        {"not_included": 1},
    )
    text = "".join(f"{path},{version},{size}\n" for path, version, size in rows)
    assert inventoried(csv_file(tmp_path, "path,version,size\n" + text)) == expected
    table = [{"path": path, "version": version, "size": size, "storage_class": "x"} for path, version, size in rows]
    assert inventoried(parquet_file(tmp_path, table)) == expected


def test_rows_of_other_roots_are_passed_over(tmp_path):
    uri = csv_file(tmp_path, "root,path,version,size\nr,a.wav,1,1\nq,b.wav,1,1\n,s3://bucket/else/c.wav,1,1\n")
    assert [source.path for source in inventoried(uri, several=True)[0]] == ["a.wav"]


def test_several_roots_need_to_be_told_apart(tmp_path):
    uri = csv_file(tmp_path, "path,version,size\na.wav,1,1\n")
    with pytest.raises(ConfigError, match=r"line 2, column `root`: has no value, and there are several source roots"):
        inventoried(uri, several=True)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("path,versoin,size\na.wav,1,1\n", "line 2, column `version`: has no value (did you mean `versoin`?)"),
        ("path,version,size\na.wav,,1\n", "line 2, column `version`: has no value"),
        ("path,version,size\na.wav,1,1\nb.wav,1,-1\n", "line 3: size '-1' is no number of bytes"),
        ("path,version,size\na.wav,1,1.5kB\n", "line 2: size '1.5kB' is no number of bytes"),
        ("path,version,size\n../a.wav,1,1\n", "line 2: path '../a.wav' leaves its root"),
        ("path,version,size\ns3://bucket/in/../a.wav,1,1\n", "leaves its root"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_line(tmp_path, text, said):
    with pytest.raises(ConfigError) as caught:
        inventoried(csv_file(tmp_path, text, "inventory.csv"))
    assert said in str(caught.value)
