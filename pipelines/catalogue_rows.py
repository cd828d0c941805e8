"""From the cells of one row of a catalogue to a `CatalogueRow`; docs/catalogue.md explains every column."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import date
from typing import Any

from pipelines.catalogue_cells import Cells
from pipelines.catalogue_formats import beside
from pipelines.transcripts import read_transcript, rttm_spans, text_span
from schemas.catalogue import CatalogueRow, Role, Span, Subject, TextSpan
from schemas.model import nearest, parse

COLUMNS: Mapping[str, str] = {
    "path": "the source's path within its root",
    "prefix": "a folder, or the beginning of paths when it ends with `*`",
    "root": "name of the source root that the row speaks of; without it, every root",
    "subject": "id of the one person heard, taken as it is written",
    "subjects": "everybody heard: `id[:role][@channel]`, separated by semicolons, or a list of objects",
    "complete": "nobody else can be heard",
    "channel": "channel of the one person, counted from 0",
    "gender": "of each person, separated by semicolons, in the order of the people",
    "age_group": "of each person, separated by semicolons, in the order of the people",
    "rttm": "RTTM file that says who speaks when; `#ID` names the file id in it",
    "spans": "who speaks when, as a list of objects",
    "grant_ids": "only these grants count, separated by semicolons",
    "collected_at": "when it was recorded: an instant with a zone, or a date",
    "language": "BCP 47 tag",
    "accent": "declared accent",
    "text": "what is said in the whole source",
    "transcript": "file with what is said: .txt, .srt, .vtt or .json",
    "text_spans": "what is said when, as a list of objects",
    "synthetic": "the voice was made by a machine",
    "speakers": "how many voices are heard",
    "extra": "an object of columns of one's own; in a CSV, columns `extra.NAME`",
}
"""Every column and its meaning; besides them, any `extra.NAME`."""

_SUBJECT = re.compile(r"([^\s;:@]+)(?::([A-Za-z_]+))?(?:@([0-9]+))?")

PLACES = ("path", "prefix", "root")
"""Columns that say which sources a row speaks of, and nothing else."""

OF_ONE_SOURCE = ("text", "transcript", "text_spans", "rttm", "spans")
"""Columns that can be true of one source only."""

_SAY_THE_SAME = (
    ("subject", "subjects"),
    ("rttm", "spans"),
    ("text", "transcript", "text_spans"),
)
_PLAIN: Mapping[str, Callable[[Cells, str], object]] = {
    "complete": Cells.flag,
    "collected_at": Cells.instant,
    "language": Cells.word,
    "accent": Cells.word,
    "synthetic": Cells.flag,
    "speakers": Cells.whole,
}


def read_row(cells: Cells) -> CatalogueRow:
    """What the row says, places apart. Raises ConfigError naming file, line and column for what it cannot mean."""
    _check_columns(cells)
    said = {column: read(cells, column) for column, read in _PLAIN.items() if column in cells.values}
    spans = _spans(cells)
    text, text_spans = _texts(cells)
    told = {
        **{column: value for column, value in said.items() if value is not None},
        "subjects": _subjects(cells, spans),
        "spans": spans,
        "grant_ids": tuple(cells.items("grant_ids")),
        "text": text,
        "text_spans": text_spans,
        "extra": extra_columns(cells, cells.values),
    }
    row = parse(CatalogueRow, told, cells.where())
    refuse_contradictions(row, cells)
    return row


def _check_columns(cells: Cells) -> None:
    for column in cells.values.keys() - COLUMNS.keys():
        if not column.startswith("extra.") or column == "extra.":
            raise cells.fault(None, f"unknown column `{column}`{nearest(column, COLUMNS)}; your own are `extra.NAME`")
    for group in _SAY_THE_SAME:
        given = [column for column in group if column in cells.values]
        if len(given) > 1:
            raise cells.fault(given[1], f"`{given[0]}` says this already; give one of the two")
    if "prefix" in cells.values:
        for column in OF_ONE_SOURCE:
            if column in cells.values:
                raise cells.fault(column, "belongs to one source; give its row a `path`, not a `prefix`")


def _subjects(cells: Cells, spans: Iterable[Span]) -> tuple[Subject, ...]:
    if "subject" in cells.values:
        people: list[dict[str, Any]] = [{"subject_id": cells.word("subject")}]
    elif "subjects" in cells.values:
        people = [_person(cells, item) for item in cells.items("subjects")]
    else:
        # Without a list of its own, the row means the people of its RTTM.
        people = [{"subject_id": name} for name in sorted({span.subject_id for span in spans})]
    if (channel := cells.whole("channel")) is not None:
        if len(people) != 1 or "channel" in people[0]:
            raise cells.fault(
                "channel", f"belongs to one person, and the row names {len(people)}; write `subjects` as id@0;id@1"
            )
        people[0]["channel"] = channel
    for column in ("gender", "age_group"):
        _add_of_each(cells, column, people)
    return tuple(parse(Subject, person, cells.where("subjects")) for person in people)


def _person(cells: Cells, item: Any) -> dict[str, Any]:
    if isinstance(item, dict):
        return {name: value for name, value in item.items() if value is not None}
    found = _SUBJECT.fullmatch(str(item))
    if not found:
        raise cells.fault(
            "subjects", f"{item!r} is not id[:role][@channel]; an id with `:`, `@` or a space goes into JSON lines"
        )
    name, role, channel = found.groups()
    if role is not None and role not in list(Role):
        raise cells.fault("subjects", f"unknown role `{role}`{nearest(role, list(Role))}; one of {', '.join(Role)}")
    return {"subject_id": name} | ({"role": role} if role else {}) | ({"channel": int(channel)} if channel else {})


def _add_of_each(cells: Cells, column: str, people: list[dict[str, Any]]) -> None:
    if (text := cells.word(column)) is None:
        return
    pieces = [piece.strip() for piece in text.split(";")]
    if len(pieces) != len(people):
        raise cells.fault(column, f"{len(pieces)} values for {len(people)} people")
    for person, piece in zip(people, pieces, strict=True):
        if piece:
            person[column] = piece


def _spans(cells: Cells) -> tuple[Span, ...]:
    if rttm := cells.word("rttm"):
        uri, _, file_id = rttm.partition("#")
        source_path = cells.text("path") or ""
        return rttm_spans(beside(cells.uri, uri), file_id or None, source_path, cells.where("rttm"))
    return tuple(parse(Span, span, cells.where("spans")) for span in cells.structs("spans"))


def _texts(cells: Cells) -> tuple[str | None, tuple[TextSpan, ...]]:
    if transcript := cells.word("transcript"):
        return read_transcript(beside(cells.uri, transcript), cells.where("transcript"))
    return cells.word("text"), tuple(
        text_span(piece, cells.where("text_spans")) for piece in cells.structs("text_spans")
    )


def extra_columns(cells: Cells, values: Mapping[str, Any]) -> dict[str, str]:
    """`extra.NAME` columns and the members of `extra`, as text, sorted by name."""
    own = values.get("extra", {})
    if isinstance(own, list):  # a Parquet map
        own = dict(own)
    if not isinstance(own, dict):
        raise cells.fault("extra", "needs an object; in a CSV, write columns `extra.NAME`")
    flat = {column.removeprefix("extra."): value for column, value in values.items() if column.startswith("extra.")}
    if twice := own.keys() & flat.keys():
        raise cells.fault(f"extra.{min(twice)}", "stands in `extra` too")
    texts = {str(name): as_text(value) for name, value in sorted({**own, **flat}.items()) if value is not None}
    for name, text in texts.items():
        cells.refuse_unwritable("extra", name + text)
    return texts


def as_text(value: Any) -> str:
    """Text as it is, instants in ISO form, everything else as JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, date):
        return value.isoformat()
    return json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)


def refuse_contradictions(row: CatalogueRow, cells: Cells) -> None:
    """Raises ConfigError where two columns of the row cannot both be true."""
    channel_of = {subject.subject_id: subject.channel for subject in row.subjects}
    for span in row.spans:
        told = channel_of[span.subject_id]
        if told is not None and span.channel is not None and told != span.channel:
            raise cells.fault(
                "spans", f"{span.subject_id} speaks on channel {span.channel}, but is said to be on {told}"
            )
    if row.speakers is None:
        return
    speaking = sum(subject.role is Role.SPEAKER for subject in row.subjects)
    if row.speakers < speaking:
        raise cells.fault("speakers", f"{row.speakers} voices, but {speaking} people are said to speak")
    heard = sum(subject.role is not Role.RIGHTS_HOLDER for subject in row.subjects)
    if row.complete and row.speakers > heard:
        raise cells.fault("speakers", f"{row.speakers} voices, but `complete` says that only {heard} people are heard")
