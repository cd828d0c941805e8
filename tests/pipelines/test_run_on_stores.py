"""Whole runs through the command line from bucket to bucket, killed, resumed, and on stores that misbehave.

Sources, lake and ledger are three roots on one server. What must come out is what a run from the same sources to this
machine's disk leaves, byte for byte.
"""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import fsspec
import pytest

from lake.lake import Lake
from lake.reader import LakeReader
from lake.storage import Root
from tests.runs import rows
from tests.servers import stores
from tests.servers.faulty_proxy import CutOff, Fault, LostAnswer, Proxy, Request, Stale, Status, faulty
from tests.speech import folder_of_clips

CLIPS = 8
RUN = "nightly"
pytestmark = [
    # The clients' own: sessions that they close when the interpreter ends.
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning"),
]


@dataclass(frozen=True)
class Store:
    """A running store with sources in it, and what a run to this machine's disk made of them."""

    scheme: str
    uri: str
    environment: dict[str, str]
    undisturbed: dict[str, str]

    @property
    def raw(self) -> str:
        return f"{self.uri}/raw"


@pytest.fixture(scope="module", params=["gs", "s3"])
def store(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("stores")
    clips = folder_of_clips(folder / "clips", CLIPS, seconds=3)
    with stores.proven(request.param, folder / "server") as (uri, environment):
        fsspec.filesystem(request.param).put(f"{clips}/", f"{uri}/raw/".partition("://")[2], recursive=True)
        made = Store(request.param, uri, environment, {})
        done = provoice(made.raw, folder / "lake", folder / "ledger", environment)
        assert done.returncode == 0, done.stderr
        made.undisturbed.update(digests(folder / "lake"))
        assert len(made.undisturbed) > 2 * CLIPS
        yield made


def words(raw: str, lake: Path | str, ledger: Path | str, **settings: object) -> list[str]:
    """A run of one source a unit, by two children, with a ledger of its own."""
    chosen = {
        "diarize.backend": "single", "plan.unit_max_sources": 1, "workers": 2, **settings,
    }  # fmt: skip
    sets = [word for name, value in chosen.items() for word in ("--set", f"{name}={value}")]
    places = ["--source", f"raw={raw}", "--lake", str(lake), "--ledger", str(ledger)]
    return [sys.executable, "-m", "provoice", "run", "configs/explore.yaml", *places, "--run-id", RUN, *sets]


def provoice(
    raw: str, lake: Path | str, ledger: Path | str, environment: Mapping[str, str], **settings: object
) -> subprocess.CompletedProcess[str]:
    return ran(words(raw, lake, ledger, **settings), environment)


def ran(command: list[str], environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=600)


def digests(lake: Path | str) -> dict[str, str]:
    """Path within the lake to SHA-256 of the bytes, of every committed tar and part."""
    root = Root(str(lake))
    stored = [o for _, commit in LakeReader(Lake.open(str(lake))).commits for o in commit.objects]
    found = {o.path: hashlib.sha256(root.read(o.path)).hexdigest() for o in stored}
    assert len(found) == len(stored), "two commits name one object"
    assert all(found[o.path] == o.sha256 for o in stored)
    return found


def check_whole(store: Store, lake: str) -> None:
    """Every source is there once, and everything that was written is what the undisturbed run wrote."""
    assert digests(lake) == store.undisturbed
    (counts,) = rows(lake, "select count(*), count(distinct source_path) from recordings")
    assert counts == (CLIPS, CLIPS)
    (utterances,) = rows(lake, "select count(*), count(distinct key) from utterances")
    assert utterances[0] == utterances[1] > 0


def places(store: Store, name: str) -> tuple[str, str]:
    return f"{store.uri}/{name}/lake", f"{store.uri}/{name}/ledger"


def test_a_run_from_bucket_to_bucket_is_killed_and_resumed(store, tmp_path):
    lake, ledger = places(store, "killed")
    log = tmp_path / "log"
    with log.open("wb") as said:
        victim = subprocess.Popen(
            words(store.raw, lake, ledger), env={**os.environ, **store.environment}, stdout=said, stderr=said
        )
    commits = wait_until(lambda: list(Root(lake).list(f"commits/{RUN}")), victim)
    victim.send_signal(signal.SIGKILL)
    assert victim.wait() == -signal.SIGKILL, log.read_text()
    assert 0 < len(commits) < CLIPS
    done = provoice(store.raw, lake, ledger, store.environment)
    assert done.returncode == 0, done.stderr
    assert "resum" in done.stdout + done.stderr
    check_whole(store, lake)
    assert [info.path for info in Root(ledger).list()], "the ledger lies in its own root"
    # gcsfs's own files leave tasks behind, and each would complain at the end of the process.
    question = [sys.executable, "-m", "provoice", "sql", lake, "select count(*) as n from recordings", "--json"]
    asked = ran(question, store.environment)
    assert (asked.returncode, asked.stderr) == (0, "")
    assert str(CLIPS) in asked.stdout


def wait_until(found: Callable[[], list[object]], victim: subprocess.Popen[bytes]) -> list[object]:
    for _ in range(1200):
        seen = found()
        if seen or victim.poll() is not None:
            return seen
        time.sleep(0.05)
    return []


EACH = 5


def shaky(proxy: Proxy) -> Callable[[Request], Fault | None]:
    """Of the first requests for a thing some are refused for a moment, some done without an answer, some cut off: five
    of each, whatever comes in which order."""

    def rule(request: Request) -> Fault | None:
        counts = proxy.counts
        if request.turn > 1:
            return None
        if request.is_conditional:
            return LostAnswer() if counts["LostAnswer"] < EACH else None
        if request.method == "GET" and counts["CutOff"] <= counts["Status"] and counts["CutOff"] < EACH:
            return CutOff(5)
        return Status((429, 500, 502, 503, 504)[counts["Status"]]) if counts["Status"] < EACH else None

    return rule


def test_a_store_that_is_busy_for_a_while_delays_a_run_and_changes_nothing(store):
    lake, ledger = places(store, "shaky")
    with faulty(store.scheme, store.environment) as (proxy, through):
        proxy.rule = shaky(proxy)
        done = provoice(store.raw, lake, ledger, through)
    assert done.returncode == 0, done.stderr
    assert proxy.counts == dict.fromkeys(("Status", "LostAnswer", "CutOff"), EACH)
    assert "Traceback" not in done.stderr
    check_whole(store, lake)


@pytest.mark.long
def test_a_listing_of_commits_that_lags_behind_loses_and_doubles_nothing(store):
    lake, ledger = places(store, "stale")

    def lagging(request: Request) -> Fault | None:
        is_commits = request.is_listing and "/commits/" in "".join(request.query.get("prefix", ()))
        return Stale() if is_commits and proxy.counts["Stale"] < 4 else None

    with faulty(store.scheme, store.environment) as (proxy, through):
        proxy.rule = lagging
        done = provoice(store.raw, lake, ledger, through)
        if done.returncode:  # told that units are missing which are there: the same again looks once more
            assert done.returncode == 1, done.stderr
            done = provoice(store.raw, lake, ledger, through)
    assert done.returncode == 0, done.stderr
    assert proxy.counts["Stale"] > 0
    check_whole(store, lake)


@pytest.mark.long
def test_a_store_that_stays_away_stops_the_run_with_one_line_and_the_command_that_resumes_it(store):
    lake, ledger = places(store, "away")
    committed = []

    def away(request: Request) -> Fault | None:
        if committed:
            return Status(503)
        committed.extend(["yes"] * (request.is_conditional and request.is_about("/commits/")))
        return None

    # The clients' own patience: one try for botocore; gcsfs asks six times, which is why this takes long there.
    impatient = {"PROVOICE_STORE_PATIENCE_S": "1", "AWS_MAX_ATTEMPTS": "1"}
    with faulty(store.scheme, store.environment) as (proxy, through):
        proxy.rule = away
        done = provoice(store.raw, lake, ledger, {**through, **impatient}, **{"limits.unit_tries": 1})
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    told = next(line for line in done.stderr.splitlines() if line.startswith("provoice: "))
    assert f"{store.uri}/away/" in told
    assert "503" in told
    assert f"--lake {lake}" in done.stderr
    again = provoice(store.raw, lake, ledger, store.environment, **{"limits.unit_tries": 1})
    assert again.returncode == 0, again.stderr
    check_whole(store, lake)
