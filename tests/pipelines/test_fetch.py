"""A remote source comes whole, or it is said why not; its store being away is no fault of the source."""

from __future__ import annotations

import errno
import hashlib

import pytest

from lake.clients import open_filesystem
from pipelines import fetch as module
from pipelines.fetch import fetch
from pipelines.sources import SourceRoot, SourcesConfig, list_sources
from schemas.errors import RETRIABLE, LakeError, Reason, Rejected
from tests.lake.fake_store import as_s3fs_says_it
from tests.lake.test_retries import BUSY, stopped_clock

URI = "memory://fetched"
DATA = bytes(range(256)) * 100


@pytest.fixture
def store(monkeypatch):
    stopped_clock(monkeypatch)
    monkeypatch.setattr(module, "_RANGE", 1000)
    store, _ = open_filesystem(URI)
    store.store.clear()
    store.pipe("/fetched/a.WAV", DATA)
    yield store
    store.store.clear()


@pytest.fixture
def source(store):  # noqa: ARG001 - it must be filled first
    (found,) = list_sources(SourceRoot("raw", URI), SourcesConfig())
    return found


def test_a_source_is_copied_whole(source, tmp_path):
    path, sha256 = fetch(URI, source, tmp_path, 1 << 20)
    assert (path.read_bytes(), path.suffix) == (DATA, ".wav")
    assert sha256 == hashlib.sha256(DATA).hexdigest()


def test_an_empty_source_is_an_empty_file(store, tmp_path):
    store.pipe("/fetched/a.WAV", b"")
    (source,) = list_sources(SourceRoot("raw", URI), SourcesConfig())
    assert fetch(URI, source, tmp_path, 1 << 20)[0].read_bytes() == b""


def test_what_breaks_off_goes_on_where_it_was(store, source, tmp_path, monkeypatch):
    plain, asked = store.cat_file, []

    def shaky(path, start=None, end=None):
        asked.append(start)
        if len(asked) % 3 == 1:
            raise BUSY
        return plain(path, start=start, end=end)[: -1 if len(asked) % 3 == 2 else None]

    monkeypatch.setattr(store, "cat_file", shaky, raising=False)
    assert fetch(URI, source, tmp_path, 1 << 20)[0].read_bytes() == DATA
    assert asked == [start for start in range(0, len(DATA), 1000) for _ in range(3)]


def test_what_never_comes_whole_is_the_stores_fault(store, source, tmp_path, monkeypatch):
    plain = store.cat_file
    monkeypatch.setattr(store, "cat_file", lambda *a, **o: plain(*a, **o)[:-1], raising=False)
    with pytest.raises(LakeError, match=r"a\.WAV: the store does not answer \(999 bytes came where 1000"):
        fetch(URI, source, tmp_path, 1 << 20)


@pytest.mark.parametrize("method", ["info", "cat_file"])
def test_a_store_that_is_away_rejects_no_source(store, source, tmp_path, monkeypatch, method):
    def away(*_, **__):
        raise as_s3fs_says_it(503)

    monkeypatch.setattr(store, method, away, raising=False)
    with pytest.raises(LakeError, match=r"a\.WAV: the store does not answer \(Some words \(HTTP 503\)\)"):
        fetch(URI, source, tmp_path, 1 << 20)


def test_a_source_that_is_gone_or_another_is_rejected(store, source, tmp_path):
    store.pipe("/fetched/a.WAV", DATA + b"x")
    for reason, act in (
        (Reason.SOURCE_CHANGED, lambda: None),
        (Reason.SOURCE_MISSING, lambda: store.rm("/fetched/a.WAV")),
    ):
        act()
        with pytest.raises(Rejected) as caught:
            fetch(URI, source, tmp_path, 1 << 20)
        assert caught.value.reason == reason


def test_a_source_that_is_replaced_while_it_is_read_is_rejected(store, source, tmp_path, monkeypatch):
    plain = store.cat_file

    def replaced(path, start=None, end=None):
        data = plain(path, start=start, end=end)
        store.pipe("/fetched/a.WAV", DATA[::-1])
        return data

    monkeypatch.setattr(store, "cat_file", replaced, raising=False)
    with pytest.raises(Rejected) as caught:
        fetch(URI, source, tmp_path, 1 << 20)
    assert caught.value.reason == Reason.SOURCE_CHANGED


def test_an_inventory_that_is_wrong_about_the_size_yields_no_part_of_a_file(source, tmp_path):
    for size in (len(DATA) - 1, len(DATA) + 1):
        with pytest.raises(Rejected, match=rf"planned as {size} bytes, now {len(DATA)}"):
            fetch(URI, type(source)(source.root, source.path, source.version, size), tmp_path, 1 << 20)


def test_a_local_file_whose_disk_fails_is_put_aside_for_now(tmp_path, monkeypatch):
    (tmp_path / "a.wav").write_bytes(DATA)
    (found,) = list_sources(SourceRoot("raw", str(tmp_path)), SourcesConfig())

    def fails(*_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(hashlib, "file_digest", fails)
    with pytest.raises(Rejected) as caught:
        fetch(str(tmp_path), found, tmp_path, 1 << 20)
    assert (caught.value.reason, caught.value.detail) == (
        Reason.SOURCE_MISSING, "it cannot be read: Input/output error",
    )  # fmt: skip
    assert caught.value.reason in RETRIABLE
