"""The decision for each record of a table, in the order of the table."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.consent import DenyReason, Use
from schemas.consent_tables import CONSENT_RECORD_FIELDS, DECISIONS_SCHEMA, JUSTIFICATION
from schemas.quick_arrow import never_import_pandas_for_a_question
from schemas.tables import INSTANT
from transforms.consent_table.asked import CODE, PERMITTED, REASON_NAMES, Answers, answers
from transforms.consent_table.columns import (
    Flags,
    Ints,
    first_best,
    flags,
    lists,
    micros,
    offsets_of,
    pair_keys,
    taken,
    typed,
)  # fmt: skip
from transforms.consent_table.folded import ConsentTables
from transforms.consent_table.subjects import Alike, Voices, ask_alike, records_of, tell, voices_of
from transforms.consent_table.words import has_unknown_terms

PAIR_FIELDS = (pa.field("source_root", pa.string()), pa.field("source_path", pa.string()))
"""May stand in a table of records in place of `source_id`."""
UNKNOWN_SOURCE = -2
_ID_FIELD = next(field for field in CONSENT_RECORD_FIELDS if field.name == "source_id")
_OTHER_FIELDS = tuple(field for field in CONSENT_RECORD_FIELDS if field is not _ID_FIELD)


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """A use that every grant has been asked for: what `decide_asked` needs for any number of tables of records."""

    use: Use
    tables: ConsentTables
    refusal: int
    """What is wrong with the use itself; PERMITTED if nothing."""
    answers: Answers
    alike: Alike
    justifications: dict[str, pa.Array]
    """Per grant: what a justification by it says."""


def ask(use: Use, tables: ConsentTables, at: datetime) -> Asked:
    """Asks every grant for `use`, as of `at` and the position of `tables`."""
    never_import_pandas_for_a_question()
    refusal = CODE[DenyReason.TOO_LATE] if at > use.until else PERMITTED
    if has_unknown_terms(use, tables.vocabulary):
        refusal = CODE[DenyReason.UNKNOWN_TERM]
    found = answers(tables.grants, use, tables.vocabulary, micros(at), micros(use.until))
    justifications = {
        "grant_id": tables.grants.ids,
        "rule": pa.array(found.rule.astype(np.int32)),
        "until": pa.array(found.until).cast(INSTANT),
        "ends_at": pa.array(tables.grants.ends).cast(INSTANT),
    }
    return Asked(use, tables, refusal, found, ask_alike(tables.grants, found), justifications)


def decide_table(records: pa.Table, use: Use, tables: ConsentTables, at: datetime) -> pa.Table:
    """May each of `records` (CONSENT_RECORDS_SCHEMA) be used as `use` says, as of `at` and the position of `tables`?

    One row of DECISIONS_SCHEMA per record, in order. In place of `source_id` there may be `source_root` and
    `source_path`. What cannot be read as stated denies: a null source is a changed one, a null subject an incomplete
    list. Raises ConsentError for a column that is missing or of another type.
    """
    return decide_asked(records, ask(use, tables, at))


def decide_asked(records: pa.Table, asked: Asked) -> pa.Table:
    """`decide_table` for one table of several: what does not depend on the records has been asked once."""
    tables, grants, found = asked.tables, asked.tables.grants, asked.answers
    columns, source = read_records(records, tables)
    voices = voices_of(columns["subject_ids"])
    own = record_reasons(columns, source, voices, tables)
    own[own == PERMITTED] = asked.refusal
    told = tell(voices, records_of(columns, source, tables.sources.num_rows, grants), grants, found, asked.alike)
    justifications = {name: taken(of_grants, told.grant) for name, of_grants in asked.justifications.items()}
    return decisions(own, voices, told.code, justifications, justifications["grant_id"], asked.use)


def read_records(records: pa.Table, tables: ConsentTables) -> tuple[dict[str, pa.Array], Ints]:
    """The columns, and each record's place among the sources that the ledger speaks of: -1 where it does not, -2 where
    nobody knows which source it is."""
    if "source_id" in records.schema.names:
        columns = typed(records, CONSENT_RECORD_FIELDS, "records")
        source = tables.source_places.of(columns["source_id"])
        source[flags(pc.is_null(columns["source_id"]))] = UNKNOWN_SOURCE
        return columns, source
    columns = typed(records, (*_OTHER_FIELDS, *PAIR_FIELDS), "records")
    root, path = columns["source_root"], columns["source_path"]
    source = np.full(len(path), -1, np.int64)
    # Few sources are spoken of; most records are done with by their path alone.
    rows = np.flatnonzero(tables.path_places.of(path) >= 0)
    source[rows] = tables.pair_places.of(pair_keys(taken(root, rows), taken(path, rows)))
    source[flags(pc.or_(pc.is_null(root), pc.is_null(path)))] = UNKNOWN_SOURCE
    return columns, source


def record_reasons(columns: dict[str, pa.Array], source: Ints, voices: Voices, tables: ConsentTables) -> Ints:
    """Per record the code of the first thing that is wrong with itself, else PERMITTED."""
    code = np.full(len(source), PERMITTED, np.int64)
    code[_has_changed(columns, source, tables)] = CODE[DenyReason.CATALOGUE_CHANGED]
    offsets, names = lists(columns["subject_ids"])
    lacks_name = np.diff(offsets_of(flags(pc.is_null(names)))[offsets]) > 0
    code[lacks_name | ~flags(columns["complete"])] = CODE[DenyReason.INCOMPLETE]
    code[np.diff(voices.offsets) == 0] = CODE[DenyReason.NO_SUBJECT]
    return code


def _has_changed(columns: dict[str, pa.Array], source: Ints, tables: ConsentTables) -> Flags:
    changed = np.asarray(source == UNKNOWN_SOURCE)
    places_, digests = tables.changes
    # A source stands here once, or, where nobody can tell which change was the last, as often as it changed.
    order = np.argsort(places_, kind="stable")
    first = np.searchsorted(places_, source, sorter=order)
    last = np.searchsorted(places_, source, side="right", sorter=order)
    last[source < 0] = first[source < 0]
    for nth in range(int((last - first).max(initial=0))):
        rows = np.flatnonzero(last - first > nth)
        now, then = taken(digests, order[first[rows] + nth]), taken(columns["catalogue_row_sha256"], rows)
        is_same = pc.coalesce(pc.equal(now, then), pc.and_(pc.is_null(now), pc.is_null(then)))
        changed[rows] |= ~flags(is_same)
    return changed


def decisions(
    own: Ints, voices: Voices, told: Ints, justifications: dict[str, pa.Array], nearest: pa.Array, use: Use
) -> pa.Table:
    """The table of decisions: `own` reasons come first, then the first voice for which a denial is `told` (codes).

    Per voice: `justifications` has grant_id, rule, until and ends_at, and `nearest` is the grant that a denial names.
    """
    denying = first_best(voices.offsets, (told != PERMITTED).astype(np.int64))
    denying[denying >= 0] = np.where(told[denying[denying >= 0]] != PERMITTED, denying[denying >= 0], -1)
    denying[own != PERMITTED] = -1
    code = own.copy()
    code[denying >= 0] = told[denying[denying >= 0]]
    allowed = code == PERMITTED
    return pa.Table.from_arrays(
        [
            pa.array(allowed),
            REASON_NAMES.take(pa.array(code)),
            taken(voices.subject, denying),
            taken(nearest, denying),
            _allowed_until(allowed, voices, justifications["ends_at"], use),
            _justified(allowed, voices, justifications),
        ],
        schema=DECISIONS_SCHEMA,
    )


def _allowed_until(allowed: Flags, voices: Voices, ends_at: pa.Array, use: Use) -> pa.Array:
    until = np.full(len(allowed), micros(use.until), np.int64)
    ends = ends_at.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)
    filled = np.flatnonzero(np.diff(voices.offsets))
    if len(filled):
        until[filled] = np.minimum(until[filled], np.minimum.reduceat(ends, voices.offsets[:-1][filled]))
    return pa.array(until, mask=~allowed).cast(INSTANT)


def _justified(allowed: Flags, voices: Voices, justifications: dict[str, pa.Array]) -> pa.Array:
    kept = pa.array(allowed[voices.record])
    columns = {"subject_id": voices.subject, **justifications}
    values = pa.StructArray.from_arrays(
        [columns[field.name].filter(kept) for field in JUSTIFICATION], fields=list(JUSTIFICATION)
    )
    counts = np.where(allowed, np.diff(voices.offsets), 0)
    return pa.ListArray.from_arrays(pa.array(offsets_of(counts).astype(np.int32)), values, type=pa.list_(JUSTIFICATION))
