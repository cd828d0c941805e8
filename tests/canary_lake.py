"""Lakes in which people are planted who will be erased, and a process that goes on adding others meanwhile.

A test plants a few, `python -m benchmarks.canaries` some hundred. What must hold afterwards is asked here, too.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import random
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lake.lake import Lake
from lake.reader import LakeReader
from lake.releases import list_releases
from pipelines.catalogue import load_catalogue
from pipelines.config import load_config
from pipelines.export.record import Form
from pipelines.release.create import Wanted, create
from pipelines.run import Progress, Request, execute, start
from pipelines.sources import parse_source
from provoice import open_release
from provoice.release_export import export_release
from provoice.report.html import write_report
from schemas.consent import TERMS, Use
from schemas.errors import LakeError
from tests.consents import given, grant, rule
from tests.erasures import members, rows
from tests.runs import rows as queried
from tests.speech import write

Stretch = NDArray[np.float64]
RELEASE = "gold"
WHO = {"owner": "canaries@example.org", "purpose": "canaries"}
_LATE = datetime(2120, 1, 1, tzinfo=UTC)
_USE = Use.model_validate({"action": "train_asr", "until": "2099-01-01", **dict.fromkeys(TERMS, "any")})


@dataclass(frozen=True)
class Place:
    """Where all of it lies, and how runs are made."""

    folder: Path
    settings: tuple[str, ...]

    @property
    def lake_uri(self) -> str:
        return str(self.folder / "lake")

    @property
    def lake(self) -> Lake:
        return Lake.open(self.lake_uri)

    def run(self, name: str, catalogue: Sequence[Mapping[str, Any]]) -> Progress | None:
        """Runs over the source root `name` to the end; None where there was nothing to do."""
        path = self.folder / f"{name}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in catalogue))
        request = Request(
            Lake.create_or_open(self.lake_uri), load_config("configs/default.yaml", self.settings),
            [parse_source(f"{name}={self.folder / name}")], load_catalogue(str(path)), None,
        )  # fmt: skip
        started = start(request)
        return None if started is None else execute(request, started, lambda _: None)


def row(path: str, person: str, seed: int) -> dict[str, Any]:
    """A catalogue's row of what one person says alone, with words that nobody else says."""
    rng = random.Random(f"{path} {seed}")
    words = [f"{rng.getrandbits(40):010x}" for _ in range(8)]
    return {
        "path": path, "subjects": [person], "complete": True, "text": " ".join(words),
        "extra": {"session": f"session {rng.getrandbits(48):012x}"},
    }  # fmt: skip


def record(place: Place, name: str, people: Mapping[str, Sequence[Stretch]], seed: int = 0) -> list[dict[str, Any]]:
    """Their grants, and a file of each stretch under the source root `name`; the catalogue."""
    lake = Lake.create_or_open(place.lake_uri)
    lake.ledger().append(
        [given(grant(person, valid_until=_LATE, rules=(rule(durable_until=_LATE),))) for person in people]
    )
    catalogue = []
    for person, stretches in people.items():
        for n, samples in enumerate(stretches):
            path = f"{person}/{hashlib.sha256(f'{person} {n}'.encode()).hexdigest()[:8]}.wav"
            write(place.folder / name / path, samples)
            catalogue.append(row(path, person, seed))
    return catalogue


def plant(folder: Path, people: Mapping[str, Sequence[Stretch]], settings: Sequence[str]) -> Place:
    """The lake with one run over all of it, a snapshot, a report, a release of everybody, and an export of that."""
    place = Place(folder, tuple(settings))
    place.run("raw", record(place, "raw", people))
    write_report(place.lake_uri, None, None)
    create(place.lake, Wanted(name=RELEASE, use=_USE))
    export_release(place.lake_uri, RELEASE, None, str(folder / "exports"), Form.HUGGINGFACE, owner=WHO["owner"])
    return place


# --- a run that goes on -----------------------------------------------------------------------------------------------


@contextmanager
def going_on(place: Place, stretches: Sequence[Stretch], batch: int) -> Iterator[None]:
    """Another process adds people and their recordings, `batch` at a time, run after run, from before this begins (a
    run has its plan) until it ends. Raises LakeError where that process fails."""
    np.save(place.folder / "late.npy", np.stack(stretches))
    stop = place.folder / "stop"
    context = multiprocessing.get_context("spawn")
    begun = context.Event()
    process = context.Process(target=keep_running, args=(place, batch, str(stop), begun))
    process.start()
    try:
        while not begun.wait(1.0):
            if process.exitcode is not None:
                raise LakeError("the run beside the erasure ended before it began")
        yield
    finally:
        stop.touch()
        process.join()
    if process.exitcode:
        raise LakeError(f"the run beside the erasure ended with {process.exitcode}")


def keep_running(place: Place, batch: int, stop: str, begun: Any) -> None:
    """What the other process does."""
    stretches = np.load(place.folder / "late.npy")
    catalogue: list[dict[str, Any]] = []
    number = 0
    while not Path(stop).exists():
        people = {f"late-{number + n:05d}": [stretches[(number + n) % len(stretches)]] for n in range(batch)}
        catalogue += record(place, "late", people, seed=1)
        number += batch
        begun.set()
        place.run("late", catalogue)


def committed_between(lake: Lake, begin: datetime, end: datetime) -> int:
    """Sources that runs committed meanwhile."""
    every = (commit for _, commit in LakeReader(lake).commits if begin <= commit.committed_at <= end)
    return sum(commit.counts.sources for commit in every)


# --- what must hold ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Picture:
    """Every member and every row (but for its place) of a lake, by run and name."""

    members: dict[str, bytes]
    utterances: dict[str, dict[str, Any]]
    recordings: dict[str, dict[str, Any]]


def picture(lake: Lake) -> Picture:
    return Picture(members(lake), rows(lake, "utterances"), rows(lake, "recordings"))


def changed(before: Picture, after: Picture, gone: Sequence[str]) -> list[str]:
    """What is wrong: what others had that is not there to the byte, and what is there of those who are gone."""
    people = set(gone)

    def is_theirs(one: Mapping[str, Any]) -> bool:
        # What was put aside names nobody; but everybody's recordings lie in a folder of their own.
        path = one["source_path"] if "source_path" in one else one["lineage"]["source_path"]
        return path.partition("/")[0] in people or bool(people & {link["subject_id"] for link in one["consent"] or ()})

    wrong = []
    for kind in ("utterances", "recordings"):
        had, has = getattr(before, kind), getattr(after, kind)
        wrong += [f"{kind} {name}" for name, one in had.items() if not is_theirs(one) and has.get(name) != one]
        wrong += [f"{kind} {name}" for name, one in has.items() if is_theirs(one)]
    theirs = {name for name, one in before.utterances.items() if is_theirs(one)}
    for name, data in before.members.items():
        wrong += [name] if (name.partition(".")[0] in theirs) == (after.members.get(name) == data) else []
    return wrong


def loads(place: Place, before: Picture, gone: Sequence[str]) -> tuple[int, list[str]]:
    """Rows of the newest release that load; and what is wrong with them, or with who asks for the one before."""
    releases = [one for one in list_releases(place.lake) if one.name == RELEASE]
    newest = max(one.version for one in releases)
    loaded = {sample["__key__"]: sample["flac"] for sample in open_release(place.lake_uri, RELEASE, newest, **WHO)}
    people = set(gone)
    wanted = {
        name.partition("/")[2]: before.members[f"{name}.flac"]
        for name, one in before.utterances.items()
        if one["lineage"]["source_root"] == "raw" and not people & {link["subject_id"] for link in one["consent"]}
    }
    wrong = [key for key in wanted.keys() | loaded.keys() if wanted.get(key) != loaded.get(key)]
    try:
        open_release(place.lake_uri, RELEASE, newest - 1, **WHO)
        wrong.append(f"{RELEASE}@{newest - 1} opens")
    except Exception as error:  # noqa: BLE001 - whatever it says, it must name the version that stands in
        wrong += [] if f"{RELEASE} {newest}" in str(error) or f"{RELEASE}@{newest}" in str(error) else [str(error)]
    return len(loaded), wrong


def taken_in_again(place: Place, gone: Sequence[str], other: str) -> dict[str, int]:
    """Their raw recordings once more: where they were, and under other names as somebody else's. Statuses of what the
    runs made of them, by reason; none may be emitted."""
    sounds = [path for person in gone for path in sorted((place.folder / "raw" / person).glob("*.wav"))]
    catalogue = []
    for n, path in enumerate(sounds):
        name = f"found-{n:04d}.wav"
        (place.folder / "again").mkdir(exist_ok=True)
        shutil.copy(path, place.folder / "again" / name)
        catalogue.append(row(name, other, seed=2))
    place.run("again", catalogue)
    known = [json.loads(line) for line in (place.folder / "raw.jsonl").read_text().splitlines()]
    place.run("raw", known)
    (people,) = ("'" + "', '".join(gone) + "'",)
    found = queried(
        place.lake_uri,
        "select coalesce(reason, status), count(*) from recordings where source_root = 'again' or "
        f"len(list_filter(consent, lambda c: c.subject_id in ({people}))) > 0 group by all",
    )
    return {str(reason): int(count) for reason, count in found} | {"files": len(sounds)}
