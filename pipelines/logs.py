"""Log lines: for people as text, for machines as one JSON object a line, with run, unit and stage as fields.

    {"time": "2026-11-21T09:30:00.120Z", "level": "warning", "logger": "provoice.worker", "message": "unit …",
     "run_id": "nightly", "unit_id": "0000017-…", "stage": "snr", "attempt": 2, "reason": "stage_failed"}

A line names no person: units and runs have names of their own, and what a stage says of a source is its own id.
"""

from __future__ import annotations

import json
import logging
import os
from datetime import UTC, datetime
from typing import Literal

Form = Literal["text", "json"]

VARIABLE = "PROVOICE_LOG_FORMAT"
"""Says which, for workers that an engine starts."""
FIELDS = ("run_id", "unit_id", "stage", "attempt", "reason")
"""What a line may say beside its sentence (`extra` of Python's logging)."""
_TEXT = "%(asctime)s %(levelname)s %(message)s"
_CHATTY = ("matplotlib", "fsspec", "botocore", "urllib3", "asyncio", "numba", "opentelemetry")


class JsonFormatter(logging.Formatter):
    """One object a line; an error's class, text and traceback in `error` and `trace`."""

    def format(self, record: logging.LogRecord) -> str:
        said: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC)
            .isoformat(timespec="milliseconds")
            .replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        said |= {name: value for name in FIELDS if (value := getattr(record, name, None)) not in (None, "")}
        if record.exc_info and record.exc_info[1] is not None:
            said["error"] = f"{type(record.exc_info[1]).__name__}: {record.exc_info[1]}"
            said["trace"] = self.formatException(record.exc_info)
        return json.dumps(said, ensure_ascii=False, default=str)


def configure(form: Form, *, verbose: bool = False) -> None:
    """Logs of this process go to standard error in this form; workers that are started from here follow."""
    os.environ[VARIABLE] = form
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if form == "json" else logging.Formatter(_TEXT))
    logging.basicConfig(level=logging.DEBUG if verbose else logging.INFO, handlers=[handler])
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)


def follow() -> None:
    """In a process that an engine started: our own lines as JSON, if that was asked for. The engine's stay as they are.
    Where `configure` or an earlier call was here, nothing changes."""
    ours = logging.getLogger("provoice")
    is_ours = any(isinstance(handler.formatter, JsonFormatter) for handler in (*ours.handlers, *logging.root.handlers))
    if os.environ.get(VARIABLE) != "json" or is_ours:
        return
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter())
    ours.addHandler(handler)
    ours.setLevel(logging.INFO)
    ours.propagate = False
