"""The real Airflow runs both DAGs on a lake of real speech: what it leaves is what the same commands leave by hand.

`pytest -s -m long tests/airflow` prints the figures. Airflow is installed once, into `.cache/tests` (environment.py).
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.airflow.environment import DAGS, airflow, surroundings
from tests.airflow.scheduled import KEY, Place, Scheduler, more_sources, place, provoice, scheduler, sources
from tests.airflow.test_commands import PARAMS, commands
from tests.runs import rows

pytestmark = pytest.mark.long

DAY = datetime(2026, 11, 20, 3, tzinfo=UTC)
DYING = Path(__file__).with_name("dying.py")


@dataclass
class Webhook:
    """Whom failures and expiring grants are told."""

    url: str
    told: list[str]


@dataclass
class World:
    """Two lakes over the same sources: one that Airflow looks after, and one by hand."""

    folder: Path
    scheduled: Place
    by_hand: Place
    airflow: Scheduler
    webhook: Webhook

    def day(self, day: datetime, **conf: Any) -> subprocess.CompletedProcess[str]:
        """The daily DAG with Airflow; then, unless `conf` asks for something else, its commands by hand."""
        began = time.monotonic()
        words = ["dags", "test", "provoice_daily", day.isoformat(), *(["--conf", json.dumps(conf)] if conf else [])]
        done = self.airflow.call(*words, fails=bool(conf))
        print(f"\nairflow dags test provoice_daily {day:%Y-%m-%d}: {time.monotonic() - began:.0f} s, "
              f"{dict(Counter(self.airflow.states('provoice_daily').values()))}")  # fmt: skip
        if not conf:
            self._by_hand(commands.run_id("provoice_daily", day))
        return done

    def _by_hand(self, name: str) -> None:
        program, params = provoice(), {**DEFAULTS, **self.by_hand.params()}
        for words in (
            commands.plan(program, params, name), commands.run(program, params, name),
            commands.check(program, params, name), commands.snapshot(program, params),
            commands.release(program, params), commands.erase(program, params),
        ):  # fmt: skip
            by_hand(words)

    def both(self) -> tuple[Place, Place]:
        return self.scheduled, self.by_hand


def by_hand(words: list[str]) -> None:
    done = subprocess.run(words, capture_output=True, text=True, env={**os.environ, "PROVOICE_SUPPRESSION_KEY": KEY})
    assert done.returncode == 0, done.stderr


DEFAULTS = {
    "run_on": "local", "ledger": None, "max_rejected_ratio": None, "prices": None, "cluster": None, "budget": None,
    "erase_raw": False, "expiring_days": 30,
}  # fmt: skip


@pytest.fixture(scope="module")
def webhook() -> Iterator[Webhook]:
    told: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.append(json.loads(self.rfile.read(int(self.headers["Content-Length"])))["text"])
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield Webhook(f"http://127.0.0.1:{server.server_port}", told)
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def world(tmp_path_factory, webhook) -> World:
    """A lake with a run and a release, from which Ben has withdrawn, and a copy of it; then new sources, and a day on
    which the run is killed once and Airflow tries again."""
    airflow()
    folder = tmp_path_factory.mktemp("scheduled")
    sources(folder)
    second = place(folder / "by-hand")
    params = {**DEFAULTS, **second.params()}
    by_hand(commands.run(provoice(), params, "first"))
    by_hand(commands.release(provoice(), params))
    by_hand(provoice("consent", "withdraw", str(second.lake), "--subject", "s-ben"))
    shutil.copytree(second.folder, folder / "scheduled")
    scheduled = Place(folder / "scheduled")
    more_sources(folder)
    program = [sys.executable, str(DYING), str(folder / "mark"), str(scheduled.lake)]
    weekly = {"lake": str(scheduled.lake), "seals": scheduled.params()["seals"]}
    made = scheduler(
        folder / "home", scheduled.params(), weekly, program, AIRFLOW_VAR_PROVOICE_ALERT_URL=webhook.url,
        PROVOICE_AUDIT_KEY="a" * 32,
    )  # fmt: skip
    found = World(folder, scheduled, second, made, webhook)
    found.day(DAY)
    return found


def stored(lake: Path) -> dict[str, str]:
    """SHA-256 of all that is stored without a clock in it: tars, parts, plans, merged files, the releases' indexes."""
    kinds = r"shards/.*|utterances/.*|recordings/.*|runs/\d+/(plan-.*|config\.yaml)|snapshots/\d+/(utt|rec).*\.parquet"
    wanted = re.compile(rf"({kinds}|releases/[^/]+/\d+/index/.*)")
    names = {str(path.relative_to(lake)): path for path in lake.rglob("*") if path.is_file()}
    return {
        name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in names.items() if wanted.fullmatch(name)
    }


def said(lake: Path) -> dict[str, Any]:
    """What records with a clock say beside it: commits, runs, releases."""
    clocks = {
        "writer", "decided_at", "committed_at", "created_at", "seconds", "wall_s", "peak_memory_bytes", "host",
        "attempt", "replaced_at", "collected_at", "audit",
    }  # fmt: skip

    def bare(value: Any) -> Any:
        if isinstance(value, dict):
            return {
                key: bare(one)
                for key, one in value.items()
                if key not in clocks or (key == "sha256" and "kind" in value)
            }
        return [bare(one) for one in value] if isinstance(value, list) else value

    paths = [*lake.glob("commits/*/*.json"), *lake.glob("runs/*/run.*.json"), *lake.glob("releases/*/*/re*.json")]
    return {str(path.relative_to(lake)): bare(json.loads(path.read_bytes())) for path in paths}


def same(world: World) -> int:
    """Holds one lake against the other; the number of objects that are the same to the byte."""
    scheduled, by_hand = (stored(one.lake) for one in world.both())
    assert scheduled == by_hand
    first, second = (said(one.lake) for one in world.both())
    for one in (*first.values(), *second.values()):
        one.pop("sha256", None)  # a record's own digest is over its clocks, too
    assert first == second
    query = "select recording_id, status, reason from recordings order by all"
    assert rows(world.scheduled.lake, query) == rows(world.by_hand.lake, query)
    print(f"the same to the byte: {len(scheduled)} objects; the same but for clocks: {len(first)} records")
    return len(scheduled)


def tries(world: World) -> dict[str, int]:
    newest = "(select max(run_id) from dag_run where dag_id = 'provoice_daily')"
    return dict(world.airflow.ask(f"select task_id, try_number from task_instance where run_id = {newest}"))


def looked(code: str, env: dict[str, str], folder: Path, given: str = "") -> Any:
    """What `code` says when Airflow's own Python runs it."""
    python = str(airflow().with_name("python"))
    done = subprocess.run([python, "-c", code], env=env, cwd=folder, capture_output=True, text=True, input=given)
    assert "found:" in done.stdout, done.stderr
    # Airflow logs to standard output, too, before it and at the end.
    return json.JSONDecoder().raw_decode(done.stdout.rpartition("found:")[2])[0]


def test_both_dags_are_imported_without_errors_or_warnings(world, tmp_path):
    assert json.loads(world.airflow.call("dags", "list-import-errors", "-o", "json").stdout.splitlines()[-1]) == []
    look = (
        "import json, sys\nfrom pathlib import Path\nfrom airflow.dag_processing.dagbag import BundleDagBag\n"
        f"bag = BundleDagBag({str(DAGS)!r}, bundle_path=Path({str(DAGS)!r}), bundle_name='here')\n"
        "found = {'dags': sorted(bag.dags), 'errors': bag.import_errors, 'warnings': bag.captured_warnings}\n"
        "sys.stdout.write('found:' + json.dumps(found))"
    )
    done = subprocess.run(
        [str(airflow().with_name("python")), "-c", look],
        env=world.airflow.env,
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    found = json.loads(done.stdout.rpartition("found:")[2])
    ours = {path: said for path, said in found["warnings"].items() if any("provoice" in one for one in said)}
    assert (found["dags"], found["errors"], ours) == (["provoice_daily", "provoice_weekly"], {}, {})


def test_a_run_that_was_killed_is_tried_again_and_the_lake_is_the_same(world):
    assert (world.folder / "mark").exists()
    states = world.airflow.states("provoice_daily")
    assert states == dict.fromkeys(
        ("plan", "run", "check", "snapshot", "expiring", "release", "erase", "finish"), "success"
    )
    assert tries(world)["run"] == 2
    assert {one: n for one, n in tries(world).items() if n > 1} == {"run": 2}
    assert same(world) > 15


def test_the_release_is_an_asset_event_for_whoever_trains_on_it(world):
    ((uri, extra),) = world.airflow.ask(
        "select a.uri, e.extra from asset_event e join asset a on a.id = e.asset_id order by e.id limit 1"
    )
    told = json.loads(extra)
    record = json.loads((world.scheduled.lake / "releases" / "clean" / "2" / "release.json").read_bytes())
    assert uri == f"file://{world.scheduled.lake}/releases/clean"
    assert (told["version"], told["sha256"]) == (2, record["sha256"])
    assert told["utterances"] == record["chosen"]["utterances"] > 0


def test_what_expires_is_told_as_counts(world):
    (told,) = [one for one in world.webhook.told if "end within 30 days" in one][:1]
    assert "1 grants of 1 people" in told


def test_who_has_withdrawn_is_erased_and_sealed_before(world):
    assert rows(world.scheduled.lake, "select count(*) from recordings where status = 'emitted'") == [(4,)]
    named = b"s-ben"
    left = [path for kind in ("shards", "utterances", "recordings", "snapshots") for path in
            (world.scheduled.lake / kind).rglob("*") if path.is_file() and named in path.read_bytes()]  # fmt: skip
    assert left == []
    assert len(list((world.scheduled.folder / "seals").glob("*.seal"))) == 1


def test_nobody_is_named_in_airflows_database_or_logs(world):
    database = b"".join(path.read_bytes() for path in world.airflow.home.glob("airflow.db*"))
    logs = b"".join(path.read_bytes() for path in (world.airflow.home / "logs").rglob("*") if path.is_file())
    assert len(logs) + len(database) > 10_000
    people = (b"s-anna", b"s-ben", b"g-second", b"anna/0.wav")
    assert [one for one in people if one in database or one in logs] == []


def test_the_same_day_again_changes_nothing(world):
    before = {one: stored(one.lake) for one in world.both()}
    world.day(DAY)
    # The newest version stands in for one from which somebody was erased, and lacks what is new: so one more is made.
    added = [name for one in world.both() for name in stored(one.lake).keys() - before[one].keys()]
    assert [name.rpartition("/")[0] for name in added] == ["releases/clean/4/index"] * 2
    assert all(stored(one.lake).items() >= before[one].items() for one in world.both())
    assert set(world.airflow.states("provoice_daily").values()) == {"success"}


def test_a_task_that_fails_for_good_says_how_to_go_on_and_erasing_goes_on(world):
    world.webhook.told.clear()
    done = world.day(datetime(2026, 11, 22, 3, tzinfo=UTC), use="/nowhere/use.yaml")
    assert done.returncode != 0
    states = world.airflow.states("provoice_daily")
    assert (states["release"], states["erase"], states["finish"]) == ("failed", "success", "upstream_failed")
    assert states["check"] == "skipped"  # there was nothing to do
    assert tries(world)["release"] == 1  # a retry would say the same
    (told,) = [one for one in world.webhook.told if "failed" in one]
    assert "provoice_daily: task release failed" in told
    assert f"release create {world.scheduled.lake} clean --use /nowhere/use.yaml" in told


def test_a_parameter_that_does_not_fit_is_refused(world):
    done = world.airflow.call("dags", "test", "provoice_daily", "--conf", '{"run_on": "moon"}', fails=True)
    assert done.returncode != 0
    assert "moon" in done.stdout + done.stderr


def test_the_weekly_dag_sweeps_verifies_scans_and_reports(world):
    began = time.monotonic()
    world.airflow.call("dags", "test", "provoice_weekly", "2026-11-22T06:00:00+00:00")
    print(f"\nairflow dags test provoice_weekly: {time.monotonic() - began:.0f} s")
    states = world.airflow.states("provoice_weekly")
    assert states == dict.fromkeys(("gc", "audit_verify", "audit_scan", "report"), "success")
    seals = sorted(path.name for path in (world.scheduled.folder / "seals").iterdir())
    assert [name.rpartition(".")[2] for name in seals] == ["keyed"]  # it has passed, so the plain one is gone
    assert list(world.scheduled.lake.glob("runs/*/report-*.html"))


def test_a_task_that_airflow_ends_ends_its_command_as_ctrl_c_does(tmp_path):
    child = (
        "import os, signal, sys, time\ntry:\n os.kill(os.getppid(), signal.SIGTERM); time.sleep(300)\n"
        "except KeyboardInterrupt:\n sys.exit(130)"
    )
    look = (
        f"import json, signal, sys\nsys.path.insert(0, {str(DAGS)!r})\n"
        "from provoice_dag.command_task import CommandTask\n"
        f"task = CommandTask(task_id='one', program=[sys.executable, '-c', {child!r}])\n"
        "signal.signal(signal.SIGTERM, lambda *_: task.on_kill())\n"
        "try:\n task.call([*task.program, 'run'])\n"
        "except Exception as error:\n sys.stdout.write('found:' + json.dumps([type(error).__name__, str(error)]))"
    )
    kind, said = looked(look, surroundings(tmp_path, None), tmp_path)
    assert kind == "AirflowException"  # which is tried again
    assert said.startswith("run: exit code 130")


def test_settings_that_do_not_fit_are_import_errors(tmp_path):
    look = (
        f"import json, os, sys\nsys.path.insert(0, {str(DAGS)!r})\n"
        "from airflow.sdk import DAG\nfrom provoice_dag.deployment import DAILY, settings\nsaid = []\n"
        "for given in json.loads(sys.stdin.read()):\n"
        " open(os.environ['PROVOICE_AIRFLOW_SETTINGS'], 'w').write(json.dumps(given))\n"
        " try:\n  DAG('one', **settings().dag('daily', DAILY)).validate()\n  said.append('')\n"
        " except Exception as error:\n  said.append(str(error))\n"
        "sys.stdout.write('found:' + json.dumps(said))"
    )
    needed = {"lake": "/lake", "sources": ["/raw"]}

    def daily(**params: Any) -> dict[str, Any]:
        return {"daily": {"schedule": "0 3 * * *", "params": {**needed, **params}}}

    wrong = [
        {"programm": ["provoice"]}, {"program": "provoice"}, {"daily": {"cron": "0 3 * * *"}},
        daily(lakes="/lake"), daily(run_on="moon"), daily(lake="--help"), daily(sources=[]), daily(set=["-x"]),
        daily(max_rejected_ratio=2), {"daily": {"schedule": "0 3 * * *", "params": {"lake": "/lake"}}},
    ]  # fmt: skip
    env = surroundings(tmp_path, tmp_path / "provoice.json")
    said = looked(look, env, tmp_path, json.dumps([*wrong, daily()]))
    assert said[-1] == ""
    assert [one for one, error in zip(wrong, said, strict=False) if not error] == []
    assert "no setting programm; there are daily, program" in said[0]
    assert "a list of words" in said[1]
    assert "no setting lakes" in said[3]


@pytest.mark.parametrize(
    ("ray", "check", "outcome"),
    [(0, 1, "done"), (1, 0, "done"), (1, 3, "done"), (1, 1, "AirflowException"), (1, 2, "AirflowFailException")],
)
def test_where_ray_says_failed_the_lake_says_whether_it_is_done(tmp_path, ray, check, outcome):
    log = tmp_path / "called"
    # Stands in for Ray's command line and for ours: says what it was called with, and ends as it is told.
    stub = f"import sys\nopen({str(log)!r}, 'a').write(sys.argv[2] + '\\n')\nsys.exit(int(sys.argv[1]))"
    params = {**PARAMS, "run_on": "ray"}
    look = (
        f"import json, sys\nfrom datetime import datetime\nfrom types import SimpleNamespace as Some\n"
        f"sys.path.insert(0, {str(DAGS)!r})\nfrom airflow.sdk import DAG\nfrom provoice_dag.daily_tasks import Run\n"
        f"stub = [sys.executable, '-c', {stub!r}]\n"
        f"with DAG('provoice_daily'):\n"
        f" task = Run(task_id='run', ray=[*stub, '{ray}'], program=[*stub, '{check}'])\n"
        f"context = {{'params': json.loads({json.dumps(params)!r}), 'ti': Some(try_number=2), 'dag_run': Some("
        f"logical_date=datetime(2026, 11, 20, 3))}}\n"
        "said = 'done'\n"
        "try:\n task.execute(context)\nexcept Exception as error:\n said = type(error).__name__\n"
        "sys.stdout.write('found:' + json.dumps([said, task._stop]))"
    )
    said, stop = looked(look, surroundings(tmp_path, None), tmp_path)
    assert said == outcome
    assert stop[-1] == "provoice_daily-20261120T030000-try2"
    assert log.read_text().split() == (["job"] if ray == 0 else ["job", "status"])


def test_without_settings_there_is_no_schedule_and_parameters_are_asked_for(tmp_path):
    env = surroundings(tmp_path, None)
    look = (
        "import json, sys\nfrom pathlib import Path\nfrom airflow.dag_processing.dagbag import BundleDagBag\n"
        f"bag = BundleDagBag({str(DAGS)!r}, bundle_path=Path({str(DAGS)!r}), bundle_name='here')\n"
        "dag = bag.dags['provoice_daily']\n"
        "said = {'errors': bag.import_errors, 'schedule': str(dag.schedule)}\n"
        "sys.stdout.write('found:' + json.dumps(said))"
    )
    subprocess.run([str(airflow()), "db", "migrate"], env=env, cwd=tmp_path, check=True, capture_output=True)
    assert looked(look, env, tmp_path) == {"errors": {}, "schedule": "None"}
