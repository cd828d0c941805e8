"""What lies beside a recording: who speaks when (RTTM), and what is said (.txt, .srt, .vtt, .json)."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import PurePosixPath
from typing import Any

from pipelines.catalogue_formats import place, text_lines
from schemas.catalogue import Span, TextSpan
from schemas.errors import ConfigError
from schemas.model import nearest, parse

_CUE_TIMES = re.compile(r"\s*((?:\d+:)?\d{1,2}:\d{2}[.,]\d{1,3})\s*-->\s*((?:\d+:)?\d{1,2}:\d{2}[.,]\d{1,3})(?:\s.*)?")
_CUE_MARKUP = re.compile(r"<[^<>]*>|\{\\[^{}]*\}")
_ALPHABET = "ABCDEFGH"


@lru_cache(maxsize=8)  # one RTTM often serves thousands of rows
def read_rttm(uri: str) -> Mapping[str, tuple[Span, ...]]:
    """Spans per file id, in order of time; labels are subject ids. Raises ConfigError at a line it cannot read.

    Source: NIST, The 2009 (RT-09) Rich Transcription Meeting Recognition Evaluation Plan, appendix A.
    """
    found: dict[str, list[tuple[str, float, float, str]]] = {}
    for number, line in enumerate(text_lines(uri), start=1):
        cells = line.split()
        if not cells or cells[0].startswith(";") or cells[0] != "SPEAKER":
            continue
        try:
            _, name, channel, start_s, duration_s, _, _, label = cells[:8]
            begin, length = float(start_s), float(duration_s)
        except ValueError:
            raise ConfigError(f"{place(uri, number)}: not an RTTM line: {line.strip()!r}") from None
        if length > 0:
            found.setdefault(unicodedata.normalize("NFC", name), []).append((label, begin, begin + length, channel))
        elif length < 0:
            raise ConfigError(f"{place(uri, number)}: a duration below zero")
    return {name: _spans(uri, turns) for name, turns in found.items()}


def _spans(uri: str, turns: Iterable[tuple[str, float, float, str]]) -> tuple[Span, ...]:
    rows = sorted(turns, key=lambda turn: turn[1:3] + turn[:1])
    channels = _channel_numbers(uri, {row[3] for row in rows})
    return tuple(
        parse(Span, {"subject_id": label, "start_s": start, "end_s": round(end, 6), "channel": channels[channel]}, uri)
        for label, start, end, channel in rows
    )


def _channel_numbers(uri: str, names: set[str]) -> dict[str, int | None]:
    """RTTM counts channels from 1, or by letters. One name only says nothing: mono files carry `1` too."""
    if len(names) == 1:
        return dict.fromkeys(names)
    if all(name in _ALPHABET for name in names):
        return {name: _ALPHABET.index(name) for name in names}
    if all(name.isdecimal() for name in names):
        first = 0 if "0" in names else 1
        return {name: int(name) - first for name in names}
    raise ConfigError(f"{uri}: channels {', '.join(sorted(names))} are neither all numbers nor all letters")


def rttm_spans(uri: str, file_id: str | None, source_path: str, where: str) -> tuple[Span, ...]:
    """The spans of one source: under `file_id` when it is given, else under the source's stem, else the only ones."""
    spans = read_rttm(uri)
    wanted = unicodedata.normalize("NFC", file_id or PurePosixPath(source_path).stem)
    if wanted in spans:
        return spans[wanted]
    if file_id is None and len(spans) == 1:
        return next(iter(spans.values()))
    raise ConfigError(f"{where}: {uri} holds no file `{wanted}`{nearest(wanted, spans)}; name it as `FILE.rttm#ID`")


def read_transcript(uri: str, where: str) -> tuple[str | None, tuple[TextSpan, ...]]:
    """The whole text of a `.txt`, or the timed pieces of a `.srt`, `.vtt` or `.json`: the other is None or empty."""
    suffix = PurePosixPath(uri).suffix.lower()
    if suffix == ".txt":
        return " ".join("".join(text_lines(uri)).split()) or None, ()
    if suffix in (".srt", ".vtt"):
        return None, tuple(_cues(uri))
    if suffix == ".json":
        return None, _segments(uri)
    raise ConfigError(f"{where}: {uri!r} is no transcript that can be read; give .txt, .srt, .vtt or .json")


def _cues(uri: str) -> Iterator[TextSpan]:
    """Cues of SubRip or WebVTT; markup is dropped. Source: W3C WebVTT, section 4."""
    times: tuple[float, float] | None = None
    lines: list[str] = []
    for line in [*text_lines(uri), ""]:
        found = _CUE_TIMES.fullmatch(line.rstrip("\r\n"))
        if found:
            times, lines = (_seconds(found[1]), _seconds(found[2])), []
        elif line.strip():
            lines.append(_CUE_MARKUP.sub("", line).strip())
        elif times:
            text = " ".join(part for part in lines if part)
            if text:
                yield text_span({"start_s": times[0], "end_s": times[1], "text": text}, uri)
            times = None


def _seconds(clock: str) -> float:
    *hours, minutes, seconds = clock.replace(",", ".").split(":")
    return round(int(hours[0] if hours else 0) * 3600 + int(minutes) * 60 + float(seconds), 3)


def _segments(uri: str) -> tuple[TextSpan, ...]:
    """`{"segments": [{"start": …, "end": …, "text": …}]}`, as Whisper and its kin write, or the bare list."""
    try:
        value = json.loads("".join(text_lines(uri)))
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{uri}: not JSON ({error})") from None
    pieces = value.get("segments") if isinstance(value, dict) else value
    if not isinstance(pieces, list):
        raise ConfigError(f"{uri}: needs a list `segments` of objects with start, end and text")
    return tuple(_segment(f"{uri}, segment {index}", piece) for index, piece in enumerate(pieces))


def _segment(where: str, piece: Any) -> TextSpan:
    if not isinstance(piece, dict):
        raise ConfigError(f"{where}: not an object")
    start, end = (piece.get(f"{key}_s", piece.get(key)) for key in ("start", "end"))
    return text_span({"start_s": start, "end_s": end, "text": str(piece.get("text", "")).strip()}, where)


def text_span(value: Mapping[str, Any], where: str) -> TextSpan:
    """A piece of transcript; ConfigError when it ends before it begins."""
    span = parse(TextSpan, value, where)
    if span.end_s <= span.start_s:
        raise ConfigError(f"{where}: a piece of text needs start < end, not {span.start_s}..{span.end_s}")
    return span
