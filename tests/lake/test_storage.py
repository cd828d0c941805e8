"""The one promise: a create that is refused when it is not the first, and that is whole or not there."""

from __future__ import annotations

import errno
import hashlib
import multiprocessing
import os
import signal
import time
from pathlib import Path

import fsspec
import pytest

from lake import local_create
from lake.storage import Missing, Root
from schemas.errors import AlreadyExists, ConfigError, LakeError

FORK = multiprocessing.get_context("fork")


@pytest.fixture(params=["local", "memory"])
def root(request, tmp_path):
    if request.param == "local":
        yield Root(str(tmp_path / "lake"))
        return
    yield Root("memory://storage-tests")
    fsspec.filesystem("memory").store.clear()


def test_what_was_created_is_read_back_whole_or_in_part(root):
    root.create("a/b.bin", b"0123456789")
    assert root.read("a/b.bin") == b"0123456789"
    assert root.read("a/b.bin", 2, 5) == b"234"
    assert root.size("a/b.bin") == 10
    with root.open("a/b.bin") as file:
        file.seek(8)
        assert file.read() == b"89"


def test_a_second_create_is_refused_and_changes_nothing(root):
    root.create("x", b"first")
    with pytest.raises(AlreadyExists, match="x exists already"):
        root.create("x", b"second")
    assert root.read("x") == b"first"


def test_a_missing_object_is_named(root):
    with pytest.raises(Missing, match="nowhere"):
        root.read("nowhere")
    assert root.size("nowhere") is None
    assert not root.exists("nowhere")


def test_put_again_is_success_only_for_the_same_bytes(root):
    sha256 = hashlib.sha256(b"same").hexdigest()
    root.put("x", b"same", sha256)
    root.put("x", b"same", sha256)
    with pytest.raises(LakeError, match="other bytes"):
        root.put("x", b"else", hashlib.sha256(b"else").hexdigest())
    assert root.read("x") == b"same"


def test_a_file_is_put_as_it_is(root, tmp_path):
    data = os.urandom(5 << 20)
    (tmp_path / "big").write_bytes(data)
    root.put("deep/er/big", tmp_path / "big", hashlib.sha256(data).hexdigest())
    assert root.read("deep/er/big") == data


def test_list_sees_every_object_below_a_prefix_and_nothing_else(root):
    for path in ("a/1", "a/b/2", "c/3"):
        root.create(path, path.encode())
    assert sorted((info.path, info.size_bytes) for info in root.list("a")) == [("a/1", 3), ("a/b/2", 5)]
    assert sorted(info.path for info in root.list()) == ["a/1", "a/b/2", "c/3"]
    assert list(root.list("nothing/here")) == []


def test_delete_of_what_is_gone_counts_as_done(root):
    root.create("x", b"1")
    root.delete("x")
    root.delete("x")
    assert not root.exists("x")


def test_the_probe_leaves_nothing(root):
    root.create("x", b"1")
    root.check_exclusive_create()
    assert [info.path for info in root.list()] == ["x"]


def _race(uri: str, number: int, barrier, wins) -> None:
    root = Root(uri)
    barrier.wait()
    try:
        root.create("prize", bytes([number]) * 100_000)
        wins.put(number)
    except AlreadyExists:
        pass


def test_of_many_processes_that_create_one_name_exactly_one_wins(tmp_path):
    for turn in range(5):
        uri, barrier, wins = str(tmp_path / str(turn)), FORK.Barrier(8), FORK.SimpleQueue()
        racers = [FORK.Process(target=_race, args=(uri, n, barrier, wins)) for n in range(8)]
        for racer in racers:
            racer.start()
        for racer in racers:
            racer.join()
        winner = wins.get()
        assert wins.empty()
        assert Root(uri).read("prize") == bytes([winner]) * 100_000
        assert [info.path for info in Root(uri).list()] == ["prize"]


def _write_for_long(uri: str, source: Path) -> None:
    Root(uri).create("torn", source)


def test_a_writer_that_is_killed_leaves_nothing_under_the_name(tmp_path):
    source, uri = tmp_path / "pipe", str(tmp_path / "lake")
    os.mkfifo(source)  # the writer waits in the middle of its copy for what never comes
    writer = FORK.Process(target=_write_for_long, args=(uri, source))
    writer.start()
    feeder = os.open(source, os.O_WRONLY)
    os.write(feeder, b"half")
    _wait_for(lambda: list((tmp_path / "lake").glob(".provoice-unfinished-*")))
    os.kill(writer.pid, signal.SIGKILL)
    writer.join()
    os.close(feeder)
    assert list(Path(uri).iterdir()), "the leftover is there"
    assert list(Root(uri).list()) == []
    assert not Root(uri).exists("torn")
    Root(uri).create("torn", b"whole")
    assert Root(uri).read("torn") == b"whole"


def _wait_for(condition, seconds: float = 10.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            pytest.fail("waited in vain")
        time.sleep(0.01)


def _no_links(*_: object, **__: object) -> None:
    raise OSError(errno.EPERM, "no links here")


def test_a_disk_without_links_still_refuses_a_second_create(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "link", _no_links)
    root = Root(str(tmp_path))
    root.create("x", b"first")
    with pytest.raises(AlreadyExists):
        root.create("x", b"second")
    assert root.read("x") == b"first"
    root.check_exclusive_create()
    assert [info.path for info in root.list()] == ["x"]


def test_a_disk_that_can_neither_link_nor_rename_so_is_refused_at_the_start(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "link", _no_links)
    monkeypatch.setattr(local_create, "_rename_without_replacing", _no_links)
    with pytest.raises(ConfigError, match="cannot be written"):
        Root(str(tmp_path)).check_exclusive_create()


def test_a_full_disk_is_a_lake_error_and_leaves_nothing(tmp_path, monkeypatch):
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    root = Root(str(tmp_path))
    with pytest.raises(LakeError, match="No space left"):
        root.create("x", b"1")
    assert list(tmp_path.iterdir()) == []


class _Response(Exception):
    """How botocore and gcsfs carry a status."""

    def __init__(self, status: int) -> None:
        super().__init__(f"status {status}")
        self.response = {"ResponseMetadata": {"HTTPStatusCode": status}}


class _Coded(Exception):
    def __init__(self, code: int) -> None:
        super().__init__(f"code {code}")
        self.code = code


def _caused(by: Exception) -> OSError:
    error = OSError(errno.EINVAL, "Invalid argument")
    error.__cause__ = by
    return error


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (FileExistsError("x"), AlreadyExists),
        (_caused(_Response(412)), AlreadyExists),
        (_caused(_Response(409)), AlreadyExists),
        (_Coded(412), AlreadyExists),
        (_caused(_Response(403)), LakeError),
        (_Coded(500), LakeError),
        (OSError(errno.EINVAL, "Invalid argument"), LakeError),
        (TimeoutError("no answer"), LakeError),
        (PermissionError("not yours"), LakeError),
    ],
)
def test_what_a_store_says_becomes_one_error_of_ours(monkeypatch, said, expected):
    root = Root("memory://refusals")

    def refuse(*_: object, **__: object) -> None:
        raise said

    monkeypatch.setattr(root.filesystem, "open", refuse, raising=False)
    with pytest.raises(LakeError) as caught:
        root.create("x", b"1")
    assert type(caught.value) is expected
    assert "refusals/x" in str(caught.value)


def test_a_home_and_a_relative_path_are_made_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Root("here").uri == Root("~/here").uri == str(tmp_path / "here")


def test_an_unknown_protocol_is_a_wrong_request():
    with pytest.raises(ConfigError, match="nosuch://x"):
        Root("nosuch://x")
