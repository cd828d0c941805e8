"""What may pass: rows of a share, each asked for just before it is handed out; refused or left out, as was chosen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import islice
from typing import Literal

from provoice.loader.index import Index
from provoice.loader.permissions import Permissions, Why, microseconds
from provoice.loader.share import Share
from provoice.loader.watch import Watch
from schemas.errors import ConsentError
from schemas.ledger import Event
from schemas.releases import ReleaseRecord

OnDenied = Literal["refuse", "skip"]
_NAMED = 3


class Gate:
    """Stands before the rows of one share, in one process."""

    def __init__(
        self, lake_uri: str, release: ReleaseRecord, watch: Watch, permissions: Permissions, on_denied: OnDenied
    ) -> None:
        self._lake_uri = lake_uri
        self._release = release
        self._watch = watch
        self._permissions = permissions
        self._on_denied = on_denied
        self._undecided: list[tuple[int, Event]] = []
        """News of which nothing has come yet, for it could not be decided: it is not to be forgotten."""

    def part(self, share: Share, index: Index) -> Gate:
        """The same for some of the rows, in a process of its own, with its own `index`."""
        watch, permissions = self._watch.in_this_process(), self._permissions.part(share, index)
        other = Gate(self._lake_uri, self._release, watch, permissions, self._on_denied)
        other._undecided = list(self._undecided)
        return other

    def look(self) -> None:
        """Asks the ledger what is new. Raises ConsentError where a row is denied now and that is to be refused."""
        self._undecided += self._watch.look()
        self._permissions.decide(self._undecided, self._watch)
        self._undecided = []
        self._judge()

    def passes(self, row: int) -> bool:
        """Whether the row may be handed out at this very moment; looks at the ledger where that is due."""
        if self._undecided or self._watch.is_due():
            self.look()
        at = self._watch.at()
        at_us = microseconds(at)
        if at_us >= self._permissions.ends_us:
            self._permissions.expire(at)
            self._judge()
        return self._permissions.is_allowed(row, at_us)

    def erased(self, rows: list[int]) -> None:
        """These rows are in no shard any more."""
        if rows:
            self._permissions.erased(rows)
            self._judge()

    def denied(self) -> dict[str, int]:
        """How many rows may not be used, by reason."""
        found: Counter[str] = Counter()
        for why, count in self._permissions.denied().items():
            found[why.reason] += count
        return dict(sorted(found.items()))

    def passable(self, rows: Sequence[int]) -> Sequence[int]:
        """Those of `rows` that are worth reading, as far as is known now; `passes` has the last word."""
        at_us = microseconds(self._watch.at())
        chosen = [row for row in rows if self._permissions.is_allowed(row, at_us)]
        return rows if len(chosen) == len(rows) else chosen

    def _judge(self) -> None:
        if self._on_denied == "refuse":
            denied = self._permissions.denied()
            if denied:
                raise ConsentError(self._refusal(denied))

    def _refusal(self, denied: Counter[Why]) -> str:
        count, name = sum(denied.values()), self._release.name
        return (
            f"release {name} {self._release.version} may not be used as it is: {count:,} of {len(self._permissions):,} "
            f"utterances looked at are denied now: {'; '.join(_reasons(denied))}; make a new version with "
            f"`provoice release create {self._lake_uri} {name} --use USE.yaml`, or leave them out with "
            'on_denied="skip"'
        )


def _reasons(denied: Counter[Why]) -> list[str]:
    """For each reason: how many rows, and the grants or people that it is about, some of them by name."""
    said = []
    for reason in sorted({why.reason for why in denied}):
        whys = {why: count for why, count in denied.items() if why.reason == reason}
        people = sorted({why.subject_id for why in whys if why.subject_id is not None})
        text = f"{reason} {sum(whys.values()):,}"
        if people:
            grants = {why.subject_id: why.grant_id for why in sorted(whys, key=str) if why.grant_id is not None}
            named = [f"{one} (grant {grants[one]})" if one in grants else one for one in islice(people, _NAMED)]
            more = f" and {len(people) - _NAMED:,} more people" if len(people) > _NAMED else ""
            text += f" of {', '.join(named)}{more}"
        said.append(text)
    return said
