"""The ledger's events as arrays: each grant with what ended it, the newest catalogue digests, the vocabulary."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import ValidationError

from schemas.consent import TERMS, DenyReason
from schemas.consent_tables import EVENT_FIELDS
from schemas.errors import ConsentError
from schemas.ledger import EventType
from schemas.quick_arrow import never_import_pandas_for_a_question
from schemas.vocabulary import Vocabulary
from transforms.consent_table.columns import (
    EARLIEST,
    LATEST,
    Flags,
    Ints,
    Places,
    firsts,
    flags,
    instants,
    lists,
    offsets_of,
    pair_keys,
    places,
    source_ids,
    typed,
    whole,
)  # fmt: skip

ENDINGS = {
    EventType.INVALIDATED: DenyReason.INVALIDATED,
    EventType.REFUSED: DenyReason.REFUSED,
    EventType.WITHDRAWN: DenyReason.WITHDRAWN,
}
_CHANGED = EventType.CATALOGUE_CHANGED
WORDS = ("action", *TERMS)
SCOPE_ALL, SCOPE_RECORDINGS, SCOPE_COLLECTED, SCOPE_UNREADABLE = range(4)
_READ = tuple(
    field
    for field in EVENT_FIELDS
    if field.name
    in {"position", "event_id", "type", "subject_id", "grant_id", "grant", "source_root", "source_path",
        "catalogue_row_sha256", "vocabulary"}
)  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Rules:
    """Every rule of every grant, in the order of the grants."""

    starts: Ints
    """Where the rules of each grant begin (grants + 1)."""
    permits: Flags
    until: Ints
    """Latest end that a request may ask, in microseconds: `durable_until`, or the end of the grant."""
    words: dict[str, tuple[Ints, Ints, list[str]]]
    """For `action` and each facet: where the words of each rule begin (rules + 1), a code per word, the words."""


@dataclass(frozen=True, slots=True, eq=False)
class Grants:
    """Grants in order of subject and id, and the subjects they are of."""

    subjects: pa.Array
    """Sorted."""
    subject_places: Places
    starts: Ints
    """Where the grants of each subject begin (subjects + 2: one more subject is nobody, who has none)."""
    ids: pa.Array
    id_places: Places
    ended: pa.Array
    """The `DenyReason` that ended it; null while it runs."""
    begins: Ints
    ends: Ints
    scope: NDArray[np.int8]
    collected_from: Ints
    collected_until: Ints
    listed: Ints
    """Sorted `grant * len(sources) + source` of every recording that a scope lists."""
    rules: Rules


@dataclass(frozen=True, slots=True, eq=False)
class ConsentTables:
    """The fold of the ledger's first `position` events, as `decide_table` reads it."""

    position: int
    grants: Grants
    sources: pa.Table
    """`source_id`, `source_path` and `pair` (one text of root and path) of each source that the events speak of."""
    source_places: Places
    """By `source_id`."""
    pair_places: Places
    path_places: Places
    """By `source_path`, which may stand in several roots: only whether it is there counts."""
    changes: tuple[Ints, pa.Array]
    """(place in `sources`, catalogue digest from now on), one per source that changed: the newest."""
    endings: pa.Table
    """What ended anything: `subject_id`, `grant_id` (null: all before), `type`, `position`."""
    vocabularies: tuple[Vocabulary, ...]
    """The newest one, or none."""

    @property
    def vocabulary(self) -> Vocabulary | None:
        """The vocabulary in force."""
        return self.vocabularies[-1] if self.vocabularies else None


def tables_of(events: pa.Table, position: int) -> ConsentTables:
    """The fold of `events` (EVENTS_SCHEMA) up to `position`. Raises ConsentError for columns that cannot be read."""
    return folded(events, position)


def folded(events: pa.Table, position: int, *, keeps_repeats: bool = False) -> ConsentTables:
    """`tables_of`; with `keeps_repeats` nothing counts as said before, for whoever cannot see what was said before:
    every grant, every change of a catalogue row and every vocabulary stays in."""
    never_import_pandas_for_a_question()
    columns, rows = _in_order(events, position)
    if not keeps_repeats:
        rows = rows[firsts(columns["event_id"].take(pa.array(rows)))]
    kinds = columns["type"].take(pa.array(rows))
    of_kind = {kind: rows[flags(pc.equal(kinds, kind.value))] for kind in EventType}
    given = of_kind[EventType.GIVEN]
    for name in ("subject_id", "grant_id", "grant"):
        given = given[flags(pc.is_valid(columns[name].take(pa.array(given))))]
    if not keeps_repeats:
        given = given[firsts(columns["grant_id"].take(pa.array(given)))]
    ending = rows[flags(pc.is_in(kinds, pa.array([kind.value for kind in ENDINGS])))]
    endings = _picked(columns, ("subject_id", "grant_id", "type", "position"), ending)
    changed = _picked(columns, ("source_root", "source_path", "catalogue_row_sha256"), of_kind[_CHANGED])
    said = columns["vocabulary"].take(pa.array(of_kind[EventType.VOCABULARY]))
    given, subjects, owner = _by_subject(columns, given)
    held = _picked(columns, ("position", "grant_id", "grant"), given)
    sources, listed, changes = _sources(held, changed, keeps_repeats)
    return ConsentTables(
        position=position,
        grants=_grants(held, subjects, owner, _ended(held, subjects, owner, endings), listed),
        sources=sources,
        source_places=Places(whole(sources["source_id"])),
        pair_places=Places(whole(sources["pair"])),
        path_places=Places(whole(sources["source_path"])),
        changes=changes,
        endings=endings,
        vocabularies=_vocabularies(said, keeps_repeats),
    )


def _in_order(events: pa.Table, position: int) -> tuple[dict[str, pa.Array], Ints]:
    """The columns, and the rows up to `position` in order of position."""
    columns = typed(events, _READ, "events")
    number = instants(columns["position"], LATEST)
    rows = np.flatnonzero(number <= position)
    number = number[rows]
    return columns, rows if np.all(number[:-1] <= number[1:]) else rows[np.argsort(number, kind="stable")]


def _picked(columns: dict[str, pa.Array], names: tuple[str, ...], rows: Ints) -> pa.Table:
    return pa.table({name: columns[name].take(pa.array(rows)) for name in names})


def _by_subject(columns: dict[str, pa.Array], given: Ints) -> tuple[Ints, pa.Array, Ints]:
    """The rows in order of subject and grant, the sorted subjects, and the place among them of each row's."""
    owners, ids = (columns[name].take(pa.array(given)) for name in ("subject_id", "grant_id"))
    subjects = owners.unique()
    subjects = subjects.take(pc.sort_indices(subjects))
    owner = places(owners, subjects)
    by_id = pc.sort_indices(ids).to_numpy()
    order = by_id[np.argsort(owner[by_id], kind="stable")]
    return given[order], subjects, owner[order]


def _vocabularies(texts: pa.Array, keeps_all: bool) -> tuple[Vocabulary, ...]:
    try:
        return tuple(Vocabulary.model_validate_json(text) for text in texts.to_pylist()[0 if keeps_all else -1 :])
    except ValidationError as error:
        raise ConsentError(f"the ledger's vocabulary cannot be read: {error.error_count()} faults in it") from None


def _sources(given: pa.Table, changed: pa.Table, keeps_all: bool) -> tuple[pa.Table, Ints, tuple[Ints, pa.Array]]:
    """Sources spoken of; `Grants.listed`; (source, digest) of those that changed."""
    grants = whole(given["grant"])
    offsets, refs = lists(pc.struct_field(grants, ["recordings"]))
    roots = pa.concat_arrays([pc.struct_field(refs, ["root"]), whole(changed["source_root"])])
    paths = pa.concat_arrays([pc.struct_field(refs, ["path"]), whole(changed["source_path"])])
    pairs = pair_keys(roots, paths)
    once = pa.array(np.flatnonzero(firsts(pairs) & flags(pc.is_valid(pairs))))
    known, roots, paths = pairs.take(once), roots.take(once), paths.take(once)
    sources = pa.table({"source_id": source_ids(roots, paths), "source_path": paths, "pair": known})
    code = places(pairs, known)
    grant = np.repeat(np.arange(len(grants), dtype=np.int64), np.diff(offsets))
    is_listing = flags(pc.equal(pc.struct_field(grants, ["scope"]), "recordings"))[grant] & (code[: len(grant)] >= 0)
    listed = np.sort((grant * max(1, len(known)) + code[: len(grant)])[is_listing])
    source, digest = code[len(grant) :], whole(changed["catalogue_row_sha256"])
    if not keeps_all:
        newest = firsts(pa.array(source[::-1]))[::-1]
        source, digest = source[newest], digest.filter(pa.array(newest))
    return sources, listed, (source, digest)


def _grants(given: pa.Table, subjects: pa.Array, owner: Ints, ended: pa.Array, listed: Ints) -> Grants:
    grant = whole(given["grant"])
    # A window that cannot be read is never open.
    ends = instants(pc.struct_field(grant, ["valid_until"]), EARLIEST)
    scope = _scopes(grant)
    return Grants(
        subjects=subjects,
        subject_places=Places(subjects),
        starts=offsets_of(np.bincount(owner, minlength=len(subjects) + 1)),
        ids=whole(given["grant_id"]),
        id_places=Places(whole(given["grant_id"])),
        ended=ended,
        begins=instants(pc.struct_field(grant, ["valid_from"]), LATEST),
        ends=np.where(scope == SCOPE_UNREADABLE, EARLIEST, ends),
        scope=scope,
        collected_from=instants(pc.struct_field(grant, ["collected_from"]), LATEST),
        collected_until=instants(pc.struct_field(grant, ["collected_until"]), EARLIEST),
        listed=listed,
        rules=_rules(pc.struct_field(grant, ["rules"]), ends),
    )


def _scopes(grant: pa.Array) -> NDArray[np.int8]:
    """A scope that does not say what it must is unreadable: it prohibits everywhere and permits nowhere."""
    scope = places(pc.struct_field(grant, ["scope"]), pa.array(["all", "recordings", "collected"]))
    offsets, refs = lists(pc.struct_field(grant, ["recordings"]))
    pairs = pc.and_(pc.is_valid(pc.struct_field(refs, ["root"])), pc.is_valid(pc.struct_field(refs, ["path"])))
    lacks_one = np.diff(offsets_of(~flags(pairs))[offsets]) > 0
    bounds = [pc.is_null(pc.struct_field(grant, [name])) for name in ("collected_from", "collected_until")]
    lacks_end = flags(pc.or_(*bounds))
    unreadable = (scope < 0) | ((scope == SCOPE_RECORDINGS) & (lacks_one | (np.diff(offsets) == 0)))
    unreadable |= (scope == SCOPE_COLLECTED) & lacks_end
    return np.where(unreadable, SCOPE_UNREADABLE, scope).astype(np.int8)


def _ended(given: pa.Table, subjects: pa.Array, owner: Ints, endings: pa.Table) -> pa.Array:
    """What ended each grant first: an ending that names it, whenever, or one of the subject's all, recorded later."""
    end_of, at = places(whole(endings["subject_id"]), subjects), instants(whole(endings["position"]), LATEST)
    first = np.full(given.num_rows, LATEST, np.int64)
    named = places(whole(endings["grant_id"]), whole(given["grant_id"]))
    is_theirs = (named >= 0) & (end_of >= 0)
    is_theirs[is_theirs] = owner[named[is_theirs]] == end_of[is_theirs]
    np.minimum.at(first, named[is_theirs], at[is_theirs])
    about_all = flags(pc.is_null(whole(endings["grant_id"]))) & (end_of >= 0)
    if about_all.any():
        span = int(at.max()) + 2
        keys = np.sort(end_of[about_all] * span + at[about_all])
        given_at = instants(whole(given["position"]), LATEST)
        later = np.searchsorted(keys, owner * span + np.minimum(given_at, span - 1), side="right")
        found = keys[np.minimum(later, len(keys) - 1)]
        is_later = (later < len(keys)) & (found // span == owner)
        first = np.where(is_later, np.minimum(first, found % span), first)
    which = np.searchsorted(at, first)
    return whole(endings["type"]).take(pa.array(which, mask=first == LATEST))


def _rules(column: pa.Array, grant_ends: Ints) -> Rules:
    starts, rules = lists(column)
    grant = np.repeat(np.arange(len(starts) - 1, dtype=np.int64), np.diff(starts))
    durable = instants(pc.struct_field(rules, ["durable_until"]), LATEST)
    words: dict[str, tuple[Ints, Ints, list[str]]] = {}
    for name in WORDS:
        offsets, values = lists(pc.struct_field(rules, [name]))
        coded: Any = pc.dictionary_encode(values.fill_null(""))
        words[name] = (offsets, coded.indices.to_numpy().astype(np.int64), coded.dictionary.to_pylist())
    return Rules(
        starts=starts,
        # What does not plainly permit counts as a prohibition.
        permits=flags(pc.equal(pc.struct_field(rules, ["effect"]), "permit")),
        until=np.where(durable == LATEST, grant_ends[grant], durable),
        words=words,
    )
