"""Views about releases, which `provoice.sql` makes beside its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from typing import Any

import duckdb

from lake.parquet_sql import files, quoted
from lake.reader import LakeReader
from lake.releases import list_releases
from provoice.sql_tables import Columns, fill
from schemas.releases import ReleaseRecord

VIEWS: Mapping[str, str] = {
    "releases": "releases in all their versions: for which use, what is in them, what was denied",
    "decisions": "why each utterance is in a release: a row per release, utterance and person",
    "expiring": "grants that permit today, the next to end first, with what stands on them",
}
"""Every view, and what it holds."""

NEEDS: Mapping[str, tuple[str, ...]] = {"expiring": ("grants", "utterances", "decisions")}
"""Views that a view is made of: they are made first."""

_SHARE = "STRUCT(utterances BIGINT, audio_s DOUBLE, people BIGINT)"
RELEASES: Columns = {
    "release": "VARCHAR", "version": "INTEGER", "action": "VARCHAR", "use": "MAP(VARCHAR, VARCHAR)",
    "condition": "VARCHAR", "utterances": "BIGINT", "audio_s": "DOUBLE", "people": "BIGINT",
    "candidates": _SHARE, "matching": _SHARE, "denied": f"MAP(VARCHAR, {_SHARE})", "ledger_position": "BIGINT",
    "decided_at": "TIMESTAMPTZ", "vocabulary_version": "VARCHAR", "snapshot": "INTEGER", "created_at": "TIMESTAMPTZ",
    "sha256": "VARCHAR", "is_replaced": "BOOLEAN", "replaced_by": "INTEGER",
}  # fmt: skip
DECISIONS: Columns = {
    "release": "VARCHAR", "version": "INTEGER", "key": "VARCHAR", "subject_id": "VARCHAR", "grant_id": "VARCHAR",
    "rule": "INTEGER", "until": "TIMESTAMPTZ", "ends_at": "TIMESTAMPTZ", "allowed_until": "TIMESTAMPTZ",
    "duration_s": "DOUBLE", "ledger_position": "BIGINT", "decided_at": "TIMESTAMPTZ",
}  # fmt: skip
EXPIRING: Columns = {
    "grant_id": "VARCHAR", "subject_id": "VARCHAR", "valid_until": "TIMESTAMPTZ", "days_left": "BIGINT",
    "utterances": "BIGINT", "audio_s": "DOUBLE", "releases": "VARCHAR[]",
}  # fmt: skip

_EXPIRING = """
create view expiring as
select grant_id, subject_id, valid_until, date_diff('day', now(), valid_until) as days_left,
       coalesce(utterances, 0) as utterances, coalesce(audio_s, 0) as audio_s, coalesce(releases, []) as releases
from grants
left join (
    select link.grant_id as grant_id, count(*) as utterances, sum(duration_s) as audio_s
    from (select unnest(consent) as link, duration_s from utterances) group by 1
) using (grant_id)
left join (
    select grant_id, list_sort(list(distinct release || '@' || version)) as releases from decisions group by 1
) using (grant_id)
where standing = 'valid' order by valid_until, grant_id
"""
_ONE = """
select {release} as release, {version}::integer as version, key, unnest(justifications, recursive := true),
       allowed_until, duration_s, {position}::bigint as ledger_position, {at}::timestamptz as decided_at
from {files}
"""


def create(connection: duckdb.DuckDBPyConnection, reader: LakeReader, views: Set[str]) -> None:
    """Makes those of VIEWS that are among `views`, after all others; helper tables go into the schema `provoice`."""
    records = list_releases(reader.lake) if views & {"releases", "decisions"} else []
    if "releases" in views:
        fill(connection, "releases", RELEASES, map(_release_row, records))
    if "decisions" in views:
        _decisions(connection, reader, records)
    if "expiring" in views:
        connection.execute(_EXPIRING)


def _decisions(connection: duckdb.DuckDBPyConnection, reader: LakeReader, records: Iterable[ReleaseRecord]) -> None:
    fill(connection, "provoice.no_decisions", DECISIONS)
    parts = "".join(
        " union all by name "
        + _ONE.format(
            release=quoted(one.name), version=one.version, position=one.ledger_position,
            at=quoted(one.decided_at.isoformat()), files=files(reader.uris(one.index)),
        )
        for one in records
        if one.index
    )  # fmt: skip
    connection.execute(
        f"create view decisions as select {', '.join(DECISIONS)} from (from provoice.no_decisions{parts})"
    )


def _release_row(one: ReleaseRecord) -> dict[str, Any]:
    same = set(RELEASES) - {"release", "use", "is_replaced", "replaced_by"}
    return {
        **one.model_dump(mode="json", include=same),
        **one.chosen.model_dump(),
        "release": one.name,
        "action": one.use.action.value,
        "use": one.use.model_dump(mode="json"),
        "condition": one.where,
        "is_replaced": one.replaced is not None,
        "replaced_by": one.replaced.by if one.replaced is not None else None,
    }
