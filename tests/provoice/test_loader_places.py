"""Places are hints: an erasure moves what it keeps, objects go missing, bytes change; commits have the last word."""

from __future__ import annotations

from pathlib import Path

import fsspec
import pytest

from lake import layout
from lake.lake import Lake
from lake.storage import Root
from pipelines.snapshot import take_snapshot
from provoice import open_release
from provoice.loader import order as order_module
from schemas.errors import ConsentError, LakeError
from tests.builders import flac
from tests.consents import ended
from tests.provoice.loader_lakes import NAME, Clock, erase, voices_lake


@pytest.fixture
def made(tmp_path):
    return voices_lake(tmp_path)


def opened(made, **options):
    options = {"record": False, "clock": Clock(), **options}
    return open_release(made.uri, NAME, owner="o", purpose="p", **options)


def keys(samples):
    return {sample["__key__"] for sample in samples}


def shard_of(made, unit):
    return next((Path(made.uri) / "shards" / unit[0]).glob(f"{unit[1]}-*.tar"))


def test_what_an_erasure_kept_is_found_where_it_lies_now(made, tmp_path):
    gone = erase(made, made.units[0], "p1", tmp_path)
    assert gone
    with pytest.raises(ConsentError, match=f"erased {len(gone)}"):
        opened(made)
    dataset = opened(made, on_denied="skip")
    assert dataset.skipped == {"erased": len(gone)}
    assert len(dataset) == 48 - len(gone)
    samples = list(dataset)
    assert keys(samples) == made.keys - gone
    assert all(sample["flac"] == flac() for sample in samples)
    assert all(sample["json"]["key"] == sample["__key__"] for sample in samples)


def test_an_erasure_of_others_only_is_not_even_noticed(made, tmp_path):
    made.keys_of["nobody"] = set()
    erase(made, made.units[1], "nobody", tmp_path)
    assert keys(opened(made)) == made.keys


def test_two_erasures_of_one_unit(made, tmp_path):
    gone = erase(made, made.units[0], "p1", tmp_path) | erase(made, made.units[0], "p2", tmp_path)
    assert keys(opened(made, on_denied="skip")) == made.keys - gone


def test_an_old_place_that_is_still_there_is_not_read_after_an_erasure(made, tmp_path):
    gone = erase(made, made.units[0], "p1", tmp_path, deletes=False)
    assert keys(opened(made, on_denied="skip")) == made.keys - gone


@pytest.mark.parametrize("shuffle", [False, True])
def test_an_erasure_while_it_is_read(made, tmp_path, shuffle, monkeypatch):
    monkeypatch.setattr(order_module, "RANGE_BYTES", 60_000)
    dataset = opened(made, on_denied="skip", shuffle=shuffle, buffer=5)
    samples = iter(dataset)
    seen = [next(samples) for _ in range(4)]
    gone = erase(made, made.units[2], "p1", tmp_path) | erase(made, made.units[0], "p1", tmp_path)
    seen += samples
    assert made.keys - gone <= keys(seen) <= made.keys
    assert len(seen) == len(keys(seen))
    assert all(sample["flac"] == flac() for sample in seen)
    assert keys(dataset) == made.keys - gone
    assert dataset.skipped == {"erased": len(gone)}


def test_an_erasure_while_it_is_read_stops_who_does_not_skip(made, tmp_path):
    dataset = opened(made)
    gone = erase(made, made.units[0], "p1", tmp_path)
    with pytest.raises(ConsentError, match="erased"):
        list(dataset)
    assert gone


def test_a_missing_object_is_named(made):
    path = shard_of(made, made.units[1])
    path.unlink()
    with pytest.raises(LakeError, match=rf"{path} does not exist") as failed:
        list(opened(made))
    assert "\n" not in str(failed.value)


def test_changed_audio_is_named_unless_nobody_looks(made):
    path = shard_of(made, made.units[1])
    data = bytearray(path.read_bytes())
    place = bytes(data).index(flac()) + len(flac()) // 2
    data[place] ^= 1
    path.write_bytes(data)
    with pytest.raises(LakeError, match=rf"{path} holds other audio of .*SHA-256"):
        list(opened(made, verify=True))
    assert len(list(opened(made))) == 48


@pytest.mark.parametrize("verify", [True, False])
def test_bytes_that_are_another_utterance_are_noticed_even_unverified(made, verify):
    path = shard_of(made, made.units[1])
    data = path.read_bytes()
    path.write_bytes(data[512:] + data[:512])
    with pytest.raises(LakeError, match="does not hold"):
        list(opened(made, verify=verify))


def test_a_tar_that_was_cut_off_is_noticed(made):
    path = shard_of(made, made.units[2])
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(LakeError, match="does not hold"):
        list(opened(made))


def test_a_changed_row_is_noticed(made):
    path = shard_of(made, made.units[0])
    data = path.read_bytes()
    key = sorted(made.keys)[0]
    for one in sorted(made.keys):
        data = data.replace(f'{{"key":"{one}"'.encode(), f'{{"key":"x{one[1:]}"'.encode())
    assert data != path.read_bytes(), key
    path.write_bytes(data)
    with pytest.raises(LakeError, match="is not the row of its utterance"):
        list(opened(made))


def test_a_unit_without_a_commit_is_named(made):
    run, unit = made.units[0]
    (Path(made.uri) / layout.commit_path(run, unit, 0)).unlink()
    with pytest.raises(LakeError, match=f"unit {unit} of run one has no commit"):
        opened(made)


def test_places_are_asked_for_once_per_run_and_not_per_unit(made, monkeypatch):
    read = []
    plain = Root.read

    def watched(self, path, *args):
        read.append(path)
        return plain(self, path, *args)

    monkeypatch.setattr(Root, "read", watched)
    opened(made)
    assert not [path for path in read if path.startswith("commits/")]


def test_neighbours_are_read_at_once_and_nothing_twice(made, monkeypatch):
    read = []
    plain = Root.read

    def watched(self, path, start=None, end=None):
        if path.startswith("shards/"):
            read.append((path, start, end))
        return plain(self, path, start, end)

    monkeypatch.setattr(Root, "read", watched)
    assert len(list(opened(made))) == 48
    assert len(read) == len(made.units)
    read.clear()
    list(opened(made, rank=0, world_size=4))
    assert len(read) == 1
    sizes = [end - start for _, start, end in read]
    assert sum(sizes) < shard_of(made, made.units[0]).stat().st_size


@pytest.fixture
def stored(made):
    """The same lake in a store that is no local disk; the loader reads it by ranges, several at a time."""
    store = fsspec.filesystem("memory")
    store.put(made.uri, "/bucket/lake", recursive=True)
    yield "memory://bucket/lake"
    store.rm("/bucket", recursive=True)


@pytest.mark.parametrize("shuffle", [False, True])
def test_a_lake_in_an_object_store_is_read_the_same(made, stored, shuffle):
    options = {"owner": "o", "purpose": "p", "record": False, "clock": Clock(), "shuffle": shuffle, "buffer": 9}
    here, there = (list(open_release(uri, NAME, **options)) for uri in (made.uri, stored))
    assert here == there
    assert keys(there) == made.keys


def test_a_withdrawal_is_seen_in_an_object_store(made, stored):
    there = Lake.open(stored)
    dataset = open_release(stored, NAME, owner="o", purpose="p", record=False, clock=Clock(), on_denied="skip")
    there.ledger().append([ended("p1")])
    assert keys(dataset) == made.keys - made.keys_of["p1"]


def test_a_snapshot_knows_who_was_erased(made, tmp_path, monkeypatch):
    gone = erase(made, made.units[0], "p1", tmp_path)
    take_snapshot(made.lake)
    listed = []
    plain = Root.list
    monkeypatch.setattr(Root, "list", lambda self, prefix="": (listed.append(prefix), plain(self, prefix))[1])
    assert keys(opened(made, on_denied="skip")) == made.keys - gone
    assert not [prefix for prefix in listed if prefix.startswith("commits")]


def test_an_erasure_since_the_snapshot_is_found_when_the_object_is_not(made, tmp_path):
    take_snapshot(made.lake)
    gone = erase(made, made.units[0], "p1", tmp_path)
    dataset = opened(made, on_denied="skip")
    assert keys(dataset) == made.keys - gone
    assert dataset.skipped == {"erased": len(gone)}
