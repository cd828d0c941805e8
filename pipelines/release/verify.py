"""A release looked at again: are its bytes as written, would the same be decided, and what holds by now?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from lake import currency
from lake.lake import Lake
from lake.parquet_sql import open_duckdb, reading
from lake.reader import LakeReader
from lake.releases import changed_parts, index_table
from pipelines.release.create import ledger_tables
from schemas.consent_tables import CONSENT_RECORDS_SCHEMA
from schemas.releases import ReleaseRecord, Share
from transforms.consent_table import decide_table

_SHOWN = 5
_COLUMNS = (
    "key", "recording_id", "run_id", "duration_s", *CONSENT_RECORDS_SCHEMA.names, "justifications", "allowed_until",
)  # fmt: skip


@dataclass(frozen=True)
class Verified:
    """What was found. When `is_sound` the release is as it was made; `denied_now` is what may not be used any more."""

    release: ReleaseRecord
    changed: Sequence[str]
    """Files of the index that are not, to the byte, those that the release names."""
    miscounted: int | None
    """Rows in the index, where that is not what the release says."""
    decided_otherwise: Sequence[str]
    """Keys of rows of which the ledger's events up to the release's position say something else (the first few)."""
    decided_otherwise_total: int
    checked: Share
    position_now: int
    at: datetime
    denied_now: dict[str, Share] = field(default_factory=dict)
    replaced: Share = field(default_factory=Share)
    """Rows that are not current by now: a later run has made them anew, or they were erased."""

    @property
    def is_sound(self) -> bool:
        return not self.changed and self.miscounted is None and not self.decided_otherwise_total


def verify(lake: Lake, release: ReleaseRecord, at: datetime | None = None) -> Verified:
    """Decides every row again, as of the release's own position and instant, and as of now."""
    changed = changed_parts(lake, release)
    # A file that was changed or is gone is not decided on: what it says is not what was released.
    whole = release.model_copy(update={"index": tuple(part for part in release.index if part.path not in changed)})
    rows = index_table(lake, whole, _COLUMNS)
    then, _ = ledger_tables(lake, release.ledger_position)
    again = decide_table(rows.select(CONSENT_RECORDS_SCHEMA.names), release.use, then, release.decided_at)
    differs = _differs(rows, again)
    now_tables, newest = ledger_tables(lake, None)
    now = at or max(datetime.now(UTC), newest or datetime.min.replace(tzinfo=UTC))
    today = decide_table(rows.select(CONSENT_RECORDS_SCHEMA.names), release.use, now_tables, now)
    keys = rows["key"].filter(pa.array(differs))
    is_whole = not changed and rows.num_rows != release.chosen.utterances
    return Verified(
        release=release,
        changed=changed,
        miscounted=rows.num_rows if is_whole else None,
        decided_otherwise=keys.slice(0, _SHOWN).to_pylist(),
        decided_otherwise_total=len(keys),
        checked=share_of(rows),
        position_now=now_tables.position,
        at=now,
        denied_now=shares_by(rows, today["reason"]),
        replaced=share_of(rows.filter(pa.array(~is_current(LakeReader(lake), rows)))),
    )


def share_of(rows: pa.Table) -> Share:
    """Utterances, audio and people in rows of an index."""
    people = pc.unique(pc.list_flatten(rows["subject_ids"])).drop_null()
    seconds = float(np.round(np.nansum(np.asarray(rows["duration_s"].fill_null(0.0))), 6))
    return Share(utterances=rows.num_rows, audio_s=seconds, people=len(people))


def shares_by(rows: pa.Table, reasons: pa.ChunkedArray) -> dict[str, Share]:
    """The rows of each reason that is not null, most audio first."""
    found = {
        reason: share_of(rows.filter(pc.fill_null(pc.equal(reasons, reason), False)))
        for reason in pc.unique(reasons).drop_null().to_pylist()
    }
    return dict(sorted(found.items(), key=lambda one: (-one[1].audio_s, one[0])))


def is_current(reader: LakeReader, rows: pa.Table) -> NDArray[np.bool_]:
    """Which rows of an index (`recording_id`, `run_id`) are current in the lake now."""
    uris = [*reader.uris(reader.merged("recordings")), *(part.uri for part in reader.parts("recordings"))]
    stale = reader.stale_sql() or f"select recording_id, run_id from ({currency.rows_of([])})"
    asked = pa.table({"n": np.arange(rows.num_rows), "recording_id": rows["recording_id"], "run_id": rows["run_id"]})
    query = f"""
    select n from asked semi join ({currency.rows_of(uris)}) using (recording_id, run_id)
    anti join ({stale}) using (recording_id, run_id)
    """
    with reading(), open_duckdb(reader.lake.root) as connection:
        connection.register("asked", asked)
        places = np.asarray(connection.sql(query).to_arrow_table()["n"])
    found = np.zeros(rows.num_rows, dtype=np.bool_)
    found[places] = True
    return found


def _differs(rows: pa.Table, again: pa.Table) -> NDArray[np.bool_]:
    """Rows that would not be chosen for the same grants and rules, and until the same instant."""
    same: NDArray[np.bool_] = np.asarray(again["allowed"]) & np.asarray(
        pc.fill_null(pc.equal(again["allowed_until"], rows["allowed_until"]), False)
    )
    then, now = rows["justifications"].combine_chunks(), again["justifications"].combine_chunks()
    counts = pc.list_value_length(then).fill_null(-1), pc.list_value_length(now).fill_null(-1)
    same &= np.asarray(pc.equal(*counts))
    if not same.any():
        return ~same
    kept = pa.array(same)
    left, right = then.filter(kept), now.filter(kept)
    equal = np.ones(len(left.flatten()), dtype=np.bool_)
    for field_ in left.type.value_type:
        equal &= np.asarray(
            pc.fill_null(pc.equal(left.flatten().field(field_.name), right.flatten().field(field_.name)), False)
        )
    parents = np.asarray(pc.list_parent_indices(left))
    whole = np.ones(len(left), dtype=np.bool_)
    np.logical_and.at(whole, parents, equal)
    same[np.flatnonzero(same)] = whole
    return ~same
