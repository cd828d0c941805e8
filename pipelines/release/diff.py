"""Two releases side by side: what was asked, what came in, what went out, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lake.lake import Lake
from lake.reader import LakeReader
from lake.releases import index_table
from pipelines.release.ledger import ledger_tables, people_of
from pipelines.release.verify import is_current, share_of, shares_by
from schemas.consent_tables import CONSENT_RECORDS_SCHEMA
from schemas.releases import ReleaseRecord, Share
from transforms.consent_table import decide_table

REPLACED = "replaced"
"""Why a row left: a later run has made its recording anew, or it was erased."""
NOT_ASKED = "where"
"""Why a row left: the later release does not ask for it."""
_COLUMNS = ("key", "recording_id", "run_id", "duration_s", *CONSENT_RECORDS_SCHEMA.names)


@dataclass(frozen=True)
class Diff:
    """What changed from `before` to `after`."""

    before: ReleaseRecord
    after: ReleaseRecord
    both: Share
    came: Share
    went: Share
    went_for: Mapping[str, Share]
    """By the reason that denies it to the later release; else REPLACED or NOT_ASKED."""


def diff(lake: Lake, before: ReleaseRecord, after: ReleaseRecord) -> Diff:
    """Compares by key, and asks for each row that went what stood in its way."""
    old, new = index_table(lake, before, _COLUMNS), index_table(lake, after, _COLUMNS)
    is_kept = pc.is_in(old["key"], new["key"].combine_chunks())
    went = old.filter(pc.invert(is_kept))
    return Diff(
        before=before,
        after=after,
        both=share_of(old.filter(is_kept)),
        came=share_of(new.filter(pc.invert(pc.is_in(new["key"], old["key"].combine_chunks())))),
        went=share_of(went),
        went_for=shares_by(went, _reasons(lake, went, after)),
    )


def _reasons(lake: Lake, went: pa.Table, after: ReleaseRecord) -> pa.ChunkedArray:
    tables, _ = ledger_tables(lake, after.ledger_position, lambda: people_of(went))
    decided = decide_table(went.select(CONSENT_RECORDS_SCHEMA.names), after.use, tables, after.decided_at)
    current = is_current(LakeReader(lake), went)
    otherwise = pa.array(np.where(current, NOT_ASKED, REPLACED).tolist(), pa.string())
    # A changed catalogue row is made anew by the next run: what the ledger says of it is the reason, and comes first.
    return pc.coalesce(decided["reason"], otherwise)
