"""Every record's subjects, one by one, and what each of them says to it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.consent import DenyReason
from transforms.consent_table.asked import CODE, PERMITTED, Answers
from transforms.consent_table.columns import (
    EARLIEST,
    LATEST,
    Flags,
    Ints,
    first_best,
    flags,
    instants,
    is_among,
    lists,
    offsets_of,
    spread,
)  # fmt: skip
from transforms.consent_table.folded import SCOPE_ALL, SCOPE_COLLECTED, SCOPE_RECORDINGS, SCOPE_UNREADABLE, Grants


@dataclass(frozen=True, slots=True, eq=False)
class Voices:
    """One element per record and subject of it: in order of the records, and of the subjects within each."""

    offsets: Ints
    """Where those of each record begin (records + 1)."""
    record: Ints
    subject: pa.Array


@dataclass(frozen=True, slots=True, eq=False)
class Told:
    """What is told of each voice: a code of `asked.REASONS`, and the grant that it stems from (-1: none)."""

    code: Ints
    grant: Ints


def voices_of(subject_ids: pa.Array) -> Voices:
    """The subjects of each record, sorted, each once; a null among them is left out."""
    offsets, names = lists(subject_ids)
    record = np.repeat(np.arange(len(subject_ids), dtype=np.int64), np.diff(offsets))
    if names.null_count:
        is_named = pc.is_valid(names)
        names, record = names.filter(is_named), record[is_named.to_numpy(zero_copy_only=False)]
    if not _is_sorted(names, record):
        coded = pc.dictionary_encode(names)
        rank = np.empty(len(coded.dictionary), np.int64)
        rank[pc.sort_indices(coded.dictionary).to_numpy()] = np.arange(len(rank))
        ranks = rank[coded.indices.to_numpy()]
        order = np.lexsort((ranks, record))
        ranks, record = ranks[order], record[order]
        is_new = np.ones(len(order), np.bool_)
        is_new[1:] = (ranks[1:] != ranks[:-1]) | (record[1:] != record[:-1])
        names, record = names.take(pa.array(order[is_new])), record[is_new]
    return Voices(offsets_of(np.bincount(record, minlength=len(subject_ids))), record, names)


def _is_sorted(names: pa.Array, record: Ints) -> bool:
    together = np.flatnonzero(record[1:] == record[:-1])
    left, right = names.take(pa.array(together)), names.take(pa.array(together + 1))
    return bool(pc.all(pc.less(left, right), min_count=0).as_py())


@dataclass(frozen=True, slots=True, eq=False)
class Records:
    """What scopes and narrowing read of the records."""

    source: Ints
    """Place among the sources that the ledger speaks of; -1: it does not."""
    n_sources: int
    collected_at: Ints
    """LATEST where it is not known."""
    is_narrowed: Flags
    counting: Ints
    """Sorted `record * len(grants) + grant` of what the records name."""


def records_of(columns: dict[str, pa.Array], source: Ints, n_sources: int, grants: Grants) -> Records:
    """A null list of grants is narrowed to none of them: nobody said that all count."""
    offsets, named = lists(columns["grant_ids"])
    is_narrowed = np.diff(offsets) > 0
    is_narrowed |= flags(pc.is_null(columns["grant_ids"]))
    record = np.repeat(np.arange(len(source), dtype=np.int64), np.diff(offsets))
    grant = grants.id_places.of(named)
    counting = np.sort((record * max(1, len(grants.ids)) + grant)[grant >= 0])
    return Records(source, n_sources, instants(columns["collected_at"], LATEST), is_narrowed, counting)


@dataclass(frozen=True, slots=True, eq=False)
class Alike:
    """What each subject (and nobody, the last) says to any record: most people's grants speak of all alike."""

    told: Told
    is_scoped: Flags
    """Some grant of theirs speaks of some recordings only: they must be asked for each."""


def ask_alike(grants: Grants, answers: Answers) -> Alike:
    """What every subject tells, as far as it is the same for all records that name no grants."""
    is_scoped = np.diff(offsets_of(grants.scope != SCOPE_ALL)[grants.starts]) > 0
    told = Told(np.full(len(is_scoped), CODE[DenyReason.NO_GRANT]), np.full(len(is_scoped), -1, np.int64))
    plain = np.flatnonzero(~is_scoped)
    found = _ask(plain, None, None, grants, answers)
    told.code[plain], told.grant[plain] = found.code, found.grant
    return Alike(told, is_scoped)


def tell(voices: Voices, records: Records, grants: Grants, answers: Answers, alike: Alike) -> Told:
    """What each voice's grants say: the first that prohibits, else the one that permits longest, else the nearest."""
    subject = grants.subject_places.of(voices.subject)
    subject[subject < 0] = len(grants.subjects)
    told = Told(alike.told.code[subject], alike.told.grant[subject])
    own = np.flatnonzero(alike.is_scoped[subject] | records.is_narrowed[voices.record])
    found = _ask(subject[own], voices.record[own], records, grants, answers)
    told.code[own], told.grant[own] = found.code, found.grant
    return told


def _ask(subject: Ints, record: Ints | None, records: Records | None, grants: Grants, answers: Answers) -> Told:
    """What each subject says to the record beside it; without records, to any that all of its grants cover alike."""
    question, grant = spread(grants.starts[subject], grants.starts[subject + 1])
    starts = offsets_of(np.bincount(question, minlength=len(subject)))
    covers, counts = np.ones(len(grant), np.bool_), np.ones(len(grant), np.bool_)
    reaches = covers
    if record is not None and records is not None:
        covers = _covers(grant, record[question], records, grants)
        reaches = covers | _may_cover(grant, record[question], records, grants)
        counts = _counts(grant, record[question], records, grants)
    code = np.where(covers, answers.after[grant], CODE[DenyReason.OUT_OF_SCOPE])
    code = np.where(answers.before[grant] == PERMITTED, code, answers.before[grant])
    # Of those that permit the one that ends last, else the nearest to permitting; one that does not count is neither.
    score = np.where(code == PERMITTED, grants.ends[grant], EARLIEST + code)
    score[~counts] = EARLIEST
    best = first_best(starts, score)
    is_told = best >= 0
    is_told[is_told] = score[best[is_told]] > EARLIEST
    told = Told(np.full(len(subject), CODE[DenyReason.NO_GRANT]), np.full(len(subject), -1, np.int64))
    told.code[is_told], told.grant[is_told] = code[best[is_told]], grant[best[is_told]]
    _prohibit(told, starts, grant, reaches & answers.prohibits[grant])
    return told


def prohibited(voices: Voices, records: Records, grants: Grants, prohibits: Flags) -> Told:
    """Only what prohibits: PERMITTED for every voice whose grants are silent about it."""
    subject = grants.subject_places.of(voices.subject)
    subject[subject < 0] = len(grants.subjects)
    question, grant = spread(grants.starts[subject], grants.starts[subject + 1])
    told = Told(np.full(len(subject), PERMITTED), np.full(len(subject), -1, np.int64))
    record = voices.record[question]
    reaches = _covers(grant, record, records, grants) | _may_cover(grant, record, records, grants)
    starts = offsets_of(np.bincount(question, minlength=len(subject)))
    _prohibit(told, starts, grant, reaches & prohibits[grant])
    return told


def _prohibit(told: Told, starts: Ints, grant: Ints, does: Flags) -> None:
    first = first_best(starts, does.astype(np.int64))
    found = np.flatnonzero(first >= 0)
    found = found[does[first[found]]]
    told.code[found], told.grant[found] = CODE[DenyReason.PROHIBITED], grant[first[found]]


def _covers(grant: Ints, record: Ints, records: Records, grants: Grants) -> Flags:
    """Whether the scope of each grant covers the record beside it."""
    scope = grants.scope[grant]
    covers: Flags = scope == SCOPE_ALL
    # Of a scope that cannot be read nobody can say that it does not; its grant never runs, so it only prohibits.
    covers |= scope == SCOPE_UNREADABLE
    listing = np.flatnonzero(scope == SCOPE_RECORDINGS)
    source = records.source[record[listing]]
    keys = grant[listing] * max(1, records.n_sources) + source
    covers[listing] = (source >= 0) & is_among(keys, grants.listed)
    period = np.flatnonzero(scope == SCOPE_COLLECTED)
    when, of = records.collected_at[record[period]], grant[period]
    covers[period] = (grants.collected_from[of] <= when) & (when < grants.collected_until[of])
    return np.asarray(covers)


def _may_cover(grant: Ints, record: Ints, records: Records, grants: Grants) -> Flags:
    """Whether each grant speaks of a period, and nobody knows when the record beside it was collected."""
    return np.asarray((grants.scope[grant] == SCOPE_COLLECTED) & (records.collected_at[record] == LATEST))


def _counts(grant: Ints, record: Ints, records: Records, grants: Grants) -> Flags:
    """Whether the record beside each grant lets it count."""
    counts = ~records.is_narrowed[record]
    narrowed = np.flatnonzero(~counts)
    counts[narrowed] = is_among(record[narrowed] * max(1, len(grants.ids)) + grant[narrowed], records.counting)
    return np.asarray(counts)
