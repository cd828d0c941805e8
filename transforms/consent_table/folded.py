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
    starts: Ints
    """Where the grants of each subject begin (subjects + 2: one more subject is nobody, who has none)."""
    ids: pa.Array
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
    """`source_id` and `pair` (one text of root and path) of every source that the events speak of, each once."""
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
    table = _in_order(events, position)
    if not keeps_repeats:
        table = table.filter(pa.array(firsts(whole(table["event_id"]))))
    kinds = whole(table["type"])
    given = table.filter(pc.and_(pc.equal(kinds, "given"), pc.is_valid(whole(table["grant"]))))
    given = given.filter(pc.and_(pc.is_valid(given["subject_id"]), pc.is_valid(given["grant_id"])))
    if not keeps_repeats:
        given = given.filter(pa.array(firsts(whole(given["grant_id"]))))
    endings = table.filter(pc.is_in(kinds, pa.array([kind.value for kind in ENDINGS])))
    endings = endings.select(["subject_id", "grant_id", "type", "position"]).combine_chunks()
    changed = table.filter(pc.equal(kinds, "catalogue_changed"))
    sources, listed, changes = _sources(given, changed, keeps_repeats)
    return ConsentTables(
        position=position,
        grants=_grants(given, endings, listed, sources.num_rows),
        sources=sources,
        changes=changes,
        endings=endings,
        vocabularies=_vocabularies(table.filter(pc.equal(kinds, "vocabulary"))["vocabulary"], keeps_repeats),
    )


def _in_order(events: pa.Table, position: int) -> pa.Table:
    table = pa.table(typed(events, _READ, "events"))
    number = instants(table["position"].combine_chunks(), LATEST) if table.num_rows else np.zeros(0, np.int64)
    if np.any(number > position):
        table, number = table.filter(pa.array(number <= position)), number[number <= position]
    return table if np.all(number[:-1] <= number[1:]) else table.take(pa.array(np.argsort(number, kind="stable")))


def _vocabularies(texts: pa.ChunkedArray, keeps_all: bool) -> tuple[Vocabulary, ...]:
    try:
        return tuple(Vocabulary.model_validate_json(text) for text in texts.to_pylist()[0 if keeps_all else -1 :])
    except ValidationError as error:
        raise ConsentError(f"the ledger's vocabulary cannot be read: {error.error_count()} faults in it") from None


def _sources(
    given: pa.Table, changed: pa.Table, keeps_all: bool
) -> tuple[pa.Table, tuple[Ints, Ints], tuple[Ints, pa.Array]]:
    """Sources spoken of; (row of `given`, source) that scopes list; (source, digest) of those that changed."""
    counts, refs = lists(pc.struct_field(whole(given["grant"]), ["recordings"]))
    is_listing = pc.equal(pc.struct_field(whole(given["grant"]), ["scope"]), "recordings")
    grant = np.repeat(np.arange(given.num_rows, dtype=np.int64), np.diff(counts))
    roots = pa.concat_arrays([pc.struct_field(refs, ["root"]), whole(changed["source_root"])])
    paths = pa.concat_arrays([pc.struct_field(refs, ["path"]), whole(changed["source_path"])])
    every = pa.table({"root": roots, "path": paths, "pair": pair_keys(roots, paths)})
    once = every.filter(pa.array(firsts(whole(every["pair"]))))
    once = once.filter(pc.is_valid(once["pair"])).combine_chunks()
    ids = source_ids(whole(once["root"]), whole(once["path"]))
    code = places(whole(every["pair"]), whole(once["pair"]))
    listed = (code[: len(grant)] >= 0) & is_listing.fill_null(False).to_numpy(zero_copy_only=False)[grant]
    source, digest = code[len(grant) :], whole(changed["catalogue_row_sha256"])
    if not keeps_all:
        newest = firsts(pa.array(source[::-1]))[::-1]
        source, digest = source[newest], digest.filter(pa.array(newest))
    sources = pa.table({"source_id": ids, "pair": whole(once["pair"])})
    return sources, (grant[listed], code[: len(grant)][listed]), (source, digest)


def _grants(given: pa.Table, endings: pa.Table, listed: tuple[Ints, Ints], n_sources: int) -> Grants:
    subjects = whole(given["subject_id"]).unique()
    subjects = subjects.take(pc.sort_indices(subjects))
    owner = places(whole(given["subject_id"]), subjects)
    rank = np.empty(given.num_rows, np.int64)
    rank[pc.sort_indices(whole(given["grant_id"])).to_numpy()] = np.arange(given.num_rows)
    order = np.lexsort((rank, owner))
    place = np.empty(given.num_rows, np.int64)
    place[order] = np.arange(given.num_rows)
    given, owner = given.take(pa.array(order)).combine_chunks(), owner[order]
    grant = whole(given["grant"])
    starts = offsets_of(np.bincount(owner, minlength=len(subjects) + 1))
    # A window that cannot be read is never open.
    ends = instants(pc.struct_field(grant, ["valid_until"]), EARLIEST)
    scope = _scopes(grant)
    return Grants(
        subjects=subjects,
        starts=starts,
        ids=whole(given["grant_id"]),
        ended=_ended(given, owner, subjects, endings),
        begins=instants(pc.struct_field(grant, ["valid_from"]), LATEST),
        ends=np.where(scope == SCOPE_UNREADABLE, EARLIEST, ends),
        scope=scope,
        collected_from=instants(pc.struct_field(grant, ["collected_from"]), LATEST),
        collected_until=instants(pc.struct_field(grant, ["collected_until"]), EARLIEST),
        listed=np.sort(place[listed[0]] * max(1, n_sources) + listed[1]),
        rules=_rules(pc.struct_field(grant, ["rules"]), ends),
    )


def _scopes(grant: pa.Array) -> NDArray[np.int8]:
    """A scope that does not say what it must is unreadable: it prohibits everywhere and permits nowhere."""
    scope = places(pc.struct_field(grant, ["scope"]), pa.array(["all", "recordings", "collected"]))
    offsets, refs = lists(pc.struct_field(grant, ["recordings"]))
    pairs = pc.and_(pc.is_valid(pc.struct_field(refs, ["root"])), pc.is_valid(pc.struct_field(refs, ["path"])))
    lacks_one = np.diff(offsets_of(~pairs.to_numpy(zero_copy_only=False))[offsets]) > 0
    bounds = [pc.is_null(pc.struct_field(grant, [name])) for name in ("collected_from", "collected_until")]
    lacks_end = flags(pc.or_(*bounds))
    unreadable = (scope < 0) | ((scope == SCOPE_RECORDINGS) & (lacks_one | (np.diff(offsets) == 0)))
    unreadable |= (scope == SCOPE_COLLECTED) & lacks_end
    return np.where(unreadable, SCOPE_UNREADABLE, scope).astype(np.int8)


def _ended(given: pa.Table, owner: Ints, subjects: pa.Array, endings: pa.Table) -> pa.Array:
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
