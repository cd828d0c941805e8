"""What a certificate says of a lake and its ledger, beside how they are now: each a sentence, and whether it holds."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from lake.commits import read_commit, read_generation
from lake.lake import Lake
from lake.releases import changed_parts, list_releases
from lake.suppression import FOLDER, SuppressionFile
from pipelines.erase import closure
from pipelines.erase.certificate import Certificate, Digests, ReplacedRelease
from pipelines.erase.releases import people_in_releases
from pipelines.erase.told import sha256_of
from schemas.errors import ConfigError, LakeError
from schemas.ledger import EventType
from schemas.model import parse
from schemas.records import Commit
from schemas.releases import ReleaseRecord
from transforms.consent import fold

Said = tuple[str, bool]


def check_units(lake: Lake, said: Certificate, reads_bytes: bool) -> Iterator[Said]:
    """The new generation of every unit is there with these digests, and what only the old one named is gone."""
    broken = [words for one in said.units for words in _unit(lake, one, reads_bytes)]
    yield from ((words, False) for words in broken)
    if said.units and not broken:
        how = "read to the byte" if reads_bytes else "there"
        yield f"units rewritten, {len(said.units):,}: commits and objects are {how}, what these replaced is gone", True


def _unit(lake: Lake, one: Digests, reads_bytes: bool) -> Iterator[str]:
    name = f"unit {one.unit_id} of run {one.run_id}"
    before = read_generation(lake, one.run_id, one.unit_id, one.replaced_generation)
    after = read_generation(lake, one.run_id, one.unit_id, one.generation)
    now = read_commit(lake, one.run_id, one.unit_id)
    if before is None or after is None or now is None:
        yield f"{name}: a generation of its commit is gone, and commits are never deleted"
        return
    if sha256_of(before) != one.sha256_before or sha256_of(after) != one.sha256_after:
        yield f"{name}: its commits name other digests than the certificate"
    # What `after` names and nothing names now, is collected by gc, which may not have come to it yet.
    named = {stored.path for commit in (after, now) for stored in commit.objects}
    for stored in before.objects:
        if stored.path not in named and lake.root.exists(stored.path):
            yield f"{name}: {stored.path} is there again, or still"
    yield from (f"{name}: {words}" for words in _faults(lake, now, reads_bytes))


def _faults(lake: Lake, commit: Commit, reads_bytes: bool) -> Iterator[str]:
    for stored in commit.objects:
        if lake.root.size(stored.path) != stored.size_bytes:
            yield f"{stored.path} is gone, or of another size"
        elif reads_bytes and lake.root.sha256(stored.path) != stored.sha256:
            yield f"{stored.path} has other bytes than its commit says"


def check_releases(lake: Lake, said: Certificate) -> Iterator[Said]:
    """Every version that was replaced is marked so, and without its index; the one in its place is there."""
    known = {(one.name, one.version): one for one in list_releases(lake)}
    broken = [words for one in said.releases for words in _release(lake, one, known)]
    yield from ((words, False) for words in broken)
    if said.releases and not broken:
        yield f"releases replaced, {len(said.releases):,}: every index is gone", True


def _release(lake: Lake, one: ReplacedRelease, known: dict[tuple[str, int], ReleaseRecord]) -> Iterator[str]:
    name, old = f"release {one.name}@{one.version}", known.get((one.name, one.version))
    if old is None or old.sha256 != one.sha256:
        yield f"{name}: its record is gone, or another"
    elif old.replaced is None:
        yield f"{name}: nothing says any more that it was replaced"
    elif left := [stored.path for stored in old.index if lake.root.exists(stored.path)]:
        yield f"{name}: {left[0]} is there again, or still"
    if one.by is not None:
        new = known.get((one.name, one.by))
        if new is None:
            yield f"{name}: {one.name}@{one.by}, which stands in for it, is gone"
        elif new.replaced is None and (changed := changed_parts(lake, new)):
            yield f"{name}: {changed[0]} of {one.name}@{one.by} is not what its record names"


def check_ledger(lake: Lake, said: Certificate) -> Iterator[Said]:
    """The ledger says that they were erased, and the suppression list has as many entries as it should."""
    told = {
        event.subject_id
        for _, event in lake.ledger().events_about(said.subjects, ())
        if event.type is EventType.ERASED and event.note == f"certificates/{said.number:06d}.0.json"
    }
    missing = sorted(set(said.subjects) - told)
    if missing:
        yield (
            f"the ledger does not say that {', '.join(missing)} {'was' if len(missing) == 1 else 'were'} erased",
            False,
        )
    entries = _entries(lake, said.number)
    holds = entries >= said.suppressed
    yield f"{entries:,} of {said.suppressed:,} entries of the suppression list", holds


def _entries(lake: Lake, number: int) -> int:
    root = lake.ledger().root
    found: set[str] = set()
    for info in root.list(FOLDER):
        if info.path.startswith(f"{FOLDER}/{number:06d}-"):
            try:
                file = parse(SuppressionFile, json.loads(root.read(info.path)), root.uri_of(info.path))
            except (ValueError, ConfigError) as error:
                raise LakeError(f"{root.uri_of(info.path)} is not a suppression list: {error}") from None
            found |= {f"path {one}" for one in file.paths} | {f"content {one}" for one in file.contents}
    return len(found)


@dataclass(frozen=True, slots=True)
class Again:
    """Who of those who were erased is named again: rows of plans and runs, and who is in a release."""

    rows: Mapping[str, int]
    in_releases: frozenset[str]
    anew: frozenset[str]
    """Who has allowed something anew since."""


def named_again(lake: Lake, subjects: Iterable[str]) -> Again:
    """Looks through the lake once, for all of them."""
    wanted = sorted(set(subjects))
    ended = fold(lake.ledger().events_about(wanted, ())).ended_subjects
    gone = [subject for subject in wanted if subject in ended]
    people = closure.find(lake, gone).touched["people"].to_pylist() if gone else []
    rows = Counter(subject for named in people for subject in named)
    return Again(rows, frozenset(people_in_releases(lake)), frozenset(wanted) - frozenset(gone))


def check_nothing_left(said: Certificate, again: Again) -> Iterator[Said]:
    """No plan, row or release names them, unless they have allowed it anew since."""
    anew = sorted(again.anew.intersection(said.subjects))
    if anew:
        yield f"{', '.join(anew)} {'has' if len(anew) == 1 else 'have'} allowed something anew since", True
    gone = [subject for subject in said.subjects if subject not in again.anew]
    rows = sum(again.rows.get(subject, 0) for subject in gone)
    where = [f"{rows:,} rows of plans and runs"] * bool(rows) + ["releases"] * (not again.in_releases.isdisjoint(gone))
    if where:
        yield f"named again in {' and in '.join(where)}: provoice erase once more", False
    elif gone:
        yield "no plan, row or release names them", True


def missing_certificates(lake: Lake) -> list[str]:
    """Certificates that the ledger names, and that are gone."""
    ledger = lake.ledger()
    kind = pc.field("type") == EventType.ERASED.value
    named: set[str] = set()
    for batch in ledger.events_batches(["type", "note"]):
        named.update(pa.Table.from_batches([batch]).filter(kind)["note"].drop_null().to_pylist())
    return sorted(named - {info.path for info in ledger.root.list("certificates")})
