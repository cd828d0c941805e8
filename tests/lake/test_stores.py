"""The one promise, kept by the real clients of GCS and S3: over a network, across processes, when they are killed."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from lake import listing
from lake.commits import committed_units, create_commit, read_commits
from lake.lake import Lake
from lake.runs import create_run, list_runs
from lake.storage import Missing, Root
from schemas.errors import AlreadyExists, LakeError
from tests.consents import ended
from tests.lake.test_commits_and_runs import commit, run_record
from tests.servers import stores
from tests.servers.faulty_proxy import CutOff, LostAnswer, faulty
from tests.servers.processes import free_port

SPAWN = multiprocessing.get_context("spawn")
BIG = bytes(range(256)) * (36 << 12)  # 36 MiB: two parts of an upload
RACERS = 3
pytestmark = [
    # The clients' own: sessions that they close when the interpreter ends.
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning"),
]


@pytest.fixture(scope="module", params=["gs", "s3"])
def bucket(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("store")
    with stores.proven(request.param, folder) as (uri, _):
        yield uri


@pytest.fixture
def root(bucket, request):
    return Root(f"{bucket}/{request.node.originalname}")


def test_a_store_that_overwrites_is_found_out(monkeypatch):
    plain = MemoryFileSystem.open
    monkeypatch.setattr(MemoryFileSystem, "open", lambda self, path, mode: plain(self, path, mode.replace("x", "w")))
    with pytest.raises(pytest.fail.Exception, match="does not refuse"):
        stores.refuses_a_second_create("memory://lake")


def test_a_second_create_is_refused_and_changes_nothing(root):
    root.check_exclusive_create()
    root.create("a/x", b"first")
    with pytest.raises(AlreadyExists, match="a/x exists already"):
        root.create("a/x", b"second")
    assert root.read("a/x") == b"first"
    assert root.read("a/x", 1, 3) == b"ir"
    assert (root.size("a/x"), root.size("a"), root.size("b")) == (5, None, None)
    assert [(info.path, info.size_bytes) for info in root.list()] == [("a/x", 5)]
    assert list(root.list("b")) == []


def test_what_is_not_there_is_missing(root, bucket):
    for place in (root, Root(f"{bucket}-that-is-none/lake")):
        with pytest.raises(Missing):
            place.read("x")
        assert not place.exists("x")
    root.delete("x")
    with pytest.raises(LakeError):
        Root(f"{bucket}-that-is-none/lake").create("x", b"1")


def test_what_others_write_is_seen_at_once(root):
    other = Root(root.uri)
    assert list(root.list("log")) == []
    assert not root.exists("log/1")
    other.create("log/1", b"1")
    assert root.exists("log/1")
    assert [info.path for info in root.list("log")] == ["log/1"]
    other.delete("log/1")
    assert not root.exists("log/1")


def test_a_big_file_goes_up_in_parts_and_only_once(root, tmp_path):
    (tmp_path / "big").write_bytes(BIG)
    sha256 = hashlib.sha256(BIG).hexdigest()
    for _ in range(2):
        root.put("big", tmp_path / "big", sha256)
    assert root.sha256("big") == sha256
    with pytest.raises(AlreadyExists):
        root.create("big", tmp_path / "big")
    with root.open("big") as file:
        file.seek(-3, 2)
        assert file.read() == BIG[-3:]
    (tmp_path / "other").write_bytes(BIG[1:] + b"x")
    with pytest.raises(LakeError, match="other bytes"):
        root.put("big", tmp_path / "other", "0" * 64)
    assert unfinished_uploads(root) == []


def unfinished_uploads(root: Root) -> list[str]:
    if root.protocol != "s3":
        return []
    bucket, _, prefix = root.base.partition("/")
    said = root.filesystem.call_s3("list_multipart_uploads", Bucket=bucket, Prefix=f"{prefix}/big")
    return [upload["Key"] for upload in said.get("Uploads", [])]


def test_an_upload_that_breaks_off_leaves_nothing(root, tmp_path, monkeypatch):
    (tmp_path / "big").write_bytes(BIG)
    plain = Path.open

    class Interrupted:
        def __init__(self, file):
            self.file = file

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.file.close()

        def read(self, n):
            if self.file.tell() > 33 << 20:
                raise KeyboardInterrupt
            return self.file.read(n)

    monkeypatch.setattr(Path, "open", lambda path, *a, **o: Interrupted(plain(path, *a, **o)))
    with pytest.raises(KeyboardInterrupt):
        root.create("big", tmp_path / "big")
    monkeypatch.undo()
    assert not root.exists("big")
    assert unfinished_uploads(root) == []
    root.create("big", tmp_path / "big")
    assert root.size("big") == len(BIG)


_UPLOAD = """
import sys
from pathlib import Path
from lake.storage import Root
sys.stdout.write("ready\\n"); sys.stdout.flush()
Root(sys.argv[1]).create("big", Path(sys.argv[2]))
"""


def test_a_writer_that_is_killed_while_it_uploads_leaves_nothing(root, tmp_path):
    os.mkfifo(tmp_path / "big")
    patched = _UPLOAD.replace(
        "Root(sys", "import os; Path.stat = lambda self, **_: os.stat(sys.executable)\nRoot(sys", 1
    )
    writer = subprocess.Popen([sys.executable, "-c", patched, root.uri, str(tmp_path / "big")], stdout=subprocess.PIPE)
    assert writer.stdout is not None
    writer.stdout.readline()
    with (tmp_path / "big").open("wb") as feeder:
        feeder.write(BIG[: 34 << 20])  # more than one part is on its way, and then the process is gone
        time.sleep(0.5)
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
    assert not root.exists("big")
    assert [info.path for info in root.list()] == []


def _race(uri: str, number: int, barrier, said) -> None:
    root, data = Root(uri), bytes([number]) * 1000
    root.exists("prize")  # the client is warm
    barrier.wait()
    for turn in range(10):
        try:
            root.create(f"prize{turn}", data)
            said.put((turn, number))
        except AlreadyExists:
            pass
    said.put(None)


def test_of_many_processes_that_create_one_name_exactly_one_wins(root):
    barrier, said = SPAWN.Barrier(RACERS), SPAWN.SimpleQueue()
    racers = [SPAWN.Process(target=_race, args=(root.uri, n, barrier, said)) for n in range(RACERS)]
    for racer in racers:
        racer.start()
    wins, done = [], 0
    while done < len(racers):
        win = said.get()
        done += win is None
        wins += [win] if win else []
    for racer in racers:
        racer.join()
    assert sorted(turn for turn, _ in wins) == list(range(10))
    assert all(root.read(f"prize{turn}") == bytes([number]) * 1000 for turn, number in wins)


def test_a_listing_goes_on_beyond_a_page(root, monkeypatch):
    monkeypatch.setattr(listing, "_PAGE", 7)
    names = {f"{n // 10}/{n}" for n in range(40)}
    for name in names:
        root.create(name, b"1")
    assert {info.path for info in root.list()} == names
    assert {info.path for info in root.list("3")} == {name for name in names if name.startswith("3/")}
    assert all(info.modified is not None and info.modified.utcoffset().total_seconds() == 0 for info in root.list())


def test_a_lake_with_its_runs_commits_and_ledger(root):
    uri = root.uri
    lake = Lake.create_or_open(uri)
    create_run(lake, run_record())
    for n in range(30):
        create_commit(lake, commit(f"{n:07d}-aa", "one"))
    assert create_commit(lake, commit("0000003-aa", "two")).writer == "one"
    for n in range(3):
        lake.ledger().append([ended(f"s{n}", name=f"e{n}")])
    again = Lake.open(uri)
    assert [run.run_id for run in list_runs(again)] == ["r"]
    assert committed_units(again, "r") == {f"{n:07d}-aa": 0 for n in range(30)}
    assert [c.unit_id for c in read_commits(again, "r")] == [f"{n:07d}-aa" for n in range(30)]
    assert [(position, event.event_id) for position, event in again.ledger().events()] == [
        (1, "e0"),
        (2, "e1"),
        (3, "e2"),
    ]


def _read_in_a_fork(inherited: Root, said) -> None:
    said.put(Root(inherited.uri).read("x"))
    try:
        said.put(inherited.read("x"))
    except LakeError as error:
        said.put(str(error))


def test_a_forked_process_opens_a_root_of_its_own_and_an_inherited_one_does_not_hang(root):
    """The clients' threads are not there after a fork."""
    root.create("x", b"data")
    fork = multiprocessing.get_context("fork")
    said = fork.SimpleQueue()
    child = fork.Process(target=_read_in_a_fork, args=(root, said))
    child.start()
    child.join(60)
    assert child.exitcode == 0
    assert said.get() == b"data"
    told = said.get()
    assert told == b"data" or ("/x: " in told and "fork" in told), told
    assert root.read("x") == b"data"


def test_a_root_goes_to_another_process(root):
    root.create("x", b"data")
    assert pickle.loads(pickle.dumps(root)).read("x") == b"data"


def test_a_create_whose_answer_is_lost_meets_its_own_object(root, bucket):
    scheme = bucket.partition("://")[0]
    with faulty(scheme, dict(os.environ)) as (proxy, through), stores.opened_in_this_process(through):
        behind = Root(root.uri)
        proxy.rule = lambda request: LostAnswer() if request.is_conditional and request.turn == 1 else None
        with pytest.raises(AlreadyExists):
            behind.create("x", b"data")
        assert behind.read("x") == b"data"
        sha256 = hashlib.sha256(b"other").hexdigest()
        behind.put("y", b"other", sha256)
        behind.check_exclusive_create()
        assert proxy.counts["LostAnswer"] >= 3
        lake = Lake.create_or_open(f"{root.uri}/lake")
        create_run(lake, run_record())
        assert create_commit(lake, commit("0000000-aa", "one")).writer == "one"
        assert lake.ledger().append([ended("s", name="e")])
        assert [event.event_id for _, event in lake.ledger().events()] == ["e"]
        proxy.rule = lambda request: LostAnswer() if request.method == "DELETE" and request.turn == 1 else None
        behind.delete("x")
        assert not behind.exists("x")


def test_what_breaks_off_is_read_to_its_end(root, bucket):
    scheme, data = bucket.partition("://")[0], bytes(range(256)) * 20_000
    root.create("x", data)
    with faulty(scheme, dict(os.environ)) as (proxy, through), stores.opened_in_this_process(through):
        behind = Root(root.uri)
        proxy.rule = lambda request: CutOff(1000) if request.method == "GET" and request.turn == 1 else None
        assert behind.sha256("x") == hashlib.sha256(data).hexdigest()
        proxy.rule = lambda request: CutOff(1000) if request.method == "GET" and request.number % 2 else None
        assert behind.read("x") == data
        assert [info.path for info in behind.list()] == ["x"]
        assert proxy.counts["CutOff"] >= 2


def test_a_server_that_is_gone_is_told_in_one_line(bucket, monkeypatch):
    scheme = bucket.partition("://")[0]
    monkeypatch.setenv("PROVOICE_STORE_PATIENCE_S", "1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    # gcsfs asks six times by itself, half a minute long.
    monkeypatch.setattr("gcsfs.retry.asyncio.sleep", no_pause())
    nowhere = {**os.environ, **stores.environment_of(scheme, f"http://127.0.0.1:{free_port()}")}
    with stores.opened_in_this_process(nowhere):
        root = Root(f"{bucket}/none")
        for ask in (lambda: root.read("x"), lambda: root.size("x"), lambda: root.create("x", b"1"), root.list):
            with pytest.raises(LakeError, match=rf"^{scheme}://lake/none") as caught:
                list(ask() or ())
            assert type(caught.value) is LakeError
            assert "\n" not in str(caught.value)


def no_pause():
    import asyncio

    plain = asyncio.sleep
    return lambda _: plain(0)
