"""The bytes of utterances, by ranged reads that serve several neighbours at once, some of them ahead of time."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import groupby
from typing import NamedTuple

from lake.lake import Lake
from lake.storage import Missing
from provoice.loader.order import GAP_BYTES, RANGE_BYTES
from provoice.loader.places import NONE, Location, current_commit, places_of_unit
from provoice.loader.shelf import TAR_HEADER_BYTES, Shelf
from schemas.errors import LakeError

_NAME_BYTES = 100  # of a member's name, in its tar header


class Members(NamedTuple):
    """An utterance's members as they lie in the tar. `codec` is the suffix of the audio's name."""

    key: str
    codec: str
    audio: bytes
    json: bytes | None
    text: bytes | None


class _Wanted(NamedTuple):
    """A row, and what is known of it before it is read."""

    row: int
    key: str
    digest: str | None
    place: Location


Fetched = dict[int, Members | None]
"""Members by row; None where the row is in no shard any more."""


class RangeReader:
    """Reads rows of a shelf. `fields` of `audio`, `json` and `txt`: what is taken out of what was read.

    Every audio member's header must bear its utterance's key; with `verify`, audio must have the digest that was
    committed, the first time that this process reads it. Where either fails, or the object is gone, the unit's commit
    is read once more: an erasure may have moved it.
    """

    def __init__(self, lake: Lake, shelf: Shelf, fields: frozenset[str], *, verify: bool) -> None:
        self._lake = lake
        self._shelf = shelf
        self._fields = fields
        self._verify = verify
        self._verified: set[int] = set()
        """Rows whose audio was found to be what was committed: names follow content, so once is enough."""

    def read(self, rows: Sequence[int]) -> Fetched:
        """The members of `rows`. Raises LakeError, which names the object, where one is neither there nor moved."""
        known = zip(rows, self._shelf.keys(rows), self._shelf.digests(rows), self._shelf.locations(rows), strict=True)
        found: Fetched = dict.fromkeys(rows)
        wanted = [_Wanted(*one[:3], one[3]) for one in known if one[3] is not None]
        faults = self._read_into(found, wanted)
        if faults:
            again = self._looked_up([one for one, _ in faults])
            faults = self._read_into(found, again)
        for one, fault in faults:
            raise LakeError(
                f"{self._lake.root.uri_of(one.place.shard)} {fault}; restore the object from its bucket's versions"
            )
        return found

    def _read_into(self, found: Fetched, wanted: Iterable[_Wanted]) -> list[tuple[_Wanted, str]]:
        """Adds what could be read; returns what could not, and why."""
        faults: list[tuple[_Wanted, str]] = []
        for group in _ranges(wanted):
            first = _first(group[0].place)
            last = max(_last(one.place) for one in group)
            try:
                data = self._lake.root.read(group[0].place.shard, first, last)
            except Missing:
                faults += [(one, f"does not exist, though it is named as the place of {one.key}") for one in group]
                continue
            for one in group:
                members = self._taken(one, data, first)
                if isinstance(members, str):
                    faults.append((one, members))
                else:
                    found[one.row] = members
        return faults

    def _looked_up(self, missed: Sequence[_Wanted]) -> Iterator[_Wanted]:
        """The same rows at the places that their units' commits name now; those that are gone are left out."""
        units: dict[tuple[str, str], Mapping[str, Location]] = {}
        for one, unit in zip(missed, self._shelf.units([one.row for one in missed]), strict=True):
            if unit not in units:
                units[unit] = places_of_unit(self._lake, current_commit(self._lake, *unit))
            place = units[unit].get(one.key)
            if place is not None:
                yield one._replace(place=place)

    def _taken(self, one: _Wanted, data: bytes, first: int) -> Members | str:
        """The members out of `data`, whose first byte is byte `first` of the shard; or what is wrong with them."""
        key, place = one.key, one.place
        at = place.audio_offset - first
        header = data[at - TAR_HEADER_BYTES : at - TAR_HEADER_BYTES + _NAME_BYTES]
        name, _, codec = header.rstrip(b"\0").decode("utf-8", "replace").partition(".")
        audio = data[at : at + place.audio_size]
        if name != key[:_NAME_BYTES] or len(audio) != place.audio_size:
            return f"does not hold {key} where its commit says"
        if self._verify and one.row not in self._verified and one.digest is not None:
            if hashlib.sha256(audio).hexdigest() != one.digest:
                return f"holds other audio of {key} than was committed (its SHA-256 differs)"
            self._verified.add(one.row)
        json = text = None
        if "json" in self._fields:
            json = data[place.json_offset - first : place.json_offset - first + place.json_size]
        if "txt" in self._fields and place.text_offset != NONE:
            text = data[place.text_offset - first : place.text_offset - first + place.text_size]
        return Members(key, codec or "audio", audio, json, text)


def read_ahead(
    read: Callable[[Sequence[int]], Fetched], requests: Iterable[Sequence[int]], threads: int
) -> Generator[Fetched, None, None]:
    """`read` of each request, in order, with the next `threads` under way already."""
    waiting: deque[Future[Fetched]] = deque()
    with ThreadPoolExecutor(threads, "provoice-loader") as pool:
        try:
            for request in requests:
                waiting.append(pool.submit(read, request))
                if len(waiting) > threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _ranges(wanted: Iterable[_Wanted]) -> Iterator[list[_Wanted]]:
    """Rows of one shard that lie closely enough to be read at once."""
    for _, same in groupby(sorted(wanted, key=_place), _shard):
        group: list[_Wanted] = []
        for one in same:
            if group and (
                _first(one.place) - _last(group[-1].place) > GAP_BYTES
                or _first(one.place) - _first(group[0].place) >= RANGE_BYTES
            ):
                yield group
                group = []
            group.append(one)
        yield group


def _place(one: _Wanted) -> tuple[str, int]:
    return one.place.shard, _first(one.place)


def _shard(one: _Wanted) -> str:
    return one.place.shard


def _first(place: Location) -> int:
    """The first byte that is read: the header of the audio, which names it, or the JSON where that comes first."""
    return min(place.audio_offset - TAR_HEADER_BYTES, place.json_offset)


def _last(place: Location) -> int:
    """One past the last byte."""
    return max(
        place.audio_offset + place.audio_size, place.json_offset + place.json_size, place.text_offset + place.text_size
    )
