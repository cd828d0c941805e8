"""Which rows of a share may be used now: the release's own decisions, but for what the ledger has said since, and time.

A row that no event since speaks of needs no second decision: only its `allowed_until` can end it. So a look at a ledger
in which nothing happened costs nothing, and one with a withdrawal costs a decision about that person's rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from provoice.loader.index import Index
from provoice.loader.share import Share
from provoice.loader.watch import Watch
from schemas.consent import DenyReason, Use
from schemas.ids import source_id
from schemas.ledger import Event, EventType

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

ERASED = "erased"
"""Beside the reasons of a decision: the utterance is not in the lake any more."""
CONSENT_COLUMNS = (
    "key", "subject_ids", "complete", "source_id", "collected_at", "grant_ids", "catalogue_row_sha256",
    "justifications", "allowed_until",
)  # fmt: skip
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_BATCH_ROWS = 250_000
_NEVER_US = 2**63 - 1


class Why(NamedTuple):
    """Why a row may not be used: the reason, whose permission is missing, and the grant that is no good."""

    reason: str
    subject_id: str | None = None
    grant_id: str | None = None


def microseconds(instant: datetime) -> int:
    return (instant - _EPOCH) // timedelta(microseconds=1)


class Permissions:
    """Of each row of a share, counted from its first: until when it may be used, or why not."""

    def __init__(self, index: Index, share: Share, use: Use) -> None:
        import numpy as np

        self._index = index
        self._share = share
        self._use = use
        self._codes: dict[Why, int] = {}
        self._code: NDArray[np.int32] = np.zeros(len(share), np.int32)
        """Why a row is denied, as one of `_codes`; 0 where it is allowed. What is denied stays denied."""
        instants = index.read(share, ["allowed_until"]).column("allowed_until")
        self._until_us: NDArray[np.int64] = instants.cast("int64").to_numpy().copy()
        self.ends_us = self._earliest()
        """The earliest instant from which on a row that is allowed now no longer is."""

    def part(self, share: Share, index: Index) -> Permissions:
        """Those of some of the rows, to be decided on their own from now on, by an `index` of this process."""
        other = Permissions.__new__(Permissions)
        first, last = share.first - self._share.first, share.last - self._share.first
        other._index, other._share, other._use, other._codes = index, share, self._use, dict(self._codes)
        other._code, other._until_us = self._code[first:last].copy(), self._until_us[first:last].copy()
        other.ends_us = other._earliest()
        return other

    def __len__(self) -> int:
        return len(self._share)

    def is_allowed(self, row: int, at_us: int) -> bool:
        return not self._code[row] and at_us < self._until_us[row]

    def erased(self, rows: Iterable[int]) -> None:
        """These rows are gone."""
        self._deny(list(rows), Why(ERASED))

    def decide(self, fresh: Sequence[tuple[int, Event]], watch: Watch) -> None:
        """Decides again about the rows that `fresh` events speak of, by all events since the release; and about those
        whose time is over."""
        import numpy as np

        at = watch.at()
        if fresh:
            touched = self._touched([event for _, event in fresh]) & (self._code == 0)
            for begin in range(0, len(touched), _BATCH_ROWS):
                rows = begin + np.flatnonzero(touched[begin : begin + _BATCH_ROWS])
                if len(rows):
                    self._decide_rows(rows, watch, at)
            self.ends_us = self._earliest()
        self.expire(at)

    def expire(self, at: datetime) -> None:
        """Denies the rows whose time is over; costs nothing where there is none."""
        import numpy as np

        at_us = microseconds(at)
        if at_us < self.ends_us:
            return
        over = np.flatnonzero((self._code == 0) & (self._until_us <= at_us))
        for begin in range(0, len(over), _BATCH_ROWS):
            rows = over[begin : begin + _BATCH_ROWS]
            self._deny_each(rows.tolist(), self._ended(rows, at))
        self.ends_us = self._earliest()

    def denied(self) -> Counter[Why]:
        """How many rows may not be used, by why."""
        import numpy as np

        counts = np.bincount(self._code, minlength=len(self._codes) + 1).tolist()
        return Counter({why: counts[code] for why, code in self._codes.items() if counts[code]})

    def _earliest(self) -> int:
        allowed = self._until_us[self._code == 0]
        return int(allowed.min()) if len(allowed) else _NEVER_US

    def _deny(self, rows: Sequence[int], why: Why) -> None:
        self._code[rows] = self._codes.setdefault(why, len(self._codes) + 1)

    def _touched(self, events: Sequence[Event]) -> NDArray[np.bool_]:
        """Rows whose people or source `events` speak of; all, where they bring a vocabulary."""
        import numpy as np
        import pyarrow.compute as pc

        if any(event.type is EventType.VOCABULARY for event in events):
            return np.ones(len(self._share), bool)
        people = {event.subject_id for event in events if event.subject_id is not None}
        sources = {
            source_id(event.source_root, event.source_path)
            for event in events
            if event.source_root is not None and event.source_path is not None
        }
        found = np.zeros(len(self._share), bool)
        table = self._index.read(self._share, ["subject_ids", "source_id"])
        if table.num_rows:
            lists = table.column("subject_ids").combine_chunks()
            theirs = _is_among(lists.flatten(), people)
            found[pc.list_parent_indices(lists).to_numpy()[theirs]] = True
            found |= _is_among(table.column("source_id").combine_chunks(), sources)
        return found

    def _decide_rows(self, rows: NDArray[np.intp], watch: Watch, at: datetime) -> None:
        import numpy as np

        from transforms.consent_table import recheck_table

        table = self._rows(rows, CONSENT_COLUMNS)
        decided = recheck_table(table, self._use, watch.since(), watch.vocabulary_then, at)
        is_allowed = decided.column("allowed").to_numpy()
        until = decided.column("allowed_until").cast("int64").fill_null(0).to_numpy()[is_allowed]
        allowed = rows[is_allowed]
        self._until_us[allowed] = np.minimum(self._until_us[allowed], until)
        denied = decided.select(["reason", "denied_subject", "denied_grant"]).filter(~is_allowed)
        whys = zip(*(column.to_pylist() for column in denied.columns), strict=True)
        self._deny_each(rows[~is_allowed].tolist(), (Why(*why) for why in whys))

    def _ended(self, rows: NDArray[np.intp], at: datetime) -> Iterator[Why]:
        """Of rows whose time is over: the grant that has ended."""
        for justifications in self._rows(rows, ["justifications"]).column("justifications").to_pylist():
            over = next((one for one in justifications or () if one["ends_at"] <= at), None)
            if over is not None:
                yield Why(DenyReason.EXPIRED.value, over["subject_id"], over["grant_id"])
            else:
                yield Why((DenyReason.TOO_LATE if self._use.until <= at else DenyReason.EXPIRED).value)

    def _rows(self, rows: NDArray[np.intp], columns: Sequence[str]) -> pa.Table:
        """`columns` of some rows, in order."""
        first, last = int(rows[0]), int(rows[-1]) + 1
        stretch = Share(self._share.first + first, self._share.first + last)
        return self._index.read(stretch, columns, encoded=False).take(rows - first)

    def _deny_each(self, rows: Sequence[int], whys: Iterable[Why]) -> None:
        groups: dict[Why, list[int]] = {}
        for row, why in zip(rows, whys, strict=True):
            groups.setdefault(why, []).append(row)
        for why, denied in groups.items():
            self._deny(denied, why)


def _is_among(column: pa.Array, words: set[str]) -> NDArray[np.bool_]:
    """Which values of a dictionary-encoded column are one of `words`."""
    import numpy as np
    import pyarrow as pa

    encoded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    is_word = np.array([word in words for word in encoded.dictionary.to_pylist()] + [False])
    codes: NDArray[np.int64] = encoded.indices.fill_null(len(is_word) - 1).to_numpy()
    found: NDArray[np.bool_] = is_word[codes]
    return found
