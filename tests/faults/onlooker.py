"""What a reader sees of a lake at this moment, beside what it may see; and what a lake says when all is done.

Truth is found without our own readers: the commit files that lie there, and the rows of the parts that they name.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from lake import layout
from lake.lake import Lake
from lake.reader import LakeReader
from lake.releases import changed_parts, index_table, list_releases
from lake.runs import list_runs
from schemas.errors import ProvoiceError
from schemas.records import StoredObject

Row = tuple[str, str]
"""Key or recording id, and run."""


@dataclass
class Seen:
    """What is wrong with what a reader saw; nothing, if all is well."""

    uncommitted: set[str] = field(default_factory=set)
    half: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.uncommitted or self.half)


def look(folder: Path) -> Seen:
    """Opens the lake as any reader does, and compares. A lake without a head is none yet."""
    seen = Seen()
    if not (folder / layout.HEAD).exists():
        return seen
    try:
        lake = Lake.open(str(folder))
        reader = LakeReader(lake)
        named = _named(reader)
        seen.half += [why for stored in named if (why := _fault(folder, stored))]
        if not seen.half:
            truth = _committed_rows(folder)
            seen.uncommitted = {key for key, _ in rows_of(reader, "utterances") if key not in truth}
            seen.uncommitted |= {key for key, _ in rows_of(reader, "recordings") if key not in truth}
        for release in list_releases(lake):
            seen.half += [f"release {release.name} {release.version}: {path}" for path in changed_parts(lake, release)]
        for _ in lake.ledger().events():
            pass
    except ProvoiceError as error:
        seen.half.append(str(error))
    return seen


def _named(reader: LakeReader) -> list[StoredObject]:
    named = [stored for _, commit in reader.commits for stored in commit.objects]
    named += [run.plan for run in reader.runs]
    if reader.snapshot is not None:
        named += [reader.snapshot.commits, *reader.snapshot.files]
    return named


def _fault(folder: Path, stored: StoredObject) -> str | None:
    path = folder / stored.path
    if not path.exists():
        return f"{stored.path} is named and not there"
    return None if sha256(path.read_bytes()).hexdigest() == stored.sha256 else f"{stored.path} has other bytes"


def _committed_rows(folder: Path) -> set[str]:
    """Keys and recording ids of all parts that a commit file names. A part of an earlier generation counts as long as
    it is there: a reader may follow the snapshot that holds it until the next one is taken, and only then it goes."""
    found: set[str] = set()
    for path in sorted((folder / "commits").glob("*/*.json")):
        for stored in json.loads(path.read_text())["objects"]:
            column = {"utterances": "key", "recordings": "recording_id"}.get(stored["kind"])
            if column is not None and (folder / stored["path"]).exists():
                found |= set(_table(folder / stored["path"], column)[column].to_pylist())
    return found


def rows_of(reader: LakeReader, kind: str) -> list[Row]:
    """Current rows as a reader takes them: merged files and parts since, without what is stale."""
    column = "key" if kind == "utterances" else "recording_id"
    stale = {(row["recording_id"], row["run_id"]) for row in reader.stale().to_pylist()} if _has_tail(reader) else set()
    found = []
    for path in [file.path for file in reader.merged(kind)] + [part.path for part in reader.parts(kind)]:
        with reader.lake.root.open(path) as file:
            table = _table(file)
        runs = (
            [row["run_id"] for row in table["lineage"].to_pylist()]
            if kind == "utterances"
            else table["run_id"].to_pylist()
        )
        for key, recording, run in zip(table[column].to_pylist(), table["recording_id"].to_pylist(), runs, strict=True):
            if (recording, run) not in stale:
                found.append((key, run))
    return found


def _table(file: Any, *columns: str) -> pa.Table:
    """Without Arrow's threads, which a forked process has not."""
    return pq.ParquetFile(file, pre_buffer=False).read(list(columns) or None, use_threads=False)


def _has_tail(reader: LakeReader) -> bool:
    return next(reader.parts("recordings"), None) is not None


_SAYS = ("consent/log/", "consent/projection/", "consent/certificates/", "consent/audit/")
"""What keeps what was said, by pseudonym."""


def standing(folder: Path, person: str, ids: Sequence[str]) -> list[str]:
    """Files of a lake in which the person or one of the ids stands, as it is or in what a Parquet file holds."""
    found = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name, text = str(path.relative_to(folder)), path.read_bytes()
        if name.endswith(".parquet"):
            text += repr(_table(path).to_pylist()).encode()
        words = ids if name.startswith(_SAYS) else (person, *ids)
        if any(word.encode() in text for word in words):
            found.append(name)
    return found


# --- when all is done -------------------------------------------------------------------------------------------------


@dataclass
class State:
    """What must be the same after any fault, when the same command has been started again."""

    objects: dict[str, str]
    """Path to SHA-256 of every object that a commit names."""
    account: dict[str, Any]
    utterances: Counter[Row]
    recordings: Counter[Row]
    events: list[str]
    """What the ledger says, each event once."""
    releases: dict[str, Any]
    """Of the newest version of each release: the digests of its index, and what was chosen."""

    @property
    def doubled(self) -> int:
        every = (self.utterances, self.recordings)
        return sum(count - 1 for rows in every for count in _without_run(rows).values())

    def lost_from(self, undisturbed: State) -> int:
        """Sources that the undisturbed lake accounts for, and this one does not; events, too."""
        mine, theirs = {key for key, _ in self.recordings}, {key for key, _ in undisturbed.recordings}
        return len(theirs - mine) + len(set(undisturbed.events) - set(self.events))


def state_of(folder: Path) -> State:
    """Reads it all. Raises ProvoiceError where it cannot be read."""
    lake = Lake.open(str(folder))
    reader = LakeReader(lake)
    objects = {
        stored.path: sha256((folder / stored.path).read_bytes()).hexdigest()
        for _, commit in reader.commits
        for stored in commit.objects
    }
    account = {run.run_id: (run.units, run.sources) for run in list_runs(lake)}
    counts: dict[str, Counter[str]] = {run_id: Counter() for run_id in account}
    for run, commit in reader.commits:
        counts[run.run_id].update(sources=commit.counts.sources, emitted=commit.counts.emitted,
                                  utterances=commit.counts.utterances)  # fmt: skip
    events = lake.ledger().events_table().drop_columns(["position"]).to_pylist()
    newest = {release.name: release for release in list_releases(lake)}
    return State(
        objects,
        # A unit that gc sealed has an account of nothing, whether a snapshot holds its commit or not.
        {run_id: (*account[run_id], dict(+counts[run_id])) for run_id in account},
        Counter(rows_of(reader, "utterances")),
        Counter(rows_of(reader, "recordings")),
        [repr(sorted(event.items())) for event in events],
        {
            name: (index_table(lake, release, ["key"])["key"].to_pylist(), release.chosen.utterances)
            for name, release in newest.items()
        },
    )


def differences(now: State, undisturbed: State, in_any_run: bool = False) -> list[str]:
    """The names of what is not the same. `in_any_run`: rows alone, in whichever run they came."""
    if in_any_run:
        both = [(getattr(now, kind), getattr(undisturbed, kind)) for kind in ("utterances", "recordings")]
        is_same = all(_without_run(mine) == _without_run(theirs) for mine, theirs in both)
        return [] if is_same else ["rows, in whichever run,"]
    return [name for name in State.__dataclass_fields__ if getattr(now, name) != getattr(undisturbed, name)]


def _without_run(rows: Counter[Row]) -> Counter[str]:
    return Counter(key for (key, _), count in rows.items() for _ in range(count))
