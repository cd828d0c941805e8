"""A small lake of two people, and an Airflow that looks after it: a database in a folder, and nothing else."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from lake.lake import Lake
from tests.airflow.environment import airflow, surroundings
from tests.consents import given, grant, rule
from tests.releases import USE_YAML
from tests.runs import catalogue_file
from tests.speech import voice, write

KEY = "k" * 32
SETTINGS = ["max_rejected_ratio=0.5", "snr=null", "reverberation=null", "accent=null", "plan.unit_max_sources=1"]


@dataclass(frozen=True)
class Place:
    """Sources, their catalogue and a lake whose ledger has everybody's grants."""

    folder: Path

    @property
    def lake(self) -> Path:
        return self.folder / "lake"

    @property
    def raw(self) -> Path:
        return self.folder.parent / "raw"

    def params(self) -> dict[str, Any]:
        return {
            "lake": str(self.lake), "config": "configs/default.yaml", "sources": [f"raw={self.raw}"],
            "catalogue": str(self.folder.parent / "who.jsonl"), "set": SETTINGS, "workers": 1, "release": "clean",
            "use": str(self.folder.parent / "use.yaml"), "where": "duration_s >= 1",
            "seals": str(self.folder / "seals"),
        }  # fmt: skip


def sources(folder: Path) -> None:
    """Two recordings of each of two people, and what says who they are."""
    for n in range(2):
        write(folder / "raw" / "anna" / f"{n}.wav", voice("speaker90", 6.0 + n))
        write(folder / "raw" / "ben" / f"{n}.wav", voice("speaker91", 6.0 + n))
    catalogue_file(folder / "who.jsonl", {"anna/": ["s-anna"], "ben/": ["s-ben"]})
    (folder / "use.yaml").write_text(USE_YAML)


def more_sources(folder: Path) -> None:
    """What comes in on the day that Airflow looks after: of Anna only, and one of it silent."""
    write(folder / "raw" / "anna" / "silent.wav", voice("speaker90", 3.0) * 0.0)
    for n in (2, 3):
        write(folder / "raw" / "anna" / f"{n}.wav", voice("speaker90", 6.0 + n))


def place(folder: Path) -> Place:
    made = Place(folder)
    (folder / "seals").mkdir(parents=True)
    late = datetime(2120, 1, 1, tzinfo=UTC)
    fields: dict[str, Any] = {"valid_until": late, "rules": (rule(durable_until=late),)}
    ledger = Lake.create_or_open(str(made.lake)).ledger()
    ledger.append([given(grant(person, **fields)) for person in ("s-anna", "s-ben")])
    # One ends before the month is over, and is told of.
    soon = {"valid_until": datetime.now(UTC) + timedelta(days=10)}
    ledger.append([given(grant("s-anna", "g-second", **soon))])
    return made


@dataclass(frozen=True)
class Scheduler:
    """Airflow's command line, with settings and a database of its own."""

    home: Path
    env: dict[str, str]

    def call(self, *words: str, fails: bool = False) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [str(airflow()), *words], env=self.env, cwd=self.home, capture_output=True, text=True, timeout=1500
        )
        assert fails or done.returncode == 0, f"airflow {' '.join(words)}\n{done.stdout[-6000:]}\n{done.stderr[-3000:]}"
        return done

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        # Closed at once: whoever opens and closes the file itself meanwhile would take SQLite's locks away.
        with closing(sqlite3.connect(self.home / "airflow.db")) as connection:
            return connection.execute(query).fetchall()

    def states(self, dag: str) -> dict[str, str]:
        """Each task's state in the newest DAG run."""
        newest = f"(select run_id from dag_run where dag_id = '{dag}' order by logical_date desc limit 1)"
        return dict(self.ask(f"select task_id, state from task_instance where run_id = {newest} and dag_id = '{dag}'"))


def scheduler(home: Path, daily: dict[str, Any], weekly: dict[str, Any], program: list[str], **env: str) -> Scheduler:
    home.mkdir()
    settings = home / "provoice.json"
    settings.write_text(json.dumps({
        "program": program, "retries": 1, "retry_delay_s": 0.1,
        "daily": {"schedule": "0 3 * * *", "params": daily}, "weekly": {"schedule": "0 6 * * 0", "params": weekly},
    }))  # fmt: skip
    surrounded = surroundings(home, settings, PROVOICE_SUPPRESSION_KEY=KEY, **env)
    made = Scheduler(home, surrounded)
    made.call("db", "migrate")
    return made


def provoice(*words: str) -> list[str]:
    return [sys.executable, "-m", "provoice", *words]
