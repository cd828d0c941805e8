"""Ledger events as rows of `schemas.consent_tables.EVENTS_SCHEMA`: what the evaluator reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from schemas.ledger import Event
from schemas.quick_arrow import never_import_pandas_for_a_question

if TYPE_CHECKING:
    import pyarrow as pa


def events_table(events: Sequence[tuple[int, Event]]) -> pa.Table:
    """One row per (position, event), in the order given."""
    import pyarrow as pa

    from schemas.consent_tables import EVENTS_SCHEMA

    never_import_pandas_for_a_question()
    rows = [_row(position, event) for position, event in events]
    columns = [pa.array([row.get(field.name) for row in rows], type=field.type) for field in EVENTS_SCHEMA]
    return pa.Table.from_arrays(columns, schema=EVENTS_SCHEMA)


def _row(position: int, event: Event) -> dict[str, Any]:
    row = event.model_dump(mode="python", exclude={"grant", "vocabulary"})
    row |= {"position": position, "type": event.type.value}
    if event.grant is not None:
        grant = event.grant.model_dump(mode="python", exclude={"grant_id", "subject_id", "scope"})
        scope = event.grant.scope
        row["grant"] = {**grant, **scope.model_dump(mode="python", exclude={"kind"}), "scope": scope.kind}
    if event.vocabulary is not None:
        row["vocabulary"] = event.vocabulary.model_dump_json()
    return row
