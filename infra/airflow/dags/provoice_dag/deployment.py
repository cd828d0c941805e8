"""What a deployment sets: `provoice.json` beside the DAGs, or the file that `PROVOICE_AIRFLOW_SETTINGS` names.

Without one the DAGs are there, have no schedule, and ask for their parameters when somebody starts them by hand.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from airflow.sdk import Param

from provoice_dag.alerts import on_failure

_TEXT = r"^[^-\s][^\r\n]*$"
"""One line that no command takes for an option."""
_KEYS = {"program", "ray", "start_date", "retries", "retry_delay_s", "daily", "weekly"}


def _text(description: str, *, pattern: str = _TEXT, optional: bool = False, **more: Any) -> dict[str, Any]:
    kind = ["null", "string"] if optional else "string"
    return {
        "type": kind,
        "pattern": pattern,
        "description": description,
        **({"default": None} if optional else {}),
        **more,
    }


def _texts(description: str, *, pattern: str = _TEXT, **more: Any) -> dict[str, Any]:
    items = {"type": "string", "pattern": pattern}
    return {"default": [], "type": "array", "items": items, "description": description, **more}


LAKE = _text("The lake: a folder, s3://… or gs://…")
SEALS = _text("Folder of this machine's for seals, outside the lake; needed for `audit scan`.", optional=True)

DAILY: Mapping[str, dict[str, Any]] = {
    "lake": LAKE,
    "config": _text("The configuration, as `provoice run` takes it.", default="configs/default.yaml"),
    "sources": _texts("[NAME=]URI of each folder or bucket to read.", minItems=1, default=...),
    "catalogue": _text("Who speaks in which source.", optional=True),
    "ledger": _text("Consent ledger, where it is not the lake's own.", optional=True),
    "set": _texts("Changed config keys, KEY=VALUE.", pattern=r"^[A-Za-z_][\w.]*=[^\r\n]*$"),
    "run_on": {
        "type": "string", "enum": ["local", "dataflow", "ray"], "default": "local",
        "description": "A process where the task runs, a job on Dataflow, or a job that a Ray cluster is handed.",
    },
    "workers": {
        "type": ["null", "integer"], "minimum": 1, "default": None, "description": "Worker processes on each machine.",
    },
    "dataflow_options": _texts(
        "Beam's options for Dataflow: --project=…, --region=…, --temp_location=…", pattern=r"^--[a-z][^\r\n]*$"
    ),
    "ray_address": _text(
        "Where the Ray cluster takes jobs: http://HOST:8265.", pattern=r"^https?://[^\s]+$", optional=True
    ),
    "prices": _text("Table of prices: what the run would cost is measured on a sample first.", optional=True),
    "cluster": _text("For which of the configuration's clusters.", optional=True),
    "budget": {
        "type": ["null", "number"], "minimum": 0, "default": None, "description": "Refuse a run that may cost more.",
    },
    "max_rejected_ratio": {
        "type": ["null", "number"], "minimum": 0, "maximum": 1, "default": None,
        "description": "Share of the sources that may be rejected; nothing: what the configuration says.",
    },
    "expiring_days": {
        "type": "integer", "minimum": 0, "default": 30, "description": "Tell of grants that end within so many days.",
    },
    "release": _text(
        "Name of the scheduled release; nothing: none is made.", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$",
        optional=True,
    ),
    "use": _text("What the release is for: a file as docs/vocabulary.md has it.", optional=True),
    "where": _text("Which utterances: a condition such as snr_db > 15.", pattern=r"^[^-]", optional=True),
    "erase": {"type": "boolean", "default": True, "description": "Carry out erasures that are due."},
    "erase_raw": {"type": "boolean", "default": False, "description": "Erase raw sources, too, that are theirs alone."},
    "seals": SEALS,
}  # fmt: skip
WEEKLY: Mapping[str, dict[str, Any]] = {
    "lake": LAKE,
    "superseded": {"type": "boolean", "default": False, "description": "gc: also what newer runs replaced."},
    "grace": _text("gc: leave what is younger, such as 36h.", pattern=r"^[0-9]+[a-z]*$", optional=True),
    "seals": SEALS,
    "also": _texts("Look there, too: exports, Ray's session folder."),
}


@dataclass(frozen=True)
class Settings:
    """Everything that is not a parameter of one DAG run."""

    program: list[str] = field(default_factory=lambda: ["provoice"])
    ray: list[str] = field(default_factory=lambda: ["ray"])
    start_date: str = "2026-01-01"
    retries: int = 3
    retry_delay_s: float = 300.0
    daily: Mapping[str, Any] = field(default_factory=dict)
    weekly: Mapping[str, Any] = field(default_factory=dict)

    def dag(self, name: str, schema: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
        """What both DAGs are made with; a parameter that does not fit its schema is an import error."""
        own = getattr(self, name)
        return {
            "schedule": own.get("schedule") if own else None,
            "start_date": datetime.fromisoformat(f"{self.start_date}T00:00:00+00:00"),
            "catchup": False,
            "max_active_runs": 1,
            "params": params(schema, own.get("params", {})),
            "tags": ["provoice"],
            "render_template_as_native_obj": False,
            "default_args": {
                "retries": self.retries,
                "retry_delay": timedelta(seconds=self.retry_delay_s),
                "retry_exponential_backoff": True,
                "max_retry_delay": timedelta(hours=1),
                "on_failure_callback": on_failure,
            },
        }


def params(schema: Mapping[str, dict[str, Any]], given: Mapping[str, Any]) -> dict[str, Param]:
    """The DAG's parameters; what the deployment gives is their default."""
    _check_keys("params", given, set(schema))
    made = {}
    for name, rules in schema.items():
        default = given.get(name, rules.get("default", ...))
        rest = {key: value for key, value in rules.items() if key != "default"}
        made[name] = Param(**rest) if default is ... else Param(default, **rest)
    return made


def settings() -> Settings:
    """The deployment's settings. Raises ValueError, which Airflow shows as an import error."""
    path = Path(os.environ.get("PROVOICE_AIRFLOW_SETTINGS") or Path(__file__).parents[1] / "provoice.json")
    if not path.exists():
        return Settings()
    found = json.loads(path.read_text(encoding="utf-8"))
    _check_keys(str(path), found, _KEYS)
    for name in ("daily", "weekly"):
        _check_keys(f"{path}: {name}", found.get(name, {}), {"schedule", "params"})
    for name in ("program", "ray"):
        words = found.get(name, ["-"])
        if not (isinstance(words, list) and words and all(isinstance(word, str) for word in words)):
            raise ValueError(f'{path}: {name} is a list of words, such as ["/opt/provoice/bin/provoice"]')
    return Settings(**found)


def _check_keys(where: str, found: Mapping[str, Any], known: AbstractSet[str]) -> None:
    unknown = sorted(found.keys() - known)
    if unknown:
        raise ValueError(f"{where}: no setting {', '.join(unknown)}; there are {', '.join(sorted(known))}")
