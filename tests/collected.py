"""For tests of gc: what lies in a lake, orphans of every kind, and what commits and snapshots promise."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from lake import layout
from lake.lake import Lake
from lake.reader import LakeReader
from lake.releases import index_table, list_releases
from lake.snapshots import newest_snapshot
from pipelines.gc import gc
from pipelines.gc_account import Account, Wanted
from tests.histories import answers

HEX = "0123456789abcdef" * 4


def later(days: float = 9) -> datetime:
    """So much after what a test has written."""
    return datetime.now(UTC) + timedelta(days=days)


def sweep(lake: Lake, is_sure: bool = True, superseded: bool = False, days: float = 9, **named: Any) -> Account:
    return gc(lake, Wanted(is_sure, superseded, **named), now=later(days))


def paths(lake: Lake) -> set[str]:
    """Every object of the lake, its ledger among them, and unfinished ones."""
    return {info.path for info in lake.root.list(unfinished=True)}


def orphans(lake: Lake, run_id: str, number: int, unit_id: str) -> set[str]:
    """Puts one of each kind there, which nobody names and nobody can come to name; their paths."""
    places = {
        layout.shard_path(run_id, unit_id, HEX), layout.utterances_path(run_id, unit_id, HEX),
        layout.recordings_path(run_id, unit_id, HEX), layout.plan_path(number, HEX), layout.report_path(number, HEX),
        "shards/.provoice-unfinished-0011223344556677", ".provoice-unfinished-8899aabbccddeeff",
        "consent/log/.provoice-unfinished-0011223344556677",
    }  # fmt: skip
    head = newest_snapshot(lake)
    if head is not None:
        places.add(layout.snapshot_file_path(head.number, "utterances", HEX))
    for release in list_releases(lake):
        places.add(layout.release_index_path(release.name, release.version, 7, HEX))
    for place in sorted(places):
        lake.root.create(place, b"left over")
    return places


def check_promises(lake: Lake) -> None:
    """Everything that is named is there, and to the byte as long as it says."""
    named = [stored for _, commit in LakeReader(lake).commits for stored in commit.objects]
    named += [run.plan for run in LakeReader(lake).runs]
    head = newest_snapshot(lake)
    if head is not None:
        named += [head.commits, *head.files]
    for release in list_releases(lake):
        named += release.index
        shards = index_table(lake, release, ["shard"])["shard"].unique().to_pylist()
        assert all(lake.root.exists(shard) for shard in shards)
    assert [stored.path for stored in named if lake.root.size(stored.path) != stored.size_bytes] == []
    answers(lake)  # reads every row of every view
