"""Releases as stored: created once, never changed, and refused where they are not what was written."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from lake import layout
from lake.lake import Lake
from lake.releases import changed_parts, create_release, index_table, list_releases, newest_version, read_release
from schemas.errors import AlreadyExists, ConfigError, LakeError
from schemas.releases import ReleaseRecord, Share
from tests.releases import ANY_USE, crowd

NOW = datetime(2026, 6, 1, tzinfo=UTC)


def record(version=1, name="gold", **fields):
    nothing = Share()
    return ReleaseRecord(
        name=name, version=version, use=ANY_USE, ledger_position=3, decided_at=NOW, candidates=nothing,
        matching=nothing, chosen=nothing, created_at=NOW, **fields,
    ).sealed()  # fmt: skip


@pytest.fixture
def lake(tmp_path):
    return Lake.create_or_open(str(tmp_path / "lake"))


def test_the_newest_version_is_read_and_all_are_listed(lake):
    for version in (1, 2, 10):
        create_release(lake, record(version, where=f"snr_db > {version}"))
    create_release(lake, record(1, "alpha"))
    assert newest_version(lake, "gold") == 10
    assert newest_version(lake, "silver") == 0
    assert read_release(lake, "gold").where == "snr_db > 10"
    assert read_release(lake, "gold", 2) == record(2, where="snr_db > 2")
    assert [(one.name, one.version) for one in list_releases(lake)] == [
        ("alpha", 1), ("gold", 1), ("gold", 2), ("gold", 10)
    ]  # fmt: skip


def test_a_version_is_created_once(lake):
    create_release(lake, record(where="snr_db > 1"))
    before = lake.root.read(layout.release_path("gold", 1))
    with pytest.raises(AlreadyExists):
        create_release(lake, record(where="snr_db > 2"))
    # Whoever lost only the answer finds its own bytes.
    assert create_release(lake, record(where="snr_db > 1")).where == "snr_db > 1"
    assert lake.root.read(layout.release_path("gold", 1)) == before


@pytest.mark.parametrize(
    ("name", "version", "said"),
    [
        ("golf", None, r"has no release golf \(did you mean `gold`\?\); releases: gold"),
        ("gold", 4, r"release gold has no version 4; its versions: 1"),
        ("gold", 0, r"release gold has no version 0"),
        ("../gold", None, r"has no release \.\./gold"),
        ("a/b", 1, r"has no release a/b"),
    ],
)
def test_what_is_not_there_is_told_with_what_is(lake, name, version, said):
    create_release(lake, record())
    with pytest.raises(ConfigError, match=said):
        read_release(lake, name, version)


def test_a_lake_without_any_says_how_one_is_made(lake):
    assert list_releases(lake) == []
    with pytest.raises(ConfigError, match="it has none yet: `provoice release create` makes one"):
        read_release(lake, "gold")


@pytest.mark.parametrize("key", ["where", "ledger_position", "use", "sha256", "chosen", "index", "name"])
def test_a_changed_word_is_found(lake, key):
    value = json.loads(record(where="snr_db > 1").model_dump_json())
    other = json.loads(record(2, "silver", where="snr_db > 2").model_dump_json())
    other |= {"ledger_position": 9, "use": {**other["use"], "action": "clone"}, "chosen": {"utterances": 7},
              "index": [{"kind": "release_index", "path": "x", "size_bytes": 1, "sha256": "0", "rows": 7}]}  # fmt: skip
    value[key] = other[key]
    lake.root.create(layout.release_path("gold", 1), json.dumps(value).encode())
    with pytest.raises(LakeError, match=r"gold/1/release\.json is not what was once written"):
        read_release(lake, "gold")


def test_a_release_under_another_name_is_refused(lake):
    lake.root.create(layout.release_path("gold", 2), record(1).model_dump_json().encode())
    with pytest.raises(LakeError, match="is not what was once written"):
        read_release(lake, "gold", 2)


@pytest.mark.parametrize("text", [b"", b"[]", b"{}", b"\xff", b'{"name": "gold"}'])
def test_what_is_no_release_is_told_by_its_path(lake, text):
    lake.root.create(layout.release_path("gold", 1), text)
    with pytest.raises(LakeError, match=r"gold/1/release\.json is not a release"):
        read_release(lake, "gold")


def test_parts_without_a_record_are_no_release(lake):
    lake.root.create("releases/gold/1/index/part-00000-0011223344556677.parquet", b"PAR1")
    lake.root.create("releases/gold/01/release.json", record().model_dump_json().encode())
    assert list_releases(lake) == []
    assert newest_version(lake, "gold") == 0


def test_an_index_is_read_in_order_and_looked_at_to_the_byte(tmp_path):
    made = crowd(tmp_path)
    release = made.release()
    rows = index_table(made.lake, release, ["key", "shard", "audio_offset"])
    assert set(rows["key"].to_pylist()) == made.keys(*made.keys_of)
    places = list(zip(rows["shard"].to_pylist(), rows["audio_offset"].to_pylist(), strict=True))
    assert places == sorted(places)
    assert changed_parts(made.lake, release) == []
    path = tmp_path / "lake" / release.index[0].path
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.unlink()
    path.write_bytes(data)
    assert changed_parts(made.lake, release) == [release.index[0].path]
    path.unlink()
    assert changed_parts(made.lake, release) == [release.index[0].path]
