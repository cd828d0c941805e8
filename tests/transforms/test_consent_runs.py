"""Runs of utterances: deciding them once gives what deciding every row gives, from tables and from Parquet."""

from __future__ import annotations

import io
import random

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from schemas.consent import ConsentRecord
from schemas.consent_tables import CONSENT_RECORDS_SCHEMA
from schemas.errors import ConsentError
from schemas.tables import UTTERANCE_FIELDS
from tests.consents import NOW
from tests.transforms.consent_cases import events_table, random_batch, records_table
from transforms.consent_table import (
    CONSENT_COLUMNS,
    consent_runs,
    decide_table,
    file_runs,
    tables_of,
    with_source_ids,
)  # fmt: skip

READ = {"consent", "grant_ids", "consent_complete", "collected_at", "lineage"}
SCHEMA = pa.schema([field for field in UTTERANCE_FIELDS if field.name in READ])


def utterance(one, grants=()):
    """A row of `utterances` about the record; `grants` are those that its consent names."""
    named = [*grants, *[None] * len(one.subject_ids)]
    links = [
        {"subject_id": name, "grant_id": grant, "role": "speaker", "binding": "sole"}
        for name, grant in zip(one.subject_ids, named, strict=False)
    ]
    return {
        "consent": links,
        "grant_ids": list(one.grant_ids),
        "consent_complete": one.complete,
        "collected_at": one.collected_at,
        "lineage": {
            "source_root": one.source_root,
            "source_path": one.source_path,
            "catalogue_row_sha256": one.catalogue_row_sha256,
        },
    }


def repeated(chance, records):
    return [one for one in records for _ in range(chance.choice([1, 1, 2, 5]))]


def table_of(rows):
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def stored(table, rows_per_group=16):
    file = io.BytesIO()
    pq.write_table(table, file, row_group_size=rows_per_group)
    return pa.BufferReader(file.getvalue())


def joined(found):
    records, lengths = zip(*found, strict=True)
    return pa.concat_tables(records), np.concatenate(lengths)


@pytest.mark.parametrize("seed", range(8))
def test_runs_are_decided_as_their_rows_are(seed):
    chance = random.Random(f"runs {seed}")
    batch = random_batch(chance, worlds=10)
    rows = repeated(chance, batch.records)
    table = table_of([utterance(one) for one in rows])
    tables = tables_of(events_table(batch.events), len(batch.events))
    expected = decide_table(records_table(rows), batch.use, tables, batch.at).combine_chunks()
    for named in (True, False):
        for records, lengths in (
            consent_runs(table, names_sources=named),
            joined(file_runs(stored(table), names_sources=named)),
        ):
            assert lengths.sum() == table.num_rows
            decided = decide_table(records, batch.use, tables, batch.at)
            assert decided.take(pa.array(np.repeat(np.arange(len(lengths)), lengths))).combine_chunks().equals(expected)


def test_a_run_is_as_long_as_nothing_changes():
    one = ConsentRecord(("a", "b"), True, "r", "p", catalogue_row_sha256="d")
    others = [
        ConsentRecord(("a", "c"), True, "r", "p", catalogue_row_sha256="d"),
        ConsentRecord(("a",), True, "r", "p", catalogue_row_sha256="d"),
        ConsentRecord((), True, "r", "p", catalogue_row_sha256="d"),
        ConsentRecord(("a", "b"), False, "r", "p", catalogue_row_sha256="d"),
        ConsentRecord(("a", "b"), True, "q", "p", catalogue_row_sha256="d"),
        ConsentRecord(("a", "b"), True, "r", "q", catalogue_row_sha256="d"),
        ConsentRecord(("a", "b"), True, "r", "p"),
        ConsentRecord(("a", "b"), True, "r", "p", grant_ids=("g",), catalogue_row_sha256="d"),
    ]
    rows = [row for other in others for row in (one, one, other, other, other)]
    records, lengths = consent_runs(table_of([utterance(row) for row in rows]))
    assert lengths.tolist() == [2, 3] * len(others)
    assert records.schema == CONSENT_RECORDS_SCHEMA
    assert records.equals(records_table([row for other in others for row in (one, other)]))


def test_no_rows_are_no_runs():
    records, lengths = consent_runs(SCHEMA.empty_table())
    assert (records.num_rows, records.schema, len(lengths)) == (0, CONSENT_RECORDS_SCHEMA, 0)
    assert joined(file_runs(stored(SCHEMA.empty_table())))[1].tolist() == []


def test_slices_and_chunks_are_read_from_where_they_begin():
    records = [ConsentRecord((name, f"{name}2"), True, "r", name, grant_ids=(f"g{name}",)) for name in "aabbbcdd"]
    table = table_of([utterance(one) for one in records])
    for begin in range(8):
        pieces = pa.concat_tables([table.slice(begin, 2), table.slice(begin + 2)])
        found, lengths = consent_runs(pieces)
        assert (
            found.take(pa.array(np.repeat(np.arange(len(lengths)), lengths)))
            .combine_chunks()
            .equals(records_table(records[begin:]).combine_chunks())
        )


def test_null_lists_are_read_in_slices_too():
    row = utterance(ConsentRecord(("a", "b"), True, "r", "p"), ("g", "h"))
    nobody, old_row = {**row, "consent": None}, {**row, "grant_ids": None}
    table = table_of([row, nobody, old_row, row, nobody, nobody])
    for begin in range(6):
        records, lengths = consent_runs(table.slice(begin))
        expanded = records.take(pa.array(np.repeat(np.arange(len(lengths)), lengths)))
        assert expanded["subject_ids"].to_pylist() == [["a", "b"], None, ["a", "b"], ["a", "b"], None, None][begin:]
        assert expanded["grant_ids"].to_pylist() == [[], [], ["g", "h"], [], [], []][begin:]


def test_an_instant_may_be_stored_in_another_unit_but_needs_a_zone():
    table = table_of([utterance(ConsentRecord(("a",), True, "r", "p", collected_at=NOW))])
    place = table.schema.get_field_index("collected_at")
    finer = table.set_column(place, "collected_at", table["collected_at"].cast(pa.timestamp("ns", "Europe/Berlin")))
    assert consent_runs(finer)[0].equals(consent_runs(table)[0])
    with pytest.raises(ConsentError, match="collected_at"):
        consent_runs(table.set_column(place, "collected_at", table["collected_at"].cast(pa.timestamp("us"))))


def old(rows, drops):
    """Rows as lakes before 1.1 have them: `grant_ids` null, or no such column."""
    table = table_of([{**row, "grant_ids": None} for row in rows])
    return table.drop_columns(["grant_ids"]) if drops else table


@pytest.mark.parametrize("drops", [True, False])
def test_old_rows_are_narrowed_to_the_grants_that_they_name(drops):
    both, one, none = (
        utterance(ConsentRecord(("a", "b"), True, "r", "p"), grants) for grants in (("g2", "g1"), ("g2",), ())
    )
    table = old([both, both, one, none, none], drops)
    for records, lengths in (consent_runs(table), joined(file_runs(stored(table)))):
        assert records["grant_ids"].to_pylist() == [["g2", "g1"], ["g2"], None]
        assert lengths.tolist() == [2, 1, 2]


def test_old_and_new_rows_stand_beside_each_other():
    row = utterance(ConsentRecord(("a",), True, "r", "p"), ("g",))
    records, lengths = consent_runs(table_of([row, {**row, "grant_ids": None}, row, {**row, "grant_ids": ["g"]}]))
    assert records["grant_ids"].to_pylist() == [[], ["g"], [], ["g"]]
    assert lengths.tolist() == [1, 1, 1, 1]


def test_what_is_null_is_not_what_came_before():
    row = utterance(ConsentRecord(("a",), True, "r", "p", catalogue_row_sha256="d"))
    nobody, unknown, nowhere = {**row, "consent": None}, {**row, "consent_complete": None}, {**row, "lineage": None}
    strange = {**row, "consent": [{**row["consent"][0], "subject_id": None}]}
    rows = [row, nobody, row, unknown, row, nowhere, row, strange]
    for named in (True, False):
        records, lengths = consent_runs(table_of(rows), names_sources=named)
        assert lengths.tolist() == [1] * len(rows)
        tables = tables_of(events_table([]), 0)
        batch = random_batch(random.Random(0))
        told = decide_table(records, batch.use.model_copy(update=dict.fromkeys(("genre",), "any")), tables, batch.at)
        assert told["reason"].to_pylist()[1::2] == ["no_subject", "incomplete", "catalogue_changed", "no_subject"]


def test_only_the_consent_columns_are_read():
    assert {name.split(".")[0] for name in CONSENT_COLUMNS} == READ
    table = table_of([utterance(ConsentRecord(("a",), True, "r", "p"))]).append_column("snr_db", pa.array([1.0]))
    assert joined(file_runs(stored(table)))[1].tolist() == [1]


def test_a_missing_column_is_named():
    table = table_of([utterance(ConsentRecord(("a",), True, "r", "p"))])
    for name in READ - {"grant_ids"}:
        with pytest.raises(ConsentError, match=name):
            consent_runs(table.drop_columns([name]))
        with pytest.raises(ConsentError, match=name):
            list(file_runs(stored(table.drop_columns([name]))))


def test_sources_can_be_named_afterwards():
    records = [ConsentRecord((name,), True, "r", name) for name in "aab"]
    table = table_of([utterance(one) for one in records])
    plain, _ = consent_runs(table, names_sources=False)
    assert "source_id" not in plain.schema.names
    assert with_source_ids(plain).equals(consent_runs(table)[0])
