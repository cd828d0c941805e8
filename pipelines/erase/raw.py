"""Raw sources: deleted where that is asked for and nobody else is heard in them, else counted as remaining."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lake.lake import Lake
from lake.runs import list_runs
from lake.storage import ObjectInfo, Root
from pipelines.sources import SourceRoot, stat_source
from schemas.errors import ConfigError
from schemas.source import Source

if TYPE_CHECKING:
    import pyarrow as pa

SHARED = "others are heard in them, or may be"
CHANGED = "their bytes are others than those that were prepared"
AWAY = "their root cannot be read"
NOT_ASKED = "their deletion was not asked for"


@dataclass
class Raw:
    """What became of the sources."""

    deleted: list[tuple[Root, ObjectInfo]] = field(default_factory=list)
    gone: list[tuple[Root, str]] = field(default_factory=list)
    """Paths at which nothing is any more, by this or an earlier deletion."""
    remaining: Counter[str] = field(default_factory=Counter)
    """Why some stay."""


def delete_raw(lake: Lake, touched: pa.Table, *, is_asked: bool) -> Raw:
    """Deletes what may be deleted; a source that is gone already is neither deleted nor remaining."""
    uris = {name: uri for run in list_runs(lake) for name, uri in run.roots.items()}
    shared = set(touched.filter(touched["with_others"])["recording_id"].to_pylist())
    names = ["recording_id", "source_root", "source_path", "source_version"]
    sources = {row["recording_id"]: row for row in touched.select(names).to_pylist()}
    raw = Raw()
    roots: dict[str, Root] = {}
    for recording_id, row in sorted(sources.items()):
        name, path = row["source_root"], row["source_path"]
        try:
            found = stat_source(SourceRoot(name, uris[name]), path) if name in uris else None
            root = roots.setdefault(name, Root(uris[name])) if name in uris else None
        except ConfigError:
            raw.remaining[AWAY] += 1
            continue
        if found is None or root is None:
            if root is not None and recording_id not in shared:
                raw.gone.append((root, path))
            continue
        reason = _stays(found, row["source_version"], recording_id in shared, is_asked)
        if reason is not None:
            raw.remaining[reason] += 1
            continue
        root.delete(path)
        raw.deleted.append((root, ObjectInfo(path, found.size_bytes)))
        raw.gone.append((root, path))
    return raw


def _stays(found: Source, version: str, is_shared: bool, is_asked: bool) -> str | None:
    if is_shared:
        return SHARED
    if found.version != version:
        return CHANGED
    return None if is_asked else NOT_ASKED
