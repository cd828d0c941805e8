"""The ledger as the tables that decide, of everybody or, where it is long, of those whose voices are asked about."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime
from typing import TYPE_CHECKING

from lake.lake import Lake
from lake.parquet_sql import files, open_duckdb, reading
from lake.reader import LakeReader
from transforms.consent_table import ConsentTables, tables_of

if TYPE_CHECKING:
    import pyarrow as pa

READ_WHOLE = 1_000_000
"""Events up to which the whole ledger is read: a gigabyte of memory, and less work than looking people up."""

People = Callable[[], Collection[str]]


def ledger_tables(lake: Lake, position: int | None, people: People) -> tuple[ConsentTables, datetime | None]:
    """The ledger's first `position` events (None: all) as tables, and the newest instant that they were recorded at.

    Of a long ledger only what is about `people`, and about nobody, is read: it decides the same for records of theirs.
    Raises ConsentError where the ledger cannot be read or ends before `position`.
    """
    import pyarrow.compute as pc

    ledger = lake.ledger()
    head = ledger.head()
    if position is not None:
        ledger.expect(position)
    until = head if position is None else position
    is_long = head > READ_WHOLE and ledger.is_projected
    events = ledger.events_table(sorted(people()) if is_long else None)
    # What was recorded between the two looks is left for the next release.
    events = events.filter(pc.less_equal(events["position"], until))
    return tables_of(events, until), pc.max(events["recorded_at"]).as_py()


def people_in(reader: LakeReader) -> list[str]:
    """Everybody whose voice is in the lake's utterances."""
    uris = [*reader.uris(reader.merged("utterances")), *(part.uri for part in reader.parts("utterances"))]
    if not uris:
        return []
    query = f"select distinct unnest(list_transform(consent, lambda c: c.subject_id)) as name from {files(uris)}"
    with reading(), open_duckdb(reader.lake.root) as connection:
        return [name for (name,) in connection.sql(query).fetchall() if name is not None]


def people_of(rows: pa.Table) -> list[str]:
    """Everybody in rows of a release's index."""
    import pyarrow.compute as pc

    names: list[str] = pc.unique(pc.list_flatten(rows["subject_ids"])).drop_null().to_pylist()
    return names
