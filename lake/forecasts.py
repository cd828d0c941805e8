"""What plans foretold, kept beside the run that they were made for."""

from __future__ import annotations

import hashlib
import json
import re

from lake import layout
from lake.lake import Lake
from schemas.errors import ConfigError, LakeError
from schemas.forecast import Forecast
from schemas.model import parse
from schemas.records import RunRecord

_NAME = re.compile(r"runs/\d{6,}/forecast-[0-9a-f]{16}\.json")


def keep_forecast(lake: Lake, number: int, forecast: Forecast) -> str:
    """Stores it in the folder of the run that would be next; returns its path. Nothing names it but its plan."""
    text = forecast.model_dump_json(indent=1).encode()
    sha256 = hashlib.sha256(text).hexdigest()
    path = layout.forecast_path(number, sha256)
    lake.root.put(path, text, sha256)
    return path


def forecast_of(lake: Lake, run: RunRecord) -> Forecast | None:
    """What was foretold of the plan that this run began with, the latest of several; None where nobody asked."""
    first = parse(RunRecord, json.loads(lake.root.read(layout.run_path(run.number, 0))), "a run")
    found = [_read(lake, path) for path in _paths(lake, run.number)]
    # An erasure writes the plan anew; what was foretold was the plan as it was first.
    meant = [one for one in found if one.plan_sha256 == first.plan.sha256]
    return max(meant, key=lambda one: one.measured_at, default=None)


def _paths(lake: Lake, number: int) -> list[str]:
    return sorted(info.path for info in lake.root.list(layout.run_folder(number)) if _NAME.fullmatch(info.path))


def _read(lake: Lake, path: str) -> Forecast:
    try:
        return parse(Forecast, json.loads(lake.root.read(path)), lake.root.uri_of(path))
    except (ValueError, ConfigError) as error:
        raise LakeError(f"{lake.root.uri_of(path)} is not a forecast: {error}") from None
