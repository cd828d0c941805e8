"""What is asked again, for how long, and what is said after it."""

from __future__ import annotations

import io
import logging

import aiohttp
import botocore.exceptions
import fsspec
import pytest
import requests
from gcsfs.retry import HttpError

from lake import clients, listing, retries
from lake.ranged import RangedFile, RangedFileSystem, read_range
from lake.retries import PATIENCE_S, retried
from lake.storage import Missing, Root
from lake.store_errors import ShortRead, in_one_line, is_transient
from schemas.errors import ConfigError, LakeError
from tests.lake.fake_store import as_s3fs_says_it


def stopped_clock(monkeypatch) -> list[float]:
    """Time passes only while somebody sleeps: the pauses, in seconds."""
    pauses: list[float] = []
    monkeypatch.setattr(retries.time, "monotonic", lambda: sum(pauses))
    monkeypatch.setattr(retries.time, "sleep", pauses.append)
    return pauses


@pytest.fixture
def pauses(monkeypatch):
    return stopped_clock(monkeypatch)


def failing(*errors, then=b"data"):
    """A call that raises each of `errors` in turn, and then returns."""
    left = list(errors)

    def call(*_, **__):
        if left:
            raise left.pop(0)
        return then

    return call


BUSY = HttpError({"code": 503, "message": "Service Unavailable"})


@pytest.mark.parametrize(
    "error",
    [
        *(HttpError({"code": status, "message": "x"}) for status in (408, 429, 500, 502, 503, 504)),
        *(as_s3fs_says_it(status) for status in (429, 500, 502, 503, 504)),
        requests.exceptions.ProxyError(),
        requests.exceptions.ReadTimeout(),
        aiohttp.ServerDisconnectedError(),
        aiohttp.ClientPayloadError("Response payload is not completed"),
        aiohttp.SocketTimeoutError(),
        botocore.exceptions.EndpointConnectionError(endpoint_url="http://x"),
        botocore.exceptions.ReadTimeoutError(endpoint_url="http://x"),
        botocore.exceptions.ConnectionClosedError(endpoint_url="http://x"),
        botocore.exceptions.IncompleteReadError(actual_bytes=1, expected_bytes=2),
        ConnectionResetError(104, "Connection reset by peer"),
        TimeoutError(),
        fsspec.asyn.FSTimeoutError(),
        ShortRead("1 of 2"),
    ],
    ids=repr,
)
def test_what_is_wrong_for_a_moment_is_asked_again(pauses, error):
    assert is_transient(error)
    assert retried(failing(error, error, error)) == b"data"
    assert len(pauses) == 3


@pytest.mark.parametrize(
    "error",
    [
        *(HttpError({"code": status, "message": "x"}) for status in (400, 401, 403, 404, 409, 412, 416)),
        *(as_s3fs_says_it(status) for status in (400, 403, 409, 412)),
        FileNotFoundError("x"), FileExistsError("x"), PermissionError("x"), OSError("Forbidden"), ValueError("x"),
    ],
    ids=repr,
)  # fmt: skip
def test_whatever_else_is_raised_at_once(pauses, error):
    with pytest.raises(type(error)):
        retried(failing(error))
    assert pauses == []


def test_it_ends_within_its_bound_and_the_pauses_grow_and_vary(pauses):
    for _ in range(20):
        pauses.clear()
        with pytest.raises(HttpError):
            retried(failing(*[BUSY] * 1000))
        assert PATIENCE_S - 10 <= sum(pauses) <= PATIENCE_S
        assert all(low <= pause <= 2 * low for pause, low in zip(pauses, (0.25, 0.5, 1, 2, 4, 5, 5), strict=False))
    assert len({round(pause, 6) for pause in pauses}) == len(pauses)


def test_the_time_that_a_long_call_took_before_it_failed_does_not_count(pauses):
    def long_upload():
        pauses.append(600.0)
        raise BUSY

    with pytest.raises(HttpError):
        retried(long_upload)
    assert pauses.count(600.0) == 2, "asked once more, and then the bound has passed"


@pytest.mark.parametrize(("said", "tries"), [("0", 1), ("1", 2), ("", 10)])
@pytest.mark.usefixtures("pauses")
def test_the_bound_can_be_said(monkeypatch, said, tries):
    monkeypatch.setenv("PROVOICE_STORE_PATIENCE_S", said)
    monkeypatch.setattr(retries._chance, "uniform", lambda _, high: high)
    asked = []

    def call():
        asked.append(1)
        raise BUSY

    with pytest.raises(HttpError):
        retried(call)
    assert len(asked) == tries


@pytest.mark.parametrize("said", ["soon", "-1", "nan"])
def test_a_bound_that_is_none_is_refused(monkeypatch, said):
    monkeypatch.setenv("PROVOICE_STORE_PATIENCE_S", said)
    with pytest.raises(ConfigError, match="PROVOICE_STORE_PATIENCE_S"):
        retried(failing(BUSY))


# --- through a root -------------------------------------------------------------------------------------------------


@pytest.fixture
def root(request):
    fsspec.filesystem("memory").store.clear()
    return Root(f"memory://{abs(hash(request.node.name))}")


OPERATIONS = {
    "read": ("cat_file", lambda root: root.read("x")),
    "range": ("cat_file", lambda root: root.read("x", 0, 2)),
    "sha256": ("cat_file", lambda root: root.sha256("x")),
    "size": ("info", lambda root: root.size("x")),
    "list": ("ls", lambda root: [info.path for info in root.list()]),
    "delete": ("rm_file", lambda root: root.delete("x")),
    "create": ("pipe_file", lambda root: root.create("y", b"new")),
    "put": ("pipe_file", lambda root: root.put("z", b"new", "0")),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation_is_asked_again_and_at_last_says_what_and_why(name, root, pauses, monkeypatch):
    method, operation = OPERATIONS[name]
    root.create("x", b"data")
    expected = operation(root) if name not in ("delete", "create", "put") else None
    plain = getattr(root.filesystem, method)
    left = [BUSY, as_s3fs_says_it(503), ConnectionResetError("reset")]

    def shaky(*args, **options):
        if left:
            raise left.pop()
        return plain(*args, **options)

    monkeypatch.setattr(root.filesystem, method, shaky, raising=False)
    assert operation(root) == expected
    assert (len(pauses), left) == (3, [])
    root.create("x", b"data") if name == "delete" else None
    left += [as_s3fs_says_it(503)] * 1000
    for taken in ("y", "z"):
        root.filesystem.store.pop(f"/{root.base.strip('/')}/{taken}", None)
    with pytest.raises(LakeError, match=r"(?s)memory://.*Some words \(HTTP 503\)$") as caught:
        operation(root)
    assert type(caught.value) is LakeError
    assert "\n" not in str(caught.value)


def test_a_file_is_read_by_ranges_each_whole_or_not_at_all(root, pauses, monkeypatch):
    data = bytes(range(256)) * 20_000  # 5 MB: several ranges
    root.create("x", data)
    plain = root.filesystem.cat_file
    answers = iter(range(10_000))

    def shaky(path, start=None, end=None):
        turn = next(answers) % 3
        if turn == 1:
            raise aiohttp.ClientPayloadError("broke off")
        return plain(path, start=start, end=end)[: -1 if turn == 2 else None]

    monkeypatch.setattr(root.filesystem, "cat_file", shaky, raising=False)
    with root.open("x") as file:
        assert file.read() == data
        assert (file.seek(-3, 2), file.read(9), file.tell()) == (len(data) - 3, data[-3:], len(data))
        assert (file.seek(1_000_000), file.read(4)) == (1_000_000, data[1_000_000:1_000_004])
        with pytest.raises(ValueError, match="before the start"):
            file.seek(-1)
        assert (file.seek(len(data) + 9), file.read()) == (len(data) + 9, b"")
    assert pauses
    monkeypatch.setattr(root.filesystem, "cat_file", lambda *_, **__: b"1", raising=False)
    with root.open("x") as file, pytest.raises(LakeError, match=r"/x: 1 bytes came where 1048576 were asked for"):
        file.read(10)
    with pytest.raises(Missing), root.open("none"):
        pass


def test_what_others_read_through_us_is_asked_again_too(root, pauses, monkeypatch):
    root.create("a.parquet", b"data")
    store = RangedFileSystem(root.filesystem, 4)
    for method in ("info", "cat_file", "glob"):
        monkeypatch.setattr(root.filesystem, method, once(getattr(root.filesystem, method)), raising=False)
    uri = root.uri_of("a.parquet")
    with store.open(uri) as file:
        assert (file.seek(1), file.read()) == (1, b"ata")
    assert (store.size(uri), store.exists(uri), store.exists(f"{uri}x")) == (4, True, False)
    assert [path.rpartition("/")[2] for path in store.glob(root.uri_of("*.parquet"))] == ["a.parquet"]
    assert store.modified(uri) is not None
    assert len(pauses) == 3
    with pytest.raises(OSError, match="read only"):
        store.open(uri, "wb")
    with pytest.raises(FileNotFoundError):
        store.open(f"{uri}x")


def once(plain):
    """`plain`, whose first call finds the store busy."""
    calls = []

    def call(*args, **options):
        calls.append(1)
        if len(calls) == 1:
            raise BUSY
        return plain(*args, **options)

    return call


def test_a_range_that_never_comes_whole_is_an_error_and_not_a_short_read(pauses):
    class Short:
        def cat_file(self, _path, start, end):
            return b"x" * (end - start - 1)

    with pytest.raises(ShortRead):
        read_range(Short(), "x", 0, 10)
    assert sum(pauses) > PATIENCE_S - 10
    with pytest.raises(ShortRead):
        io.BufferedReader(RangedFile(lambda start, end: read_range(Short(), "x", start, end), 99)).read()


class Paged:
    """As gcsfs answers: pages of two; every second request is told to come back."""

    def __init__(self, names):
        self.names, self.asked = names, 0

    def call(self, _method, _path, _bucket, **options):
        self.asked += 1
        if self.asked % 2:
            raise BUSY
        start = int(options.get("pageToken", 0))
        page = {"items": [{"name": f"lake/{name}", "size": "1"} for name in self.names[start : start + 2]]}
        return page if start + 2 >= len(self.names) else {**page, "nextPageToken": str(start + 2)}


def test_a_listing_goes_on_at_the_page_that_failed(pauses):
    names = [f"a/{n}" for n in range(9)]
    store = Paged(names)
    assert [info.path for info in listing.objects(store, "gs", "bucket/lake")] == names
    assert (store.asked, len(pauses)) == (10, 5)


def test_gcsfs_does_not_log_tracebacks_of_what_we_say_in_a_line(monkeypatch):
    log = logging.getLogger("gcsfs")
    monkeypatch.setattr(log, "level", logging.NOTSET)
    clients._defaults("gs")
    assert log.level == logging.CRITICAL


def test_a_wait_has_an_end_whatever_the_client_would_do(monkeypatch):
    assert clients._defaults("gs")["requests_timeout"].sock_read == 60
    monkeypatch.setitem(fsspec.config.conf, "gs", {"requests_timeout": 5, "token": "anon"})
    assert clients.open_filesystem("gs://b")[0].requests_timeout == 5, "what a person says in the environment holds"


def test_what_is_said_holds_the_status():
    assert in_one_line(as_s3fs_says_it(503)) == "Some words (HTTP 503)"
    assert in_one_line(BUSY) == "Service Unavailable, 503"
    assert in_one_line(requests.exceptions.ProxyError()) == "ProxyError (HTTP 502)"
