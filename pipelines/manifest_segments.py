"""Segments of a manifest, gathered per recording and said in the columns of a catalogue."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from pipelines.catalogue_formats import Values
from pipelines.catalogue_rows import COLUMNS
from schemas.catalogue import Role
from schemas.errors import ConfigError

_MUST_AGREE = ("complete", "grant_ids", "collected_at", "synthetic", "speakers")
_MAY_DIFFER = ("language", "accent")
_WHOLE_S = 0.05  # a segment that leaves out no more than this at either end covers the whole recording


@dataclass(frozen=True, slots=True)
class Segment:
    """One line about a recording: who speaks, where in it, and what. `end_s` None: to its end."""

    where: str
    start_s: float = 0.0
    end_s: float | None = None
    channels: tuple[int, ...] = ()
    speaker: str | None = None
    text: str | None = None
    of_person: Mapping[str, str] = field(default_factory=dict)
    columns: Mapping[str, Any] = field(default_factory=dict)
    """What the line says of the whole recording, by catalogue column."""

    def __post_init__(self) -> None:
        if self.end_s is not None and self.end_s < self.start_s:
            raise ConfigError(f"{self.where}: a duration below zero")

    @property
    def is_spoken(self) -> bool:
        """It tells of speech, and not only of the recording."""
        return self.end_s is None or (self.end_s > self.start_s and (self.speaker or self.text) is not None)

    def is_on(self, channels: tuple[int, ...] | None) -> bool:
        """It is heard on one of `channels`; None stands for all."""
        return channels is None or not self.channels or not set(self.channels).isdisjoint(channels)


def gathered(lines: Iterable[tuple[str, int, Values]]) -> Iterator[list[tuple[int, Values]]]:
    """(owner, line, values) by owner, each owner's in order; on disk, for a manifest may hold 10^8 lines."""
    database = sqlite3.connect("", isolation_level=None)
    try:
        database.execute("PRAGMA journal_mode = OFF")
        database.execute("CREATE TABLE lines (owner TEXT, number INTEGER, said TEXT)")
        database.execute("BEGIN")
        stored = ((owner, number, json.dumps(values)) for owner, number, values in lines)
        database.executemany("INSERT INTO lines VALUES (?, ?, ?)", stored)
        ordered = database.execute("SELECT owner, number, said FROM lines ORDER BY owner, number, rowid")
        for _, group in groupby(ordered, key=lambda row: row[0]):
            yield [(number, json.loads(said)) for _, number, said in group]
    finally:
        database.close()


def columns_of(
    path: str, segments: Sequence[Segment], channels: tuple[int, ...] | None, duration_s: float | None = None
) -> Values:
    """Catalogue columns of one file. `channels` are its channels by the recording's count; None: nothing is known."""
    here = [s for s in segments if s.is_spoken and s.is_on(channels)]
    values: Values = {"path": path, **_agreed(segments), "subjects": _people(segments, channels)}
    if len(here) == 1 and _covers_all(here[0], duration_s):
        return values | ({"text": here[0].text} if here[0].text else {})
    if open_ended := next((s for s in here if s.end_s is None), None):
        raise ConfigError(
            f"{open_ended.where}: without `offset` a line speaks of the whole file, and others speak of it too"
        )
    values["spans"] = [
        {"subject_id": s.speaker, "start_s": s.start_s, "end_s": s.end_s, "channel": _local(s.channels, channels)}
        for s in here
        if s.speaker
    ]
    values["text_spans"] = [{"start_s": s.start_s, "end_s": s.end_s, "text": s.text} for s in here if s.text]
    return values


def _covers_all(segment: Segment, duration_s: float | None) -> bool:
    if segment.end_s is None:
        return True
    return duration_s is not None and segment.start_s <= _WHOLE_S and segment.end_s >= duration_s - _WHOLE_S


def _people(segments: Sequence[Segment], channels: tuple[int, ...] | None) -> list[Values]:
    people: dict[str, Values] = {}
    heard_on: dict[str, set[int | None]] = {}
    for segment in segments:
        if segment.speaker is None:
            continue
        person = people.setdefault(segment.speaker, {"subject_id": segment.speaker})
        for name, value in segment.of_person.items():
            if person.setdefault(name, value) != value:
                raise ConfigError(
                    f"{segment.where}: {segment.speaker} is {name} {value!r} here and {person[name]!r} before"
                )
        if segment.is_on(channels):
            heard_on.setdefault(segment.speaker, set()).add(_local(segment.channels, channels))
    for name, person in people.items():
        on = heard_on.get(name)
        if on is None:
            # Their words are on another microphone, which does not mean that this one did not hear them.
            person["role"] = Role.BACKGROUND.value
        elif len(on) == 1 and (only := next(iter(on))) is not None:
            person["channel"] = only
    return [people[name] for name in sorted(people)]


def _local(said: tuple[int, ...], channels: tuple[int, ...] | None) -> int | None:
    """The channel within a file that has several; None where the file has one, or the words are on more than one."""
    if channels is None or len(channels) < 2:
        return None
    inside = [channels.index(channel) for channel in said if channel in channels]
    return inside[0] if len(inside) == 1 else None


def _agreed(segments: Sequence[Segment]) -> Values:
    """What the lines say of the whole recording: what consent rests on must agree, the rest is kept where it does."""
    values: Values = {}
    for column in _MUST_AGREE:
        said = [segment.columns.get(column) for segment in segments]
        given = [value for value in said if value is not None]
        differing = [n for n, value in enumerate(said) if given and value != given[0]]
        # `complete` on one line and silence on the next is a contradiction too: it speaks of the whole recording.
        faults = [n for n in differing if column == "complete" or said[n] is not None]
        if faults:
            raise ConfigError(f"{segments[faults[0]].where}: `{column}` differs between the lines of one recording")
        if given:
            values[column] = given[0]
    for column in _MAY_DIFFER:
        given = [segment.columns[column] for segment in segments if column in segment.columns]
        if given and all(value == given[0] for value in given):
            values[column] = given[0]
    extras = [segment.columns.get("extra", {}) for segment in segments]
    names = {name for extra in extras for name in extra}
    own = {name: [extra[name] for extra in extras if name in extra] for name in sorted(names)}
    values["extra"] = {name: given[0] for name, given in own.items() if all(value == given[0] for value in given)}
    return values


def of_recording(said: Mapping[str, Any]) -> Values:
    """Keys that are catalogue columns by their name; other plain values become `extra`, for both formats are open."""
    known = {name: said[name] for name in said if name in (*_MUST_AGREE, *_MAY_DIFFER) and said[name] is not None}
    rest = {
        name.removeprefix("extra."): value
        for name, value in said.items()
        if name not in COLUMNS and isinstance(value, str | int | float | bool)
    }
    return known | ({"extra": rest} if rest else {})


def name_of(value: Any) -> str | None:
    """A speaker's id, which some manifests write as a number."""
    return str(value) if value not in (None, "") else None


def seconds_of(value: Any, where: str) -> float:
    """`value` as seconds; ConfigError, naming `where`, when it is no number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ConfigError(f"{where}: {value!r} is no number of seconds")
    return float(value)
