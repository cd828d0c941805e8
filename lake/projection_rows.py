"""The ledger's lines as typed rows, and back.

DuckDB reads what is written as we write it, twice as fast as the model does and two lines at a time; whatever it is not
sure of, the model reads. Sure means: every key is one that we know and stands there once, every value is of its kind,
every instant is in UTC, and all that the model asks of an event holds. So a line of a later version, with a key that
narrows a grant, is refused here as it is everywhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from lake.parquet_sql import quoted
from schemas.consent import TERMS, Action, DataScope, Grant, Rule
from schemas.consent_tables import EVENTS_SCHEMA
from schemas.ledger import Event, EventType, ReleaseRef
from schemas.vocabulary import Vocabulary

if TYPE_CHECKING:
    import duckdb

_ODD = bytes(range(32)) + b"\\"
"""With these, marks of JSON may stand within words."""
_AT_ONCE = 10_000
Row = dict[str, Any]
ReadLine = Callable[[bytes, int], Event]
"""Of a line and its position."""

_LISTS = ("action", *TERMS)
_WORDS = ("subject_id", "grant_id", "source_root", "source_path", "catalogue_row_sha256", "owner", "purpose", "model",
          "note")  # fmt: skip
_SIMPLE = (EventType.GIVEN, EventType.REFUSED, EventType.REAFFIRMED, EventType.WITHDRAWN, EventType.EXPIRED,
           EventType.INVALIDATED, EventType.CATALOGUE_CHANGED)  # fmt: skip
"""What is written often; the model reads the others, which carry more than words."""


def typed(connection: duckdb.DuckDBPyConnection, first: int, lines: Sequence[bytes], read: ReadLine) -> pa.Table:
    """Lines of the ledger, the first at position `first`, as rows of EVENTS_SCHEMA in their order.

    `read` is asked for every line that is not plainly an event; what it raises is raised.
    """
    import duckdb

    if not lines:
        return EVENTS_SCHEMA.empty_table()
    try:
        connection.register("lines", _marked(first, lines))
        found = connection.sql(_SQL).to_arrow_table()
        connection.unregister("lines")
    except (duckdb.Error, pa.ArrowInvalid):
        return table_of((position, read(line, position)) for position, line in enumerate(lines, first))
    plain = found.select(EVENTS_SCHEMA.names).filter(found["is_plain"]).cast(EVENTS_SCHEMA)
    if len(plain) == len(lines):
        return plain
    known = set(plain["position"].to_pylist())
    rest = table_of((n, read(line, n)) for n, line in enumerate(lines, first) if n not in known)
    return pa.concat_tables([plain, rest]).sort_by("position")


def _marked(first: int, lines: Sequence[bytes]) -> pa.Table:
    """Lines with their positions, and how many marks of JSON stand in each: counting is what Python does fast."""
    marked = pa.table(
        {
            "position": pa.array(range(first, first + len(lines)), pa.int64()),
            "line": pa.array(lines, pa.binary()).cast(pa.string()),
            "keys": pa.array([line.count(b'":') for line in lines], pa.int32()),
            "quotes": pa.array([line.count(b'"') for line in lines], pa.int32()),
            "brackets": pa.array([line.count(b"[") for line in lines], pa.int32()),
            "is_odd": pa.array([len(line.translate(None, _ODD)) != len(line) for line in lines], pa.bool_()),
        }
    )
    # In pieces, for a thread takes a whole one.
    return pa.Table.from_batches(marked.to_batches(max_chunksize=_AT_ONCE), marked.schema)


def table_of(events: Iterable[tuple[int, Event]]) -> pa.Table:
    """(position, event) pairs as rows of EVENTS_SCHEMA."""
    rows = [row_of(position, event) for position, event in events]
    return pa.table({field.name: pa.array([row[field.name] for row in rows], field.type) for field in EVENTS_SCHEMA},
                    schema=EVENTS_SCHEMA)  # fmt: skip


def row_of(position: int, event: Event) -> Row:
    """An event as a row of EVENTS_SCHEMA."""
    row: Row = {name: getattr(event, name) for name in ("event_id", "recorded_at", *_WORDS)}
    spoken = event.vocabulary
    return {
        **row,
        "position": position,
        "type": event.type.value,
        "grant": None if event.grant is None else _grant_row(event.grant),
        "vocabulary": None if spoken is None else spoken.model_dump_json(exclude_none=True),
        "release": None if event.release is None else event.release.model_dump(),
    }


def _grant_row(grant: Grant) -> Row:
    scope = grant.scope
    return {
        **{name: getattr(grant, name) for name in ("evidence_sha256", "jurisdiction", "valid_from", "valid_until")},
        "scope": scope.kind,
        "recordings": [{"root": one.root, "path": one.path} for one in scope.recordings],
        "collected_from": scope.collected_from,
        "collected_until": scope.collected_until,
        "rules": [rule.model_dump() for rule in grant.rules],
    }


def events_of(table: pa.Table | pa.RecordBatch) -> Iterator[tuple[int, Event]]:
    """Rows of EVENTS_SCHEMA as (position, event), each checked as any event is. Raises ValueError."""
    for row in table.to_pylist():
        yield row["position"], event_of(row)


def event_of(row: Mapping[str, Any]) -> Event:
    """The event that a row of EVENTS_SCHEMA holds."""
    grant, spoken, release = row["grant"], row["vocabulary"], row["release"]
    return Event(
        event_id=row["event_id"],
        type=EventType(row["type"]),
        recorded_at=row["recorded_at"],
        grant=None if grant is None else _grant(row, grant),
        vocabulary=None if spoken is None else Vocabulary.model_validate_json(spoken),
        release=None if release is None else ReleaseRef.model_validate(release),
        **{name: row[name] for name in _WORDS},
    )


def _grant(row: Mapping[str, Any], grant: Row) -> Grant:
    return Grant(
        grant_id=row["grant_id"],
        subject_id=row["subject_id"],
        evidence_sha256=grant["evidence_sha256"],
        jurisdiction=grant["jurisdiction"],
        scope=DataScope(
            kind=grant["scope"],
            recordings=grant["recordings"],
            collected_from=grant["collected_from"],
            collected_until=grant["collected_until"],
        ),
        valid_from=grant["valid_from"],
        valid_until=grant["valid_until"],
        rules=tuple(Rule.model_validate(rule) for rule in grant["rules"]),
    )


# --- what DuckDB is asked ---------------------------------------------------------------------------------------------

_TEXT = '"VARCHAR"'
_RULE_SHAPE = ", ".join(
    [f'"effect": {_TEXT}', *(f'"{name}": [{_TEXT}]' for name in _LISTS), f'"durable_until": {_TEXT}']
)
_GRANT_SHAPE = (
    "{" + ", ".join(f'"{name}": {_TEXT}' for name in ("grant_id", "subject_id", "evidence_sha256", "jurisdiction",
                                                      "valid_from", "valid_until"))
    + f', "scope": {{"kind": {_TEXT}, "recordings": [{{"root": {_TEXT}, "path": {_TEXT}}}], '
    f'"collected_from": {_TEXT}, "collected_until": {_TEXT}}}, "rules": [{{{_RULE_SHAPE}}}]}}'
)  # fmt: skip
_SHAPE = (
    "{" + ", ".join(f'"{name}": {_TEXT}' for name in ("event_id", "type", "recorded_at", *_WORDS))
    + f', "grant": {_GRANT_SHAPE}}}'
)  # fmt: skip

_INSTANT = r"\d{4}-\d\d-\d\dT([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,6})?Z"


def _one_of(words: Iterable[str]) -> str:
    return "(" + ", ".join(map(quoted, words)) + ")"


def _is_instant(name: str) -> str:
    return f"(regexp_full_match({name}, {quoted(_INSTANT)}) and try_cast({name} as timestamptz) is not null)"


def _is_instant_or_nothing(name: str) -> str:
    return f"({name} is null or {_is_instant(name)})"


def _there(*names: str) -> str:
    return " + ".join(f"({name} is not null)::int" for name in names)


_LENGTHS = " + ".join(f"len(r.{name})" for name in _LISTS)
_RULE_IS_WHOLE = " and ".join(
    [
        "r.effect in ('permit', 'prohibit')",
        *(f"len(r.{name}) > 0" for name in _LISTS),
        f"len(list_filter(r.action, lambda a: a not in {_one_of(['any', *Action])})) = 0",
        _is_instant_or_nothing("r.durable_until"),
    ]
)
_GRANT_IS_WHOLE = " and ".join(
    [
        "g.grant_id = grant_id",
        "g.subject_id = subject_id",
        "length(grant_id) between 1 and 256",
        "length(subject_id) between 1 and 256",
        "regexp_full_match(g.evidence_sha256, '[0-9a-f]{64}')",
        "length(g.jurisdiction) >= 2",
        "g.scope.kind in ('all', 'recordings', 'collected')",
        "g.scope.recordings is not null",
        "(g.scope.kind <> 'recordings' or len(g.scope.recordings) > 0)",
        "(g.scope.kind <> 'collected' or (g.scope.collected_from is not null and g.scope.collected_until is not null))",
        _is_instant_or_nothing("g.scope.collected_from"),
        _is_instant_or_nothing("g.scope.collected_until"),
        _is_instant("g.valid_from"),
        _is_instant("g.valid_until"),
        "try_cast(g.valid_until as timestamptz) > try_cast(g.valid_from as timestamptz)",
        "len(g.rules) > 0",
        f"len(list_filter(g.rules, lambda r: coalesce({_RULE_IS_WHOLE}, false))) = len(g.rules)",
    ]
)
# Keys, strings and lists that an event of these values is written with: where the line has as many and no other marks,
# nothing stands in it that was not read.
_OPTIONAL = _there(*_WORDS)
_MORE = (
    f"({_there('g.scope.collected_from', 'g.scope.collected_until')} + 2 * len(g.scope.recordings) "
    "+ coalesce(list_sum(list_transform(g.rules, lambda r: (r.durable_until is not null)::int)), 0))"
)
_KEYS = f"(3 + {_OPTIONAL} + case when g is null then 0 else 11 + 8 * len(g.rules) + {_MORE} end)"
_STRINGS = (
    f"(3 + {_OPTIONAL} + case when g is null then 0 else 7 + {_MORE} "
    f"+ list_sum(list_transform(g.rules, lambda r: 1 + {_LENGTHS})) end)"
)
_BRACKETS = "(case when g is null then 0 else 2 + 7 * len(g.rules) end)"
_IS_PLAIN = " and ".join(
    [
        f"type in {_one_of(_SIMPLE)}",
        "length(event_id) between 1 and 256",
        _is_instant("recorded_at"),
        "((g is not null) = (type = 'given'))",
        f"(g is null or ({_GRANT_IS_WHOLE}))",
        "(type <> 'catalogue_changed' or (source_root is not null and source_path is not null))",
        "(type = 'catalogue_changed' or subject_id is not null)",
        "not is_odd",
        f"keys = {_KEYS}",
        f"quotes = 2 * (keys + {_STRINGS})",
        f"brackets = {_BRACKETS}",
    ]
)
_AS_RULE = (
    "{'effect': r.effect, "
    + ", ".join(f"'{name}': r.{name}" for name in _LISTS)
    + ", 'durable_until': try_cast(r.durable_until as timestamptz)}"
)
_AS_GRANT = f"""case when g is null then null else {{
    'evidence_sha256': g.evidence_sha256, 'jurisdiction': g.jurisdiction,
    'valid_from': try_cast(g.valid_from as timestamptz), 'valid_until': try_cast(g.valid_until as timestamptz),
    'scope': g.scope.kind, 'recordings': g.scope.recordings,
    'collected_from': try_cast(g.scope.collected_from as timestamptz),
    'collected_until': try_cast(g.scope.collected_until as timestamptz),
    'rules': list_transform(g.rules, lambda r: {_AS_RULE})}} end"""
_NO_RELEASE = "null::struct(lake varchar, name varchar, version bigint, sha256 varchar, ledger_position bigint)"
_SQL = f"""
with parsed as materialized (select *, json_transform(line, {quoted(_SHAPE)}) as e from lines),
     flat as materialized (select position, keys, quotes, brackets, is_odd, e."grant" as g, {
    ", ".join(f"e.{name}" for name in ("event_id", "type", "recorded_at", *_WORDS))
} from parsed)
select position, event_id, type, try_cast(recorded_at as timestamptz) as recorded_at, subject_id, grant_id,
       {_AS_GRANT} as "grant", source_root, source_path, catalogue_row_sha256, null::varchar as vocabulary,
       {_NO_RELEASE} as release, owner, purpose, model, note, coalesce({_IS_PLAIN}, false) as is_plain
from flat order by position
"""
