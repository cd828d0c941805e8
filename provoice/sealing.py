"""Collects what a scan looks for, before anything is erased: words and voices of some people, by the ordinary readers.

What also stands in other people's rows tells nothing (a transcript that two have said, the path of a recording in which
others stay), and is left out and counted. The scan itself shares no line with this.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import duckdb
import numpy as np

from lake.lake import Lake
from lake.parquet_sql import quoted
from pipelines.verify import landmarks
from pipelines.verify.decoding import by_libsndfile, window
from pipelines.verify.encodings import ENCODINGS
from pipelines.verify.needles import MIN_BYTES, Kind, Needles, Sealed, Term, Voices
from pipelines.verify.search import Searcher
from pipelines.verify.sound import pieces
from provoice.sql import connect, records, select
from schemas.errors import ConfigError, LakeError

_PIECE_BYTES, _PIECES = 24, 4
"""A transcript is looked for by some pieces of it, so that a part that is left of it is found, too."""
_LABEL_BYTES = 8
_ALWAYS = frozenset({Kind.SUBJECT, Kind.GRANT})
"""Looked for whatever others' rows hold."""
_MIN_PAIRS = 40
_VIEWS = "utterances_all recordings_all plans"

Counted = Callable[[str, int], None]


def _silent(_what: str, _count: int) -> None: ...


def seal(lake: Lake, subjects: Sequence[str], report: Counted = _silent) -> Needles:
    """The needles of these people. Raises ConfigError where the lake and its ledger have never heard of one of them."""
    sealed = Sealed(lake.root.uri, datetime.now(UTC))
    with connect(lake, _VIEWS) as connection:
        words, spoken = _Words(subjects), []
        for row in _rows(connection, "utterances_all", subjects):
            words.of_utterance(row)
            spoken.append({name: row[name] for name in ("key", "shard", "audio_offset", "audio_size", "audio_sha256")})
        for row in _rows(connection, "recordings_all", subjects):
            words.of_recording(row)
        for row in _plan_rows(connection, subjects):
            words.of_plan(row)
        words.of_ledger(lake)
        words.check(lake)
        report("utterances read", len(spoken))
        terms = words.terms()
        shared = _shared(connection, [term for term in terms if term.kind not in _ALWAYS], subjects, report)
    for term in shared:
        words.left_out["shared"] = words.left_out.get("shared", 0) + 1
        terms.remove(term)
    voices, silent = _voices(lake, spoken, report)
    left = {**words.left_out, **({"no_features": silent} if silent else {})}
    return Needles(tuple(terms), voices, not_searched=left, sealed=sealed)


class _Words:
    """Words of each kind, each once, in the order in which they come."""

    def __init__(self, subjects: Sequence[str]) -> None:
        self.subjects = tuple(dict.fromkeys(subjects))
        self.left_out: dict[str, int] = {}
        self._found: dict[Kind, dict[str, int]] = {}
        """Word to the number of what it is a piece of."""
        self._seen: dict[Kind, int] = {}
        self._known: set[str] = set()
        for subject in self.subjects:
            self._add(Kind.SUBJECT, subject)

    def of_utterance(self, row: Mapping[str, Any]) -> None:
        self._people(row["consent"])
        self._add(Kind.RECORDING, row["recording_id"])
        self._add(Kind.KEY, row["key"])
        lineage = row["lineage"] or {}
        self._add(Kind.PATH, lineage.get("source_path"))
        for digest in (row["audio_sha256"], lineage.get("source_sha256"), lineage.get("catalogue_row_sha256")):
            self._add(Kind.DIGEST, digest)
        self._version(lineage.get("source_version"))
        self._text(row["text"])
        self._labels(row["extra"])

    def of_recording(self, row: Mapping[str, Any]) -> None:
        self._people(row["consent"])
        self._add(Kind.RECORDING, row["recording_id"])
        self._add(Kind.PATH, row["source_path"])
        self._add(Kind.DIGEST, row["source_sha256"])
        self._add(Kind.DIGEST, row["catalogue_row_sha256"])
        self._version(row["source_version"])
        self._labels(row["extra"])

    def of_plan(self, row: Mapping[str, Any]) -> None:
        self._known.update(row["people"])
        self._add(Kind.RECORDING, row["recording_id"])
        self._add(Kind.PATH, row["source_path"])
        self._add(Kind.DIGEST, row["catalogue_row_sha256"])
        self._text(row["catalogue"].get("text"))
        for span in row["catalogue"].get("text_spans", ()):
            self._text(span.get("text"))
        self._labels(row["catalogue"].get("extra"))

    def of_ledger(self, lake: Lake) -> None:
        for _, event in lake.ledger().events_about(self.subjects, ()):
            if event.subject_id in self.subjects:
                self._known.add(event.subject_id)
                self._add(Kind.GRANT, event.grant_id)

    def check(self, lake: Lake) -> None:
        for subject in self.subjects:
            if subject not in self._known:
                raise ConfigError(f"{lake.root.uri}: neither the lake nor its ledger knows the subject {subject}")

    def terms(self) -> list[Term]:
        return [
            Term(kind, f"{kind} {number}", word)
            for kind, found in self._found.items()
            for word, number in found.items()
        ]

    def _people(self, consent: Any) -> None:
        for link in consent or ():
            if link["subject_id"] in self.subjects:
                self._known.add(link["subject_id"])
                self._add(Kind.GRANT, link["grant_id"])

    def _version(self, version: str | None) -> None:
        # A checksum says whose file it was; a time and a size, or a generation, come in many places.
        if version and re.fullmatch(r"[0-9a-fA-F]{32,}|[A-Za-z0-9+/]{22,}={0,2}", version):
            self._add(Kind.DIGEST, version)

    def _labels(self, extra: Any) -> None:
        for value in dict(extra or {}).values():
            if value and len(str(value).encode()) >= _LABEL_BYTES:
                self._add(Kind.LABEL, str(value))

    def _text(self, text: str | None) -> None:
        if text and text.strip():
            number = self._number(Kind.TEXT)
            for piece in text_pieces(text):
                self._add(Kind.TEXT, piece, number)

    def _add(self, kind: Kind, word: str | None, number: int | None = None) -> None:
        found = self._found.setdefault(kind, {})
        if not word or word in found:
            return
        if kind not in _ALWAYS and len(word.encode("utf-8", "surrogateescape")) < MIN_BYTES:
            self.left_out["too_short"] = self.left_out.get("too_short", 0) + 1
            return
        found[word] = self._number(kind) if number is None else number

    def _number(self, kind: Kind) -> int:
        self._seen[kind] = self._seen.get(kind, 0) + 1
        return self._seen[kind]


def text_pieces(text: str) -> list[str]:
    """The whole of a short text; of a longer one some stretches of whole words, from its beginning to its end.

    >>> text_pieces("good morning")
    ['good morning']
    >>> text_pieces("the quick brown fox jumps over the lazy dog and runs away")
    ['the quick brown fox jumps', 'over the lazy dog and runs away']
    """
    pieces_of: list[str] = []
    held = ""
    for word in text.split(" "):
        held = f"{held} {word}" if held else word
        if len(held.encode("utf-8", "surrogateescape")) >= _PIECE_BYTES:
            pieces_of.append(held)
            held = ""
    if held and pieces_of:
        pieces_of[-1] += f" {held}"
    elif held:
        pieces_of.append(held)
    if len(pieces_of) <= _PIECES:
        return pieces_of
    return [pieces_of[round(n * (len(pieces_of) - 1) / (_PIECES - 1))] for n in range(_PIECES)]


# --- rows -------------------------------------------------------------------------------------------------------------


def _names(subjects: Sequence[str]) -> str:
    return f"[{', '.join(map(quoted, subjects))}]"


def _is_theirs(subjects: Sequence[str]) -> str:
    people = "list_transform(consent, lambda c: c.subject_id)"
    return f"coalesce(list_has_any({people}, {_names(subjects)}), false)"


def _rows(connection: duckdb.DuckDBPyConnection, view: str, subjects: Sequence[str]) -> Iterator[dict[str, Any]]:
    names, batches = select(connection, f"select * from {view} where {_is_theirs(subjects)}")
    for batch in batches:
        yield from (dict(zip(names, row, strict=True)) for row in batch)


_PLAN = "recording_id, source_path, catalogue_row_sha256, catalogue_row"


def _plan_rows(connection: duckdb.DuckDBPyConnection, subjects: Sequence[str]) -> Iterator[dict[str, Any]]:
    for subject in subjects:
        # Looked for as JSON has it, and then for sure; most rows of a plan are not worth parsing.
        like = quoted(json.dumps(subject, ensure_ascii=False))
        for row in records(connection, f"select {_PLAN} from plans where contains(catalogue_row, {like})"):
            catalogue = json.loads(row["catalogue_row"])
            people = {one.get("subject_id") for one in catalogue.get("subjects", ())} & set(subjects)
            if people:
                yield {**row, "catalogue": catalogue, "people": people}


_EXTRA = "array_to_string(map_values(extra), chr(10))"
_SOURCE = ("source_path", "source_version", "source_sha256", "catalogue_row_sha256")
_LINEAGE = ", ".join(f"lineage.{name}" for name in _SOURCE)
_RECORDED = "recording_id, source_path, source_version, source_sha256, catalogue_row_sha256, detail"
_OTHERS = {
    "utterances_all": ("lineage.source_path", f"concat_ws(chr(10), key, audio_sha256, text, {_LINEAGE}, {_EXTRA})"),
    "recordings_all": ("source_path", f"concat_ws(chr(10), {_RECORDED}, {_EXTRA})"),
}
"""Where a row says its source, and all of its words."""


def _shared(
    connection: duckdb.DuckDBPyConnection, terms: Sequence[Term], subjects: Sequence[str], report: Counted
) -> list[Term]:
    """The terms that rows hold which are of other people. A row that names nobody is theirs where its source is."""
    numbered = [Term(term.kind, str(n), term.text) for n, term in enumerate(terms)]
    encodings = frozenset(encoding.name for encoding in ENCODINGS) - {"plain"}
    searcher = Searcher(Needles(tuple(numbered)), encodings)
    paths = [term.text for term in terms if term.kind is Kind.PATH]
    found: set[int] = set()
    done = 0
    for view, (path, words) in _OTHERS.items():
        theirs = f"{_is_theirs(subjects)} or (coalesce(len(consent), 0) = 0 and {path} in (select unnest($1)))"
        _, batches = select(connection, f"select {words} from {view} where not ({theirs})", [paths])
        for batch in batches:
            text = "\n".join(row[0] for row in batch if row[0]).encode("utf-8", "surrogateescape")
            found.update(int(pattern.label) for _, pattern in searcher.find(text))
            done += len(batch)
            report("rows of others read", done)
    return [terms[n] for n in sorted(found)]


# --- voices -----------------------------------------------------------------------------------------------------------


def _voices(lake: Lake, spoken: Sequence[Mapping[str, Any]], report: Counted) -> tuple[Voices, int]:
    """Landmarks of each utterance's audio, and how many have none to speak of."""
    found: list[tuple[str, landmarks.Hashes, landmarks.Frames]] = []
    done: set[str] = set()
    silent = 0
    for row in spoken:
        if row["audio_sha256"] in done:
            continue
        done.add(row["audio_sha256"])
        begin, size = row["audio_offset"], row["audio_size"]
        parts = list(_landmarks(lake.root.read(row["shard"], begin, begin + size), f"{row['shard']} at {begin}"))
        bins = np.concatenate([landmarks.frequencies(hashes) for hashes, _ in parts]) if parts else np.zeros(0)
        if len(bins) < _MIN_PAIRS or len(np.unique(bins)) < landmarks.MIN_FREQUENCIES:
            silent += 1
            continue
        found += [(f"voice {len(done)}", hashes, frames) for hashes, frames in parts]
        report("utterances heard", len(done))
    return Voices.of(found), silent


def _landmarks(audio: bytes, where: str) -> Iterator[tuple[landmarks.Hashes, landmarks.Frames]]:
    try:
        for begin_s, channels in pieces(by_libsndfile(window(memoryview(audio)))):
            for channel in channels:
                hashes, frames = landmarks.landmarks(channel)
                yield hashes, (frames + round(begin_s / landmarks.FRAME_S)).astype(np.int32)
    except ValueError as error:
        raise LakeError(f"{where} does not decode, so its voice cannot be looked for: {error}") from None
