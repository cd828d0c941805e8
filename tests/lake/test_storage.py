"""The one promise: a create that is refused when it is not the first, and that is whole or not there."""

from __future__ import annotations

import errno
import hashlib
import multiprocessing
import os
import pickle
import signal
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import fsspec
import pytest

from lake import local_create
from lake.storage import Denied, Missing, Root
from schemas.errors import AlreadyExists, ConfigError, LakeError
from tests.lake.fake_store import FakeStore, as_s3fs_says_it

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


class _Coded(Exception):
    """How gcsfs carries a status; its code may be a text."""

    def __init__(self, code: int | str) -> None:
        super().__init__(f"code {code}")
        self.code = code


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (FileExistsError("x"), AlreadyExists),
        (as_s3fs_says_it(412), AlreadyExists),
        (OSError(errno.EINVAL, "At least one of the pre-conditions you specified did not hold"), AlreadyExists),
        (_Coded(412), AlreadyExists),
        (_Coded("412"), AlreadyExists),
        (as_s3fs_says_it(409), LakeError),
        (as_s3fs_says_it(403), Denied),
        (FileNotFoundError("no such bucket"), LakeError),
        (_Coded(500), LakeError),
        (OSError(errno.EINVAL, "Invalid argument"), LakeError),
        (TimeoutError("no answer"), LakeError),
        (PermissionError("not yours"), Denied),
    ],
)
def test_what_a_store_says_becomes_one_error_of_ours(monkeypatch, said, expected):
    monkeypatch.setenv("PROVOICE_STORE_PATIENCE_S", "0")
    root = Root("memory://refusals")

    def refuse(*_: object, **__: object) -> None:
        raise said

    monkeypatch.setattr(root.filesystem, "open", refuse, raising=False)
    with pytest.raises(LakeError) as caught:
        root.create("x", b"1")
    assert type(caught.value) is expected
    assert "refusals/x" in str(caught.value)


def test_only_a_create_is_refused(monkeypatch):
    """A delete under a legal hold is answered 412 or 409 as well; that is no "exists already"."""
    root = Root("memory://refusals")

    def refuse(*_: object, **__: object) -> None:
        raise as_s3fs_says_it(412)

    for method in ("cat_file", "rm_file", "info"):
        monkeypatch.setattr(root.filesystem, method, refuse, raising=False)
    for ask in (root.read, root.delete, root.size):
        with pytest.raises(LakeError) as caught:
            ask("x")
        assert type(caught.value) is LakeError


def test_a_store_whose_creates_are_not_known_to_be_exclusive_is_refused_at_the_start(monkeypatch):
    root = Root("memory://probe")
    monkeypatch.setattr(root, "filesystem", FakeStore())
    monkeypatch.setattr(root, "protocol", "sftp")
    with pytest.raises(ConfigError, match=r"gs:// and s3:// only, not of sftp://"):
        root.check_exclusive_create()


def test_a_store_that_overwrites_is_refused_at_the_start(monkeypatch):
    root = Root("memory://probe")
    monkeypatch.setattr(root.filesystem, "exists", lambda _: False, raising=False)
    with pytest.raises(ConfigError, match="overwrites where it should refuse"):
        root.check_exclusive_create()
    assert list(root.list()) == []


def test_who_may_create_need_not_be_allowed_to_delete(root, monkeypatch):
    def forbidden(path: str) -> None:
        raise LakeError(f"{path}: forbidden")

    monkeypatch.setattr(root, "delete", forbidden)
    root.check_exclusive_create()
    assert list(root.list()) == [], "what the probe left is not seen"


def test_a_folder_is_no_object(root):
    root.create("a/b", b"1")
    assert root.size("a") is None
    assert not root.exists("a")


def test_a_file_of_its_own_disk_is_moved_and_not_copied(tmp_path):
    finished, root = tmp_path / "finished", Root(str(tmp_path / "lake"))
    finished.write_bytes(b"tar")
    inode = finished.stat().st_ino
    root.put("x", finished, hashlib.sha256(b"tar").hexdigest())
    assert (tmp_path / "lake" / "x").stat().st_ino == inode
    finished.write_bytes(b"the next one")
    assert root.read("x") == b"tar"


def test_a_file_put_again_is_compared_and_stays_where_it_is(tmp_path):
    root, sha256 = Root(str(tmp_path / "lake")), hashlib.sha256(b"tar").hexdigest()
    for name in ("one", "two"):
        (tmp_path / name).write_bytes(b"tar")
        root.put("x", tmp_path / name, sha256)
    assert (tmp_path / "two").read_bytes() == b"tar"
    assert (tmp_path / "lake" / "x").stat().st_nlink == 1


@pytest.mark.parametrize("shape", ["link", "two names", "another disk", "private"])
def test_a_file_that_cannot_be_moved_is_copied(tmp_path, monkeypatch, shape):
    finished = tmp_path / "finished"
    finished.write_bytes(b"tar")
    given = finished
    if shape == "link":
        given = tmp_path / "link"
        given.symlink_to(finished)
    elif shape == "two names":
        os.link(finished, tmp_path / "other")
    elif shape == "private":
        finished.chmod(0o600)  # of `mkstemp`: others must be able to read a lake's object
    else:
        link = os.link

        def on_another_disk(source: Path, target: Path) -> None:
            if source == finished:
                raise OSError(errno.EXDEV, "Invalid cross-device link")
            link(source, target)

        monkeypatch.setattr(os, "link", on_another_disk)
    root = Root(str(tmp_path / "lake"))
    root.put("x", given, hashlib.sha256(b"tar").hexdigest())
    stored = tmp_path / "lake" / "x"
    assert finished.read_bytes() == stored.read_bytes() == b"tar"
    assert not stored.is_symlink()
    assert stored.stat().st_ino != finished.stat().st_ino
    assert stored.stat().st_mode & 0o044 or os.umask(0o022) != 0o022


def test_a_link_whose_answer_was_lost_counts(tmp_path, monkeypatch):
    link = os.link

    def repeated(source: Path, target: Path) -> None:
        link(source, target)
        link(source, target)

    monkeypatch.setattr(os, "link", repeated)
    root = Root(str(tmp_path))
    root.create("x", b"1")
    assert root.read("x") == b"1"
    monkeypatch.undo()
    with pytest.raises(AlreadyExists):
        root.create("x", b"2")


def test_every_file_and_folder_reaches_the_disk_before_a_create_returns(tmp_path, monkeypatch):
    synced: list[str] = []
    fsync = os.fsync

    def recorded(descriptor: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", recorded)
    Root(str(tmp_path)).create("a/b/x", b"1")
    assert synced[:2] == [str(tmp_path), str(tmp_path / "a")], "the names of new folders"
    assert ".provoice-unfinished-" in synced[2], "the bytes, before they have their name"
    assert synced[3:] == [str(tmp_path / "a" / "b")], "the name"
    synced.clear()
    (tmp_path / "tar").write_bytes(b"2")
    Root(str(tmp_path)).put("a/y", tmp_path / "tar", hashlib.sha256(b"2").hexdigest())
    assert synced == [str(tmp_path / "tar"), str(tmp_path / "a")]
    synced.clear()
    Root(str(tmp_path)).delete("a/y")
    assert synced == [str(tmp_path / "a")]


def test_modified_is_utc(root):
    before = datetime.now(UTC)
    root.create("x", b"1")
    (found,) = root.list()
    assert found.modified is not None
    assert found.modified.utcoffset() == timedelta(0)
    assert abs(found.modified - before) < timedelta(minutes=1)


def test_a_root_travels_to_another_process(root):
    root.create("x", b"1")
    assert pickle.loads(pickle.dumps(root)).read("x") == b"1"


@pytest.mark.parametrize(("uri", "said"), [("", "names no place"), ("nosuch://x", "nosuch://x: cannot be opened")])
def test_a_place_that_is_none_is_a_wrong_request(uri, said):
    with pytest.raises(ConfigError, match=said):
        Root(uri)


def test_a_store_without_a_bucket_is_a_wrong_request():
    pytest.importorskip("s3fs")
    with pytest.raises(ConfigError, match="names no bucket"):
        Root("s3://")


def test_a_client_that_is_not_installed_is_named_with_its_extra(monkeypatch):
    def absent(*_: object, **__: object) -> None:
        raise ImportError("Please install gcsfs to access GCS")

    monkeypatch.setattr(fsspec.core, "url_to_fs", absent)
    with pytest.raises(ConfigError, match=r"pip install 'provoice\[gcs\]'"):
        Root("gs://bucket/lake")


def test_a_path_may_hold_what_urls_cannot(tmp_path):
    root = Root(str(tmp_path / "a::b #1?%20é"))
    root.create("x y/ü", b"1")
    assert [info.path for info in root.list()] == ["x y/ü"]
    assert Root(f"file://{tmp_path}/plain/").uri == str(tmp_path / "plain")


def test_a_home_and_a_relative_path_are_made_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Root("here").uri == Root("~/here").uri == str(tmp_path / "here")


def _create_for_ever(uri: str) -> None:
    root = Root(uri)
    for number in range(100_000):
        root.create(f"{number}", bytes([number % 256]) * 200_000)


def test_wherever_a_writer_is_killed_what_is_seen_is_whole(tmp_path):
    for turn in range(8):
        uri = str(tmp_path / str(turn))
        writer = FORK.Process(target=_create_for_ever, args=(uri,))
        writer.start()
        _wait_for(lambda uri=uri: os.path.exists(f"{uri}/0"))
        time.sleep(0.007 * turn)
        os.kill(writer.pid, signal.SIGKILL)
        writer.join()
        seen = {info.path: info.size_bytes for info in Root(uri).list()}
        assert seen == {str(n): 200_000 for n in range(len(seen))}
        assert all(Root(uri).read(name) == bytes([int(name) % 256]) * 200_000 for name in seen)
