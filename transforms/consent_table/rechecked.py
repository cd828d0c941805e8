"""Asking again for a release: from the justifications that it carries, and what the ledger has said since."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.consent import DenyReason, Use
from schemas.consent_tables import JUSTIFICATION
from schemas.quick_arrow import never_import_pandas_for_a_question
from schemas.vocabulary import Vocabulary
from transforms.consent_table.asked import CODE, PERMITTED, REASON_NAMES, prohibitions
from transforms.consent_table.columns import (
    EARLIEST,
    LATEST,
    Flags,
    Ints,
    flags,
    instants,
    is_among,
    lists,
    micros,
    pair_keys,
    places,
    taken,
    typed,
    whole,
)  # fmt: skip
from transforms.consent_table.decided import decisions, read_records, record_reasons
from transforms.consent_table.folded import folded
from transforms.consent_table.subjects import Voices, prohibited, records_of, voices_of
from transforms.consent_table.words import has_unknown_terms, still_means

_JUSTIFICATIONS = (pa.field("justifications", pa.list_(JUSTIFICATION)),)


def recheck_table(
    index: pa.Table, use: Use, events_since: pa.Table, vocabulary_then: Vocabulary | None, at: datetime
) -> pa.Table:
    """May each row of a release still be used, as of `at`? One row of DECISIONS_SCHEMA per row of `index`, in order.

    `index` has the columns of RELEASE_INDEX_FIELDS that a decision reads, and `justifications`; `events_since` are the
    ledger's events after the release's position (EVENTS_SCHEMA), `vocabulary_then` is what was in force at it, and `at`
    must not lie before the instant of its decision. What this allows, `decide_table` allows with the whole ledger.

    The events before the release are not at hand, and whether an event or a grant repeats an earlier one cannot be
    seen; so events since only take away. A grant given since prohibits and never justifies: a new release is made with
    it. A source denies once any of its changes names another digest. Where a vocabulary since no longer means the same
    for this use, `unknown_term` denies everything, and a new release must be made.
    """
    never_import_pandas_for_a_question()
    since = folded(events_since, LATEST, keeps_repeats=True)
    columns, source = read_records(index, since)
    voices = voices_of(columns["subject_ids"])
    own = record_reasons(columns, source, voices, since)
    spoken = (vocabulary_then, *since.vocabularies)
    if has_unknown_terms(use, spoken[-1]) or not all(still_means(use, spoken[0], now) for now in spoken[1:] if now):
        own[own == PERMITTED] = CODE[DenyReason.UNKNOWN_TERM]
    own[(own == PERMITTED) & (at > use.until)] = CODE[DenyReason.TOO_LATE]
    found = _justifications(typed(index, _JUSTIFICATIONS, "rows of a release")["justifications"], voices)
    told = _still_justified(found, columns["grant_ids"], voices, micros(use.until), micros(at))
    _end(told, voices, found["grant_id"], since.endings)
    prohibits = np.zeros(len(since.grants.ids), np.bool_)
    for vocabulary in spoken:
        prohibits |= prohibitions(since.grants, use, vocabulary)
    records = records_of(columns, source, since.sources.num_rows, since.grants)
    anew = prohibited(voices, records, since.grants, prohibits)
    told = np.where(anew.code == PERMITTED, told, anew.code)
    nearest = pc.coalesce(taken(since.grants.ids, anew.grant), found["grant_id"])
    return decisions(own, voices, told, found, nearest, use)


def _justifications(column: pa.Array, voices: Voices) -> dict[str, pa.Array]:
    """What the release says of each voice; nulls where it says nothing, or of others than the row's subjects."""
    offsets, values = lists(column)
    row, of = voices.record, np.arange(len(voices.record), dtype=np.int64)
    place = offsets[row] + of - voices.offsets[row]
    place[np.diff(offsets)[row] != np.diff(voices.offsets)[row]] = -1
    is_plain = len(place) == len(values) and bool(np.all(place == of))
    said = values if is_plain else taken(values, place)
    is_theirs = pc.equal(pc.struct_field(said, ["subject_id"]), voices.subject).fill_null(False)
    found = {field.name: pc.struct_field(said, [field.name]) for field in JUSTIFICATION if field.name != "subject_id"}
    if not pc.all(is_theirs, min_count=0).as_py():
        found = {name: pc.if_else(is_theirs, said, pa.scalar(None, said.type)) for name, said in found.items()}
    return found


def _still_justified(found: dict[str, pa.Array], grant_ids: pa.Array, voices: Voices, until: int, at: int) -> Ints:
    """Per voice: PERMITTED while its justification lasts, and is one for this use and this row."""
    code = np.full(len(voices.record), PERMITTED, np.int64)
    code[until > instants(found["until"], EARLIEST)] = CODE[DenyReason.TOO_LATE]
    code[at >= instants(found["ends_at"], EARLIEST)] = CODE[DenyReason.EXPIRED]
    lacks = flags(pc.or_(pc.is_null(found["grant_id"]), pc.is_null(found["rule"])))
    code[lacks | ~_counts(found["grant_id"], grant_ids, voices)] = CODE[DenyReason.NO_GRANT]
    return code


def _counts(grant_id: pa.Array, grant_ids: pa.Array, voices: Voices) -> Flags:
    """Whether the row lets the grant of each voice count; a null list lets none."""
    offsets, named = lists(grant_ids)
    is_narrowed = (np.diff(offsets) > 0) | flags(pc.is_null(grant_ids))
    counts = ~is_narrowed[voices.record]
    asked = np.flatnonzero(~counts)
    known = named.unique()
    row = np.repeat(np.arange(len(grant_ids), dtype=np.int64), np.diff(offsets))
    keys = np.sort(row * (len(known) + 1) + places(named, known))
    theirs = places(grant_id.take(pa.array(asked)), known)
    counts[asked] = (theirs >= 0) & is_among(voices.record[asked] * (len(known) + 1) + theirs, keys)
    return counts


def _end(told: Ints, voices: Voices, grant_id: pa.Array, endings: pa.Table) -> None:
    """What was recorded first of the endings that name the voice's grant, or all of its subject's."""
    ended = endings.filter(pc.is_valid(endings["subject_id"])).combine_chunks()
    hit = np.flatnonzero(places(voices.subject, whole(ended["subject_id"])) >= 0)
    if not len(hit):
        return
    subject, grant = voices.subject.take(pa.array(hit)), grant_id.take(pa.array(hit))
    about_all = pc.is_null(ended["grant_id"])
    of_all = pc.if_else(about_all, ended["subject_id"], pa.scalar(None, pa.string()))
    first = np.full(len(hit), LATEST, np.int64)
    for found in (
        places(subject, whole(of_all)),
        places(pair_keys(subject, grant), pair_keys(whole(ended["subject_id"]), whole(ended["grant_id"]))),
    ):
        first = np.minimum(first, np.where(found < 0, LATEST, found))
    which = first < LATEST
    kinds = places(whole(ended["type"]), REASON_NAMES)
    told[hit[which]] = kinds[first[which]]
