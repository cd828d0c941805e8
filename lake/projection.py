"""What the ledger says, where it is quick to find: its effective events as Parquet, by position and by subject.

All of it follows from the log and can be made anew at any time. It lies in runs: a run holds the events of a range of
positions in every order, so that building on costs only what is new; runs that have become many are made one. A head
names the runs and how much of the log they cover; it is created last and exclusively, and the highest number counts.

Left out are events that change nothing: those whose id was there before, and grants whose id was given before.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from hashlib import blake2b, sha256
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lake import layout
from lake.projection_files import REMEDY, SAYS_OTHERWISE, Key, ProjectedFile, any_of, is_about_source, read_groups
from lake.projection_rows import events_of
from lake.storage import Root
from schemas.consent_tables import EVENTS_SCHEMA
from schemas.errors import ConfigError, ConsentError
from schemas.ledger import Event, EventType
from schemas.model import Frozen, parse

FORMAT_VERSION = 1
Source = tuple[str, str]
"""Root and path."""
Name = tuple[int, int]
"""The first 128 bits of the digest of a name that is taken: an event's id, or that of a grant that was given."""

_NOBODY: Key = (2, "", "")
"""Up to here the order of subjects holds what is about nobody."""
_HEAD = re.compile(r"projection/(\d{8,})\.json")


class ProjectionHead(Frozen):
    """`projection/<number>.json`."""

    format_version: int = FORMAT_VERSION
    number: int
    position: int
    """Events of the ledger that are covered."""
    segments: int
    """Segments of the log that hold them."""
    left_out: int
    """Events that change nothing."""
    files: tuple[ProjectedFile, ...]
    sha256: str = ""
    """Of this head with this field empty."""

    def digest(self) -> str:
        return sha256(self.model_copy(update={"sha256": ""}).model_dump_json().encode()).hexdigest()

    def of(self, order: str) -> list[ProjectedFile]:
        """The files of one order, run after run."""
        return sorted((file for file in self.files if file.order == order), key=lambda file: file.first)


class Projection:
    """An opened projection. Whoever reads it learns what the first `position` events of the ledger say."""

    def __init__(self, root: Root, head: ProjectionHead) -> None:
        self.root = root
        self.head = head

    @property
    def position(self) -> int:
        return self.head.position

    @staticmethod
    def newest(root: Root) -> Projection | None:
        """The one with the highest number; None where there is none. Raises ConsentError where it cannot be read."""
        numbers = [int(found[1]) for info in root.list("projection") if (found := _HEAD.fullmatch(info.path))]
        return Projection.read(root, max(numbers)) if numbers else None

    @staticmethod
    def read(root: Root, number: int) -> Projection:
        """The one of this number. Raises ConsentError where it cannot be read, Missing where there is none."""
        return Projection(root, _read_head(root, number))

    def segments(self) -> list[dict[str, Any]]:
        """Of every segment covered, in order: what its header says, its digest and its size."""
        rows = [row for batch in read_groups(self.root, self.head.of("segment")) for row in batch.to_pylist()]
        if len(rows) != self.head.segments or sum(row["events"] for row in rows) != self.position:
            raise ConsentError(f"the projection of the consent ledger {self.root.uri} lost count; {REMEDY}")
        return rows

    def by_position(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Rows of EVENTS_SCHEMA in order, in bounded memory."""
        return read_groups(self.root, self.head.of("position"), columns)

    def table(self, subjects: Collection[str], sources: Collection[Source] | None) -> pa.Table:
        """Rows of EVENTS_SCHEMA, by position: of these subjects, of these sources (None: of all, and whatever else is
        about nobody), and all vocabularies."""
        wanted: list[Key] = sorted([(0, "", ""), *((2, name, "") for name in subjects),
                                    *((1, root, path) for root, path in sources or ())])  # fmt: skip
        is_wanted = any_of(wanted)
        may_hold = is_wanted if sources is not None else lambda low, high: low <= _NOBODY or is_wanted(low, high)
        groups = read_groups(self.root, self.head.of("subject"), may_hold=may_hold)
        found = [kept for batch in groups if len(kept := _wanted_of(batch, subjects, sources))]
        return pa.Table.from_batches(found, EVENTS_SCHEMA).sort_by("position")

    def about(self, subjects: Collection[str], sources: Collection[Source]) -> Iterator[tuple[int, Event]]:
        """(position, event) of what a fold needs for these subjects and sources."""
        try:
            yield from events_of(self.table(subjects, sources))
        except ValueError as error:
            said = " ".join(str(error).split())
            raise ConsentError(f"the projection of {self.root.uri} holds no valid event: {said}; {REMEDY}") from None

    def taken(self, names: Iterable[Name]) -> set[Name]:
        """Those of `names` that the covered events have taken."""
        sought = sorted(set(names))
        found: set[Name] = set()
        if not sought:
            return found
        wanted = np.array([name[0] for name in sought], np.uint64)
        for batch in read_groups(self.root, self.head.of("name"), may_hold=any_of(sought)):
            highs, lows = batch["high"].to_numpy(), batch["low"].to_numpy()
            begin, end = wanted.searchsorted(highs[0]), wanted.searchsorted(highs[-1], "right")
            for n in begin + np.flatnonzero(np.isin(wanted[begin:end], highs)):
                first, after = highs.searchsorted(wanted[n]), highs.searchsorted(wanted[n], "right")
                if sought[n][1] in lows[first:after]:
                    found.add(sought[n])
        return found


def digests(prefix: str, words: Iterable[str]) -> bytes:
    """The names of events (prefix `e`) or of grants (`g`) of these ids, 16 bytes each."""
    return b"".join([blake2b(f"{prefix}{word}".encode(), digest_size=16).digest() for word in words])


def name_of(prefix: str, word: str) -> Name:
    """One of them, as `Projection.taken` wants it."""
    digest = digests(prefix, [word])
    return int.from_bytes(digest[:8], "big"), int.from_bytes(digest[8:], "big")


def is_about(event: Event, subjects: Collection[str], sources: Collection[Source]) -> bool:
    """Whether a fold for these subjects and sources needs the event."""
    if event.type is EventType.VOCABULARY:
        return True
    row = {"source_root": event.source_root, "source_path": event.source_path, "type": event.type.value}
    if is_about_source(row):
        return (event.source_root, event.source_path) in sources
    return event.subject_id in subjects


def is_about_nobody(event: Event) -> bool:
    """Whether a fold for anybody needs the event: vocabularies, sources, and what names no subject."""
    row = {"source_root": event.source_root, "source_path": event.source_path, "type": event.type.value}
    return event.type is EventType.VOCABULARY or event.subject_id is None or is_about_source(row)


def _wanted_of(batch: pa.RecordBatch, subjects: Collection[str], sources: Collection[Source] | None) -> pa.RecordBatch:
    """The rows of `Projection.table`."""
    root, path, who = batch["source_root"], batch["source_path"], batch["subject_id"]
    names_source = pc.and_(root.is_valid(), path.is_valid())
    spoken = pc.equal(batch["type"], EventType.VOCABULARY.value)
    on_source = pc.and_(names_source, pc.invert(pc.is_in(batch["type"], pa.array(SAYS_OTHERWISE))))
    theirs = pc.is_in(who, pa.array(sorted(subjects), pa.string()))
    if sources is None:
        on_wanted, theirs = on_source, pc.or_(theirs, who.is_null())
    else:
        on_wanted = pc.and_(on_source, pc.is_in(path, pa.array(sorted({path for _, path in sources}), pa.string())))
    kept = pc.or_(spoken, pc.or_(on_wanted, pc.and_(theirs, pc.invert(on_source))))
    found = batch.filter(kept)
    if sources is None or not pc.any(on_wanted).as_py():
        return found
    pairs = zip(*(found[name].to_pylist() for name in ("type", "source_root", "source_path")), strict=True)
    # Of another root, a path of the same name is another source.
    is_wanted = [
        kind in SAYS_OTHERWISE or None in place or place in sources
        for kind, place in ((kind, (root, path)) for kind, root, path in pairs)
    ]
    return found.filter(pa.array(is_wanted, pa.bool_()))


def _read_head(root: Root, number: int) -> ProjectionHead:
    path = layout.projection_head_path(number)
    try:
        value = json.loads(root.read(path))
        head = parse(ProjectionHead, value, "its head")
        if head.format_version == FORMAT_VERSION and (head.digest(), head.number) == (head.sha256, number):
            return head
    except (ValueError, ConfigError):
        pass
    raise ConsentError(f"the projection of the consent ledger {root.uri} is broken at {path}; {REMEDY}")
