"""What the ledger says of uses: which model was trained on which release, what became of it, and which grants ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from lake.lake import Lake
from lake.releases import list_releases
from pipelines.release.proof import rows_of
from schemas.ledger import ABOUT_MODELS, ENDS_GRANT, EventType
from schemas.releases import ReleaseRecord

if TYPE_CHECKING:
    import pyarrow as pa

_GIVEN = ["position", "subject_id", "grant_id"]
_COLUMNS = (*_GIVEN, "type", "recorded_at", "release", "owner", "purpose", "model", "note")
_Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Ending:
    """What ended a grant."""

    position: int
    type: str
    at: datetime


@dataclass
class Endings:
    """Which grants have ended, by the first event that ends each; people of whom nothing ended are not in it."""

    people: frozenset[str]
    named: Mapping[tuple[str, str], Ending]
    """By person and grant, where the event names it."""
    whole: Mapping[str, list[Ending]]
    """Of everything that a person had given before."""
    given: Mapping[str, int]
    """Grant to the position at which it was given first."""

    def of(self, subject_id: str, grant_id: str) -> Ending | None:
        """What ended this grant first."""
        since = self.given.get(grant_id, 0)
        found = [one for one in self.whole.get(subject_id, ()) if one.position > since]
        if (named := self.named.get((subject_id, grant_id))) is not None:
            found.append(named)
        return min(found, key=lambda one: one.position, default=None)


@dataclass
class Uses:
    """Everything about uses that a ledger says of the releases of one lake, as of one moment."""

    lake: Lake
    records: dict[str, ReleaseRecord] = field(default_factory=dict)
    """By digest."""
    opened: list[_Row] = field(default_factory=list)
    used: list[_Row] = field(default_factory=list)
    acknowledged: list[_Row] = field(default_factory=list)
    moved: list[_Row] = field(default_factory=list)
    """Models from one state to another."""
    endings: Endings = field(default_factory=lambda: Endings(frozenset(), {}, {}, {}))
    _rows: dict[str, pa.Table | None] = field(default_factory=dict)

    def audit(self, record: ReleaseRecord) -> pa.Table | None:
        """The release's audit rows; None where nobody can tell any more."""
        if record.sha256 not in self._rows:
            self._rows[record.sha256] = rows_of(self.lake, record)
        return self._rows[record.sha256]

    def ended(self, record: ReleaseRecord) -> list[tuple[_Row, Ending]]:
        """The release's audit rows whose grant has ended since, each with what ended it."""
        import pyarrow as pa
        import pyarrow.compute as pc

        rows = self.audit(record)
        if rows is None:
            return []
        some = rows.filter(pc.is_in(rows["subject_id"], pa.array(sorted(self.endings.people), pa.string())))
        pairs = ((row, self.endings.of(row["subject_id"], row["grant_id"])) for row in some.to_pylist())
        return [(row, ending) for row, ending in pairs if ending is not None]

    def versions_since(self, record: ReleaseRecord) -> list[ReleaseRecord]:
        """The version, and those that took its place one after the other; the last one stands, or is gone, too."""
        found = [record]
        of_version = {(one.name, one.version): one for one in self.records.values()}
        while (said := found[-1].replaced) is not None and said.by is not None:
            following = of_version.get((record.name, said.by))
            if following is None:
                break
            found.append(following)
        return found


def read_uses(lake: Lake) -> Uses:
    """Reads the ledger, once, and the releases' records. Raises ConsentError, LakeError."""
    import pyarrow as pa
    import pyarrow.compute as pc

    found = Uses(lake, {one.sha256: one for one in list_releases(lake)})
    lists = {EventType.OPENED: found.opened, EventType.USED: found.used, EventType.ACKNOWLEDGED: found.acknowledged}
    lists |= dict.fromkeys(ABOUT_MODELS, found.moved)
    ending: list[_Row] = []
    lists |= dict.fromkeys(ENDS_GRANT, ending)
    wanted = pa.array([kind.value for kind in lists])
    given: list[pa.RecordBatch] = []
    for batch in lake.ledger().events_batches(_COLUMNS):
        given.append(batch.filter(pc.equal(batch["type"], EventType.GIVEN.value)).select(_GIVEN))
        for row in batch.filter(pc.is_in(batch["type"], wanted)).to_pylist():
            lists[EventType(row["type"])].append(row)
    found.endings = _endings(ending, given)
    return found


def _endings(rows: Sequence[_Row], given: Sequence[pa.RecordBatch]) -> Endings:
    import pyarrow as pa
    import pyarrow.compute as pc

    named: dict[tuple[str, str], Ending] = {}
    whole: dict[str, list[Ending]] = {}
    for row in rows:
        one = Ending(row["position"], row["type"], row["recorded_at"])
        if row["grant_id"] is None:
            whole.setdefault(row["subject_id"], []).append(one)
        else:
            named.setdefault((row["subject_id"], row["grant_id"]), one)
    since: dict[str, int] = {}
    theirs = pa.array(sorted(whole), pa.string())
    for batch in given if whole else ():
        # Of most people nothing has ended, and when they gave it is no matter.
        for row in batch.filter(pc.is_in(batch["subject_id"], theirs)).to_pylist():
            since.setdefault(row["grant_id"], row["position"])
    return Endings(frozenset(whole) | {subject for subject, _ in named}, named, whole, since)
