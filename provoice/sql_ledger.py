"""The ledger as SQL: events as they were recorded, and grants with what ended them, folded by DuckDB."""

from __future__ import annotations

from collections.abc import Sequence, Set

import duckdb
import pyarrow as pa

from lake.ledger import Ledger
from schemas.consent import TERMS
from schemas.consent_tables import EVENTS_SCHEMA

EVENTS = (
    "position", "event_id", "type", "recorded_at", "subject_id", "grant_id", "source_root", "source_path",
    "catalogue_row_sha256", "owner", "purpose", "model", "note",
)  # fmt: skip
"""Of `schemas.consent_tables.EVENTS_SCHEMA`; what a grant says is in `grants`."""
GRANTS = (
    "grant_id", "subject_id", "ended", "valid_from", "valid_until", "jurisdiction", "evidence_sha256", "scope",
    "collected_from", "collected_until", "permitted", "prohibited", "rules", "standing",
)  # fmt: skip

# The fold of transforms.consent_state in SQL: a grant_id is given once, endings that name it count whenever they were
# recorded, others only for what was given before, and the first of them is the reason.
_FOLDED = """
create table provoice.grants as
with given as (
    from provoice.ledger where type = 'given' qualify row_number() over (partition by grant_id order by position) = 1
), endings as (
    select position, type, subject_id, grant_id from provoice.ledger
    where type in ('withdrawn', 'refused', 'invalidated') and subject_id is not null
), ended as (
    select g.grant_id, arg_min(e.type, e.position) as ended
    from given g join endings e on e.subject_id = g.subject_id
    where e.grant_id = g.grant_id or (e.grant_id is null and e.position > g.position)
    group by 1
)
select g.position, g.grant_id, g.subject_id, ended, g.grant.valid_from, g.grant.valid_until, g.grant.jurisdiction,
       g.grant.evidence_sha256, g.grant.scope, g.grant.collected_from, g.grant.collected_until,
       {permitted} as permitted, {prohibited} as prohibited, {rules} as rules
from given g left join ended using (grant_id)
"""
_ACTIONS = """list_sort(list_distinct(flatten(list_transform(
    list_filter(g.grant.rules, lambda r: r.effect = '{effect}'), lambda r: r.action))))"""
_EFFECTS = {"permitted": "permit", "prohibited": "prohibit"}
_STANDING = """
create view grants as select {columns}, case when ended is not null then ended when now() >= valid_until then 'expired'
when now() < valid_from then 'not_yet_valid' else 'valid' end as standing from provoice.grants order by position
"""


def create(connection: duckdb.DuckDBPyConnection, ledger: Ledger, views: Set[str]) -> None:
    """Makes `events` and `grants` where they are asked for. Raises ConsentError for a ledger that cannot be read."""
    if "events" in views:
        _fill(connection, ledger, "events", EVENTS)
    if "grants" in views:
        _fill(connection, ledger, "provoice.ledger", ("position", "type", "subject_id", "grant_id", "grant"))
        rule = ", ".join(f"{name} := r.{name}" for name in ("effect", "action", *TERMS, "durable_until"))
        said = {
            f"{effect}{end}": _ACTIONS.format(effect=effect) for effect, end in (("permit", "ted"), ("prohibit", "ed"))
        }
        rules = f"list_transform(g.grant.rules, lambda r: struct_pack({rule}))"
        connection.execute(_FOLDED.format(**said, rules=rules))
        connection.execute("drop table provoice.ledger")
        connection.execute(_STANDING.format(columns=", ".join(GRANTS[:-1])))


def _fill(connection: duckdb.DuckDBPyConnection, ledger: Ledger, table: str, names: Sequence[str]) -> None:
    # Read to the end first: what is wrong with the ledger is a ConsentError, and no question that cannot be answered.
    batches = list(ledger.events_batches(names))
    schema = pa.schema([EVENTS_SCHEMA.field(name) for name in names])
    connection.register("ledger_rows", pa.Table.from_batches(batches, schema))
    connection.execute(f"create table {table} as from ledger_rows")
    connection.unregister("ledger_rows")
