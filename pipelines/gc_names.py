"""What the name of a stored object says: which record could name it, and whether that record can still come to be."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from lake.local_create import is_unfinished

Kind = Literal["unit", "plan", "report", "snapshot", "release", "projection", "unfinished", "upload"]
"""Of what gc deletes: tars and parts of units, plans, reports, files of snapshots, of releases, of the ledger's
projection, temporary files, and uploads in parts."""

UNIT_FOLDERS = ("shards/", "utterances/", "recordings/")
UNIT_OBJECT = (
    r"^(?:shards/|(?:utterances|recordings)/run=)([A-Za-z0-9_-]{1,64})/([^/.]+)-[0-9a-f]{16}\.(?:tar|parquet)$"
)
"""Run and unit of a tar or part; DuckDB asks it, too."""

_SMALL = re.compile(
    r"runs/(?P<run>\d{6,})/(?P<what>plan|report)-[0-9a-f]{16}\.(?:parquet|html)"
    r"|snapshots/(?P<snapshot>\d{8,})/(?:[a-z_]+-[0-9a-f]{16}\.parquet|[a-z_]+\.manifest|snapshot\.json)"
    r"|releases/(?P<release>[^/]+)/(?P<version>[1-9]\d*)/index/part-\d{5,}-[0-9a-f]{16}\.parquet"
)
_KEPT = re.compile(
    r"runs/\d{6,}/(?:run\.\d+\.json|config\.yaml|forecast-[0-9a-f]{16}\.json)|releases/[^/]+/\d+/(?:release|replaced|croissant)\.json"
)
"""Records, and what lies beside them under a name of its own: never deleted."""

_OURS = ("runs/", "snapshots/", "releases/")
_PROJECTED = re.compile(
    r"projection/by_[a-z]+/\d{12,}-(?P<last>\d{12,})-[0-9a-f]{16}\.parquet|projection/(?P<head>\d{8,})\.json"
)


@dataclass(frozen=True, slots=True)
class Small:
    """An object of which a lake has few; the numbers say which record names it."""

    kind: Kind
    number: int = 0
    """Of the run, the snapshot, the release's version, or the last event that a file of the projection covers."""
    name: str = ""
    """Of the release."""


def is_of_unit(path: str) -> bool:
    """Whether it lies where tars and parts do."""
    return path.startswith(UNIT_FOLDERS)


def small_in_lake(path: str) -> Small | Literal["foreign"] | None:
    """What the path within a lake is; None for what gc has nothing to do with, `foreign` for a name that is not ours
    in a folder that is."""
    if is_unfinished(path):
        return Small("unfinished")
    if not path.startswith(_OURS) or _KEPT.fullmatch(path):
        return None
    found = _SMALL.fullmatch(path)
    if found is None:
        return "foreign"
    if found["run"]:
        return Small("plan" if found["what"] == "plan" else "report", int(found["run"]))
    if found["snapshot"]:
        return Small("snapshot", int(found["snapshot"]))
    return Small("release", int(found["version"]), found["release"])


def small_in_ledger(path: str) -> Small | Literal["foreign"] | None:
    """The same of a path within the ledger's root. What is recorded there is never touched, its projection is derived
    from it."""
    if is_unfinished(path):
        return Small("unfinished")
    if not path.startswith("projection/"):
        return None
    found = _PROJECTED.fullmatch(path)
    if found is None:
        return "foreign"
    return Small("projection", int(found["last"] or 0))
