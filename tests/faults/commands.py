"""The commands whose effects are enumerated: what is there before, and what a person starts, again and again.

`prepare` makes the world's folder once; `act` is the command, on `uri` (the same folder, through the wrapper).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from lake import layout, ledger
from lake.lake import Lake
from lake.runs import revise_run
from pipelines import ledger_import
from pipelines.config import load_config
from pipelines.erase.erase import Wanted as Erased
from pipelines.erase.erase import erase
from pipelines.gc import gc
from pipelines.gc_account import Wanted as Swept
from pipelines.release.create import Wanted, create
from pipelines.run import Request, execute, start
from pipelines.snapshot import snapshot
from pipelines.sources import check_readable, parse_source
from schemas.ledger import EventType
from tests.builders import ANNA, BEN, BOTH, BOTH_NEWER, DORA, LOOK, WAITING, Made, write_run
from tests.consents import NOW, ended, given, grant
from tests.faults.inline import QUICK
from tests.releases import ANY_USE, AT
from tests.speech import folder_of_clips

LAKE = "lake"
RAW = "raw"
CLIPS = 3


@dataclass(frozen=True)
class Command:
    """`sources`: how many a lake accounts for when it is done. `gone`: who is erased then, whose name stands only where
    the ledger says what was said, and ids of recordings, which stand nowhere."""

    name: str
    prepare: Callable[[Path], None]
    act: Callable[[str], None]
    sources: int
    gone: tuple[str, tuple[str, ...]] | None = None


# --- a run ------------------------------------------------------------------------------------------------------------


def _clips(folder: Path) -> None:
    folder_of_clips(folder / RAW, CLIPS, seconds=2.0)


def _run(uri: str) -> None:
    """What `provoice run` does, from the first look at the sources to the snapshot at the end."""
    config = load_config("configs/explore.yaml", QUICK)
    root = parse_source(f"raw={uri}/{RAW}")
    check_readable(root, config.sources)
    lake = Lake.create_or_open(f"{uri}/{LAKE}")
    lake.root.check_exclusive_create()
    request = Request(lake, config, [root], None)
    started = start(request)
    if started is not None:
        execute(request, started, lambda _: None, work_dir=str(Path("work").absolute()))


# --- the ledger -------------------------------------------------------------------------------------------------------


def _small_ledger(folder: Path) -> None:
    lake = Lake.create_or_open(str(folder / LAKE))
    lake.ledger().append([given(grant("anna")), given(grant("ben"))])
    lake.ledger().append([given(grant("dora"))])


def _append(uri: str) -> None:
    """A withdrawal, and a grant that comes with it."""
    events = [ended("anna", "g-anna", EventType.WITHDRAWN), given(grant("anna", "g-anna-2"))]
    Lake.open(f"{uri}/{LAKE}").ledger().append(events)


_SEGMENT, _PEOPLE = 4, 10


def _many_grants(folder: Path) -> None:
    _small_ledger(folder)
    lines = [given(grant(f"p{n}")).model_dump_json(exclude_none=True) for n in range(_PEOPLE)]
    (folder.parent / f"{folder.name}-grants.jsonl").write_text("\n".join(lines) + "\n")


def _import(uri: str) -> None:
    """Segments of a few events each, and a projection of them."""
    ledger.MAX_SEGMENT_EVENTS = ledger_import.MAX_SEGMENT_EVENTS = _SEGMENT
    ledger.PROJECT_BEYOND = _SEGMENT
    ledger._LOOK_BEYOND_BYTES = 0
    lake = Lake.open(f"{uri}/{LAKE}")
    ledger_import.import_events([Path("world-grants.jsonl")], lake.ledger, NOW)


# --- a lake with a history --------------------------------------------------------------------------------------------


def _with_history(folder: Path) -> Lake:
    """A snapshot of one run, and since then another that supersedes some of it, and one that is not complete."""
    lake = Lake.create_or_open(str(folder / LAKE))
    lake.ledger().append([given(grant(name)) for name in ("anna", "ben", "dora")])
    work = folder.parent / f"{folder.name}-made"
    work.mkdir(exist_ok=True)
    write_run(lake, work, [[ANNA, BEN], [BOTH]], run_id="first", ledger_position=3)
    snapshot(lake)
    again = Made(ANNA.path, ANNA.people, 1)
    write_run(lake, work, [[again, BOTH_NEWER], [DORA]], run_id="second", recipe="b", ledger_position=3)
    write_run(lake, work, [[LOOK], [WAITING]], run_id="look", recipe="c", committed=1, is_explore=True)
    return lake


def _history(folder: Path) -> None:
    _with_history(folder)


def _snapshot(uri: str) -> None:
    snapshot(Lake.open(f"{uri}/{LAKE}"))


def _release(uri: str) -> None:
    create(Lake.open(f"{uri}/{LAKE}"), Wanted(name="gold", use=ANY_USE, at=AT))


_HEX = "0123456789abcdef" * 4


def _litter(folder: Path) -> None:
    """The history with a snapshot over all of it, a closed run, and orphans of every kind."""
    lake = _with_history(folder)
    work = folder.parent / f"{folder.name}-made"
    again = [Made(made.path, made.people, 1) for made in (ANNA, BEN, BOTH)]
    write_run(lake, work, [again], run_id="third", recipe="d", ledger_position=3)
    closed = write_run(lake, work, [[Made("f/never.wav", {})]], run_id="dead", recipe="e", committed=0)
    revise_run(lake, closed.model_copy(update={"is_closed": True}))
    snapshot(lake)
    create(lake, Wanted(name="gold", use=ANY_USE, at=AT))
    unit_id = "0000000-0123456789ab"
    for path in (
        layout.shard_path("dead", unit_id, _HEX), layout.utterances_path("first", unit_id, _HEX),
        layout.plan_path(1, _HEX), layout.report_path(1, _HEX), layout.snapshot_file_path(1, "utterances", _HEX),
        layout.release_index_path("gold", 1, 7, _HEX), "shards/.provoice-unfinished-0011223344556677",
    ):  # fmt: skip
        lake.root.create(path, b"left over")


def _gc(uri: str) -> None:
    gc(Lake.open(f"{uri}/{LAKE}"), Swept(is_sure=True, superseded=True), now=datetime.now(UTC) + timedelta(days=9))


_ANNA, _BOTH = Made("anna.wav", ANNA.people, 1), Made("both.flac", BOTH.people, 1)


def _withdrawn(folder: Path) -> None:
    """A unit that three recordings share, one of them of two people; a snapshot of it, two releases, a leftover; and
    one of them takes everything back."""
    lake = Lake.create_or_open(str(folder / LAKE))
    lake.ledger().append([given(grant(name)) for name in ("anna", "ben")])
    work = folder.parent / f"{folder.name}-made"
    work.mkdir(exist_ok=True)
    write_run(lake, work, [[_ANNA, BEN, _BOTH]], run_id="first", ledger_position=2)
    snapshot(lake)
    for name in ("gold", "silver"):
        create(lake, Wanted(name=name, use=ANY_USE, at=AT))
    first = lake.root.read(next(info.path for info in lake.root.list("utterances")))
    unit_id = next(info.path for info in lake.root.list("commits/first")).rpartition("/")[2].partition(".")[0]
    lake.root.create(layout.utterances_path("first", unit_id, _HEX), first)
    lake.ledger().append([ended("anna", how=EventType.WITHDRAWN)])


def _erase(uri: str) -> None:
    os.environ["PROVOICE_SUPPRESSION_KEY"] = _HEX
    erased = erase(Lake.open(f"{uri}/{LAKE}"), Erased(("anna",)), now=datetime(2030, 1, 1, tzinfo=UTC))
    if not erased.is_finished:
        raise RuntimeError(f"an erasure in a lake at rest waits until {erased.again_at}")


COMMANDS = {
    command.name: command
    for command in (
        Command("run", _clips, _run, CLIPS),
        Command("ledger append", _small_ledger, _append, 0),
        Command("ledger import", _many_grants, _import, 0),
        Command("snapshot", _history, _snapshot, 5),
        Command("release", _history, _release, 5),
        Command("gc", _litter, _gc, 5),
        Command("erase", _withdrawn, _erase, 1, ("anna", (_ANNA.source.recording_id, _BOTH.source.recording_id))),
    )
}
