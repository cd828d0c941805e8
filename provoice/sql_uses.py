"""Views about uses, which `provoice.sql` makes beside its own: who used whose voice, on which permission, who was told
when it was taken back, and what became of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set
from datetime import datetime
from typing import Any

import duckdb
import pyarrow as pa

from lake.audit import stored_rows
from lake.reader import LakeReader
from pipelines.notices.after import uses_after_withdrawal
from pipelines.notices.models import ANSWERED, models
from pipelines.notices.notice import read_notices
from pipelines.notices.uses import Uses, read_uses
from provoice.sql_tables import Columns, fill
from schemas.audit import AUDIT_SCHEMA
from schemas.instants import to_text

VIEWS: Mapping[str, str] = {
    "uses": "who opened a release, and what was trained on it: for what, how much, of how many people",
    "audit": "who is or was in each release, on which grant and rule, how much, and the digest that proves which",
    "uses_by_grant": "the same uses person by person: on which grant and rule each leans",
    "uses_after_withdrawal": "releases and trainings that lean on a grant which had ended before; should be empty",
    "model_states": "what was trained, and what becomes of it since somebody took something back",
    "notices": "who was told that something was taken back, by when to answer, and whether they did",
    "notices_overdue": "those that nobody has answered in time",
    "subject_report": "a row per person: what is held of them, on what, used for what, until when",
}
"""Every view, and what it holds."""

NEEDS: Mapping[str, tuple[str, ...]] = {
    "uses_by_grant": ("uses", "audit"),
    "notices_overdue": ("notices",),
    "subject_report": ("uses_by_grant", "uses", "audit", "releases", "grants", "events", "utterances"),
}
"""Views that a view is made of: they are made first."""

USES: Columns = {
    "position": "BIGINT", "type": "VARCHAR", "recorded_at": "TIMESTAMPTZ", "release": "VARCHAR", "version": "INTEGER",
    "owner": "VARCHAR", "purpose": "VARCHAR", "model": "VARCHAR", "ledger_position": "BIGINT", "lake": "VARCHAR",
    "release_sha256": "VARCHAR", "note": "VARCHAR", "action": "VARCHAR", "utterances": "BIGINT", "audio_s": "DOUBLE",
    "people": "BIGINT", "permissions": "BIGINT", "state": "VARCHAR",
}  # fmt: skip
AUDIT: Columns = {
    "release": "VARCHAR", "version": "INTEGER", "subject_id": "VARCHAR", "grant_id": "VARCHAR", "rule": "INTEGER",
    "utterances": "BIGINT", "audio_s": "DOUBLE", "allowed_until": "TIMESTAMPTZ", "root": "VARCHAR",
    "is_stored": "BOOLEAN",
}  # fmt: skip
USES_BY_GRANT: Columns = {
    "position": "BIGINT", "type": "VARCHAR", "recorded_at": "TIMESTAMPTZ", "model": "VARCHAR", "owner": "VARCHAR",
    "purpose": "VARCHAR", "action": "VARCHAR", "release": "VARCHAR", "version": "INTEGER", "subject_id": "VARCHAR",
    "grant_id": "VARCHAR", "rule": "INTEGER", "utterances": "BIGINT", "audio_s": "DOUBLE",
    "allowed_until": "TIMESTAMPTZ",
}  # fmt: skip
USES_AFTER_WITHDRAWAL: Columns = {
    "what": "VARCHAR", "release": "VARCHAR", "version": "INTEGER", "model": "VARCHAR", "owner": "VARCHAR",
    "action": "VARCHAR", "position": "BIGINT", "used_at": "TIMESTAMPTZ", "subject_id": "VARCHAR", "grant_id": "VARCHAR",
    "rule": "INTEGER", "utterances": "BIGINT", "audio_s": "DOUBLE", "ended": "VARCHAR", "ended_position": "BIGINT",
    "ended_at": "TIMESTAMPTZ",
}  # fmt: skip
MODEL_STATES: Columns = {
    "model": "VARCHAR", "state": "VARCHAR", "since": "TIMESTAMPTZ", "reason": "VARCHAR", "owners": "VARCHAR[]",
    "releases": "VARCHAR[]", "people_withdrawn": "BIGINT",
}  # fmt: skip
NOTICES: Columns = {
    "notice": "VARCHAR", "reason": "VARCHAR", "owner": "VARCHAR", "model": "VARCHAR", "release": "VARCHAR",
    "version": "INTEGER", "replaced_by": "INTEGER", "utterances": "BIGINT", "audio_s": "DOUBLE", "people": "BIGINT",
    "issued_at": "TIMESTAMPTZ", "due_at": "TIMESTAMPTZ", "sent_at": "TIMESTAMPTZ", "acknowledged_at": "TIMESTAMPTZ",
    "state": "VARCHAR", "is_overdue": "BOOLEAN",
}  # fmt: skip
SUBJECT_REPORT: Columns = {
    "subject_id": "VARCHAR", "grants": "BIGINT", "valid_grants": "BIGINT", "valid_until": "TIMESTAMPTZ",
    "last_ended": "VARCHAR", "last_ended_at": "TIMESTAMPTZ", "erased_at": "TIMESTAMPTZ", "recordings": "BIGINT",
    "utterances": "BIGINT", "audio_s": "DOUBLE", "releases": "VARCHAR[]", "models": "VARCHAR[]",
}  # fmt: skip
OF_USES = frozenset({"uses", "audit", "uses_after_withdrawal", "model_states", "notices"})

_USES_BY_GRANT = """
create view uses_by_grant as
select u.position, u.type, u.recorded_at, u.model, u.owner, u.purpose, u.action, a.release, a.version, a.subject_id,
       a.grant_id, a.rule, a.utterances, a.audio_s, a.allowed_until
from uses u join audit a using (release, version)
"""
_SUBJECT_REPORT = """
create view subject_report as
with said as (
    select subject_id, count(*) as grants, count(*) filter (standing = 'valid') as valid_grants,
           max(valid_until) filter (standing = 'valid') as valid_until from grants group by 1
), told as (
    select subject_id, max_by(type, position) filter (type in ('withdrawn', 'refused', 'invalidated')) as last_ended,
           max(recorded_at) filter (type in ('withdrawn', 'refused', 'invalidated')) as last_ended_at,
           max(recorded_at) filter (type = 'erased') as erased_at
    from events where subject_id is not null group by 1
), held as (
    select subject_id, count(distinct recording_id) as recordings, count(*) as utterances, sum(duration_s) as audio_s
    from (
        select unnest(list_distinct(list_transform(consent, lambda link: link.subject_id))) as subject_id,
               recording_id, duration_s from utterances
    ) group by 1
), chosen as (
    select subject_id, list_sort(list(distinct release || '@' || version)) as releases from audit group by 1
), trained as (
    select subject_id, list_sort(list(distinct model)) as models from uses_by_grant where type = 'used' group by 1
)
select subject_id, coalesce(grants, 0) as grants, coalesce(valid_grants, 0) as valid_grants, valid_until, last_ended,
       last_ended_at, erased_at, coalesce(recordings, 0) as recordings, coalesce(utterances, 0) as utterances,
       round(coalesce(audio_s, 0), 3) as audio_s, coalesce(releases, []) as releases, coalesce(models, []) as models
from said full join told using (subject_id) full join held using (subject_id) full join chosen using (subject_id)
    full join trained using (subject_id)
"""


def create(connection: duckdb.DuckDBPyConnection, reader: LakeReader, views: Set[str], now: datetime) -> None:
    """Makes those of VIEWS that are among `views`. Raises ConsentError for a ledger that cannot be read."""
    uses = read_uses(reader.lake) if views & OF_USES else Uses(reader.lake)
    if "uses" in views:
        fill(connection, "uses", USES, _uses(uses))
    if "audit" in views:
        _audit(connection, uses)
    if "uses_by_grant" in views:
        connection.execute(_USES_BY_GRANT)
    if "uses_after_withdrawal" in views:
        fill(connection, "uses_after_withdrawal", USES_AFTER_WITHDRAWAL, map(_plain, uses_after_withdrawal(uses)))
    if "model_states" in views:
        rows = ({name: getattr(one, name) for name in MODEL_STATES} for one in models(uses))
        fill(connection, "model_states", MODEL_STATES, map(_plain, rows))
    if "notices" in views:
        fill(connection, "notices", NOTICES, map(_plain, _notices(uses, now)))
    if "notices_overdue" in views:
        connection.execute("create view notices_overdue as from notices where is_overdue order by due_at, notice")
    if "subject_report" in views:
        connection.execute(_SUBJECT_REPORT)


def _uses(uses: Uses) -> Iterator[dict[str, Any]]:
    state_of = {one.model: one.state.value for one in models(uses)}
    for row in sorted([*uses.opened, *uses.used], key=lambda one: int(one["position"])):
        release, record = row["release"], uses.records.get(row["release"]["sha256"])
        stored = stored_rows(record) if record is not None else None
        yield {
            **{name: row[name] for name in ("position", "type", "owner", "purpose", "model", "note")},
            "recorded_at": to_text(row["recorded_at"]),
            **{name: release[name] for name in ("version", "ledger_position", "lake")},
            "release": release["name"],
            "release_sha256": release["sha256"],
            "action": record.use.action.value if record is not None else None,
            **(record.chosen.model_dump() if record is not None else {}),
            "permissions": stored.rows if stored is not None else None,
            "state": state_of.get(row["model"]) if row["type"] == "used" else None,
        }


def _audit(connection: duckdb.DuckDBPyConnection, uses: Uses) -> None:
    """Stored rows, and for releases from before there were any those that follow from the index."""
    tables = [AUDIT_SCHEMA.empty_table().append_column("is_stored", pa.array([], pa.bool_()))]
    for record in uses.records.values():
        rows = uses.audit(record)
        if rows is not None:
            is_stored = pa.array([stored_rows(record) is not None] * rows.num_rows, pa.bool_())
            tables.append(rows.append_column("is_stored", is_stored))
    connection.register("audit_rows", pa.concat_tables(tables))
    connection.execute("create table audit as from audit_rows")
    connection.unregister("audit_rows")


def _notices(uses: Uses, now: datetime) -> Iterator[dict[str, Any]]:
    acknowledged = {row["note"]: row["recorded_at"] for row in reversed(uses.acknowledged)}
    state_of = {one.model: one.state for one in models(uses)}
    for one in read_notices(uses.lake.ledger().root):
        notice, state = one.notice, state_of.get(one.notice.model or "")
        read_at = acknowledged.get(notice.name)
        same = ("reason", "owner", "model", "release", "version", "replaced_by", "issued_at", "due_at")
        yield {
            **{name: getattr(notice, name) for name in same},
            "notice": notice.name,
            **notice.taken_back.model_dump(),
            "sent_at": one.sent.sent_at if one.sent is not None else None,
            "acknowledged_at": read_at,
            "state": state,
            "is_overdue": read_at is None and state not in ANSWERED and now > notice.due_at,
        }


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """As JSON has it."""
    return {name: _value(value) for name, value in row.items()}


def _value(value: Any) -> Any:
    if isinstance(value, datetime):
        return to_text(value)
    return list(value) if isinstance(value, Iterable) and not isinstance(value, str) else value
