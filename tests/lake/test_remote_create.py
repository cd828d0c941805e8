"""Creates on an object store: refused, in conflict, interrupted; never half an object under a final name."""

from __future__ import annotations

import gc

import pytest

from lake import remote_create
from lake.store_errors import in_one_line, is_conflict, is_refusal
from tests.lake.fake_store import FakeStore
from tests.lake.test_retries import stopped_clock


@pytest.fixture
def store(monkeypatch):
    stopped_clock(monkeypatch)
    return FakeStore()


def create(store, data):
    remote_create.create(store, "s3", "bucket/x", data)


def test_what_was_written_is_there_once(store, tmp_path):
    data = bytes(range(256)) * 20_000
    (tmp_path / "big").write_bytes(data)
    create(store, tmp_path / "big")
    assert store.objects == {"bucket/x": data}
    with pytest.raises(OSError, match="Some words") as caught:
        create(store, b"second")
    assert is_refusal(caught.value)
    assert store.objects == {"bucket/x": data}
    assert store.unfinished_uploads == 0


class _Breaking:
    """A local file whose disk fails, or whose reader is interrupted, after a few chunks."""

    def __init__(self, path, error):
        self.path, self.error, self.left = path, error, 0

    def stat(self):
        return self.path.stat()

    def open(self, mode):
        self.file = self.path.open(mode)
        return self

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()

    def read(self, n):
        self.left -= 1
        if self.left < 0:
            raise self.error
        return self.file.read(n)


@pytest.mark.parametrize("error", [OSError("the disk is gone"), KeyboardInterrupt()])
@pytest.mark.parametrize("size", [100, 40 << 20])
def test_an_upload_that_breaks_off_leaves_nothing(store, tmp_path, error, size):
    (tmp_path / "big").write_bytes(bytes(size))
    breaking = _Breaking(tmp_path / "big", error)
    breaking.left = min(9, size // 200)
    with pytest.raises(type(error)):
        create(store, breaking)
    gc.collect()  # a file object that is forgotten must not finish its upload either
    assert store.objects == {}


def test_a_conflict_is_asked_again(store):
    store.answers = [409, 409]
    create(store, b"data")
    assert store.objects == {"bucket/x": b"data"}


def test_a_conflict_that_does_not_end_is_told(store):
    store.answers = [409] * 50
    with pytest.raises(OSError, match="Some words") as caught:
        create(store, b"data")
    assert is_conflict(caught.value)
    assert not is_refusal(caught.value)
    assert 50 - len(store.answers) in range(9, 20), "a minute of pauses that grow to ten seconds"
    assert store.objects == {}


@pytest.mark.parametrize("status", [400, 403, 500, 503])
def test_any_other_answer_is_no_refusal(store, status):
    store.answers = [status] * 50
    with pytest.raises(OSError, match="Some words") as caught:
        create(store, b"data")
    assert not is_refusal(caught.value)
    assert store.objects == {}


def test_an_empty_object_is_not_created_for_s3fs_would_overwrite(store, tmp_path):
    (tmp_path / "empty").write_bytes(b"")
    for data in (b"", tmp_path / "empty"):
        with pytest.raises(ValueError, match="empty"):
            create(store, data)


def test_what_was_said_is_one_line():
    assert in_one_line(PermissionError(13, "Permission denied", "/a/b")) == "Permission denied"
    assert in_one_line(RuntimeError("two\n  lines")) == "two lines"
    assert in_one_line(TimeoutError()) == "TimeoutError"


def test_gcs_is_sent_what_is_small_in_one_request_but_never_what_holds_its_boundary(store, monkeypatch):
    sent = []
    monkeypatch.setattr(store, "pipe_file", lambda _, data, mode: sent.append((data, mode)), raising=False)
    remote_create.create(store, "gs", "bucket/small", b"data")
    assert sent == [(b"data", "create")]
    remote_create.create(store, "gs", "bucket/odd", b"a\n--==0==\nb")
    remote_create.create(store, "gs", "bucket/big", bytes(1 + (32 << 20)))
    assert (len(sent), sorted(store.objects)) == (1, ["bucket/big", "bucket/odd"])


def test_an_upload_whose_end_was_not_heard_of_is_refused_by_its_own_object(store, monkeypatch):
    def gone(*_, **__):
        raise FileNotFoundError("no such upload")

    monkeypatch.setattr(store, "open", gone, raising=False)
    for is_there, expected in ((True, FileExistsError), (False, FileNotFoundError)):
        monkeypatch.setattr(store, "exists", lambda _, is_there=is_there: is_there, raising=False)
        with pytest.raises(expected):
            create(store, b"data")
