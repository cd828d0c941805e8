"""Releases without some people: a version in which one of them is heard is replaced by a new one without them.

The new version holds the rows that are left, decided when they were decided; nothing comes in and nothing is judged
anew. The old version's record stays, for models were trained on it; its index, which names everybody, does not.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from lake.commits import read_commit
from lake.lake import Lake
from lake.parts import read_part, write_table
from lake.releases import create_release, index_table, list_releases, newest_version, put_index_part, replace_release
from pipelines.release.audit import kept_audit_rows, write_audit_rows
from pipelines.release.index import BOUNDED, ENCODINGS, REPEATING, ROW_GROUP_ROWS
from schemas.consent_tables import RELEASE_INDEX_SCHEMA
from schemas.errors import AlreadyExists, LakeError
from schemas.records import StoredObject
from schemas.releases import Lineage, ReleaseRecord, Replaced, Share
from schemas.tables import PLACE_FIELDS

_RACES = 20
REASON = "erasure"
_WHO = ("key", "run_id", "recording_id", "subject_ids", "duration_s")
_PLACE = tuple(field.name for field in PLACE_FIELDS)


@dataclass(frozen=True)
class Gone:
    """What is in releases no more: these people, and whole recordings by run."""

    subjects: frozenset[str]
    whole: frozenset[tuple[str, str]]
    """Run and recording."""

    @classmethod
    def of(cls, subjects: Sequence[str], touched: pa.Table) -> Gone:
        rows = touched.filter(touched["is_whole"]).select(["run_id", "recording_id"]).to_pylist()
        return cls(frozenset(subjects), frozenset((row["run_id"], row["recording_id"]) for row in rows))

    def mask(self, rows: pa.Table) -> pa.Array:
        """Which rows of an index go."""
        people = rows["subject_ids"].to_pylist()
        places = zip(rows["run_id"].to_pylist(), rows["recording_id"].to_pylist(), strict=True)
        return pa.array(
            [
                place in self.whole or not self.subjects.isdisjoint(names or ())
                for place, names in zip(places, people, strict=True)
            ],
            pa.bool_(),
        )


@dataclass(frozen=True)
class Affected:
    """A version of a release in which something goes."""

    record: ReleaseRecord
    rows: int
    """That go."""


def people_in_releases(lake: Lake) -> set[str]:
    """Everybody who is in a release that is not replaced."""
    found: set[str] = set()
    for record in list_releases(lake):
        if record.replaced is None:
            names = index_table(lake, record, ["subject_ids"])["subject_ids"]
            found.update(pc.unique(pc.list_flatten(names)).drop_null().to_pylist())
    return found


def affected(lake: Lake, gone: Gone) -> list[Affected]:
    """The versions with rows that go. Reads narrow columns of every index that is not replaced."""
    found = []
    for record in list_releases(lake):
        if record.replaced is None:
            rows = pc.sum(gone.mask(index_table(lake, record, _WHO))).as_py() or 0
            if rows:
                found.append(Affected(record, rows))
    return found


def replace(
    lake: Lake, record: ReleaseRecord, gone: Gone, position: int, number: int, now: datetime
) -> ReleaseRecord | None:  # fmt: skip
    """Makes the version without what goes, marks the old one as replaced, and returns the new one; None where nothing
    is left. Where it was made before, it is found."""
    made = next((one for one in list_releases(lake) if _takes_the_place(one, record)), None)
    rows = index_table(lake, record, _WHO)
    goes = gone.mask(rows)
    left = rows.filter(pc.invert(goes))
    if made is None and left.num_rows:
        made = _made(lake, record, gone, _lineage(record, rows.filter(goes), position), _share(left), now)
    by = made.version if made is not None else None
    # What the index says of everybody goes with it; these counts and digests stay.
    audit = kept_audit_rows(lake, record)
    said = Replaced(sha256=record.sha256, by=by, reason=REASON, erasure=number, audit=audit, replaced_at=now)
    replace_release(lake, record, said)
    return made


def _takes_the_place(one: ReleaseRecord, record: ReleaseRecord) -> bool:
    return one.name == record.name and one.replaces is not None and one.replaces.sha256 == record.sha256


def _lineage(record: ReleaseRecord, out: pa.Table, position: int) -> Lineage:
    return Lineage(
        version=record.version, sha256=record.sha256, reason=REASON, ledger_position=position, left_out=_share(out)
    )


def _share(rows: pa.Table) -> Share:
    people = pc.list_flatten(rows["subject_ids"]).unique()
    seconds = pc.sum(rows["duration_s"]).as_py() or 0.0
    return Share(utterances=rows.num_rows, audio_s=round(seconds, 6), people=len(people))


def _made(
    lake: Lake, record: ReleaseRecord, gone: Gone, lineage: Lineage, left: Share, now: datetime
) -> ReleaseRecord:  # fmt: skip
    for _ in range(_RACES):
        version = newest_version(lake, record.name) + 1
        index = _put_index(lake, record, gone, version)
        denied = {**record.denied, REASON: _added(record.denied.get(REASON), lineage.left_out)}
        said = record.model_copy(
            update={
                "version": version, "index": index, "chosen": left, "denied": denied, "replaces": lineage,
                "created_at": now, "audit": write_audit_rows(lake, record.name, version, index),
                # Made from all candidates, which are not looked at again; the old record still says it.
                "attrition": {},
            }
        ).sealed()  # fmt: skip
        try:
            return create_release(lake, said)
        except AlreadyExists:
            continue  # another took the version
    raise LakeError(f"others took every version of {record.name} in {_RACES} tries; start the command once more")


def _added(one: Share | None, other: Share) -> Share:
    if one is None:
        return other
    return Share(
        utterances=one.utterances + other.utterances,
        audio_s=round(one.audio_s + other.audio_s, 6),
        people=one.people + other.people,
    )


def _put_index(lake: Lake, record: ReleaseRecord, gone: Gone, version: int) -> tuple[StoredObject, ...]:
    """The parts without what goes, in the same order; parts of which nothing is left are left out."""
    parts: list[StoredObject] = []
    places = _Places(lake)
    with tempfile.TemporaryDirectory(prefix="provoice-erase-") as folder:
        for number, stored in enumerate(record.index):
            rows = read_part(lake.root, stored.path)
            left = rows.filter(pc.invert(gone.mask(rows)))
            if not left.num_rows:
                continue
            path = Path(folder) / f"{number}.parquet"
            left = places.moved(left).cast(RELEASE_INDEX_SCHEMA).combine_chunks()
            size, sha256 = write_table(
                path, left, ROW_GROUP_ROWS, repeating=REPEATING, encodings=ENCODINGS, statistics=BOUNDED
            )
            made = (path, size, sha256, left.num_rows)
            parts.append(put_index_part(lake, record.name, version, len(parts), made))
    return tuple(parts)


class _Places:
    """Where utterances lie after the rewriting of their units: the hints of an index."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._known: dict[tuple[str, str], Mapping[str, dict[str, object]] | None] = {}

    def moved(self, rows: pa.Table) -> pa.Table:
        """The rows of an index with their places as of now."""
        names = rows.select(["key", "run_id", "unit_id", *_PLACE]).to_pylist()
        now = [self._of(row["run_id"], row["unit_id"]).get(row["key"], row) for row in names]
        for name in _PLACE:
            at = rows.schema.get_field_index(name)
            rows = rows.set_column(at, rows.schema.field(at), pa.array([row[name] for row in now], rows.field(at).type))
        return rows

    def _of(self, run_id: str, unit_id: str) -> Mapping[str, dict[str, object]]:
        if (run_id, unit_id) not in self._known:
            commit = read_commit(self._lake, run_id, unit_id)
            found: dict[str, dict[str, object]] = {}
            for stored in commit.objects if commit is not None and commit.generation else ():
                if stored.kind == "utterances":
                    table = read_part(self._lake.root, stored.path, ["key", *_PLACE])
                    found |= {row["key"]: row for row in table.to_pylist()}
            self._known[run_id, unit_id] = found
        return self._known[run_id, unit_id] or {}
