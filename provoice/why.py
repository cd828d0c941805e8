"""What became of a recording or an utterance, in plain words."""

from __future__ import annotations

import difflib
import json
from collections.abc import Sequence
from typing import Any

import duckdb

from lake.lake import Lake
from lake.reader import LakeReader
from provoice.asking import plain
from provoice.sql import connect
from provoice.words import hours, several
from schemas.errors import REASON_HELP, ConfigError, Reason
from schemas.tables import MEASUREMENTS
from transforms.diarize.rttm import format_rttm

Row = dict[str, Any]

_HELD_HELP = "nothing of it was read or published; it is planned again when the decision changes"


def why(lake_uri: str, name: str, *, rttm: bool, as_json: bool) -> str:
    """The story of `name`: a key, a recording id, a path, or a source's URI. Raises ConfigError when it is unknown."""
    lake = Lake.open(lake_uri)
    with connect(lake) as connection:
        utterances = _rows(connection, "select * from utterances_all where key = ? order by run_number desc", name)
        recording_id = utterances[0]["recording_id"] if utterances else None
        recordings = _recordings(connection, lake, recording_id or name)
        if not recordings:
            raise ConfigError(_unknown(connection, lake_uri, name))
        if rttm:
            return _rttm(recordings[0])
        if as_json:
            return "".join(json.dumps(plain(row), ensure_ascii=False) + "\n" for row in [*utterances[:1], *recordings])
        current = {r["run_number"] for r in _recordings(connection, lake, recordings[0]["recording_id"], "recordings")}
    parts = [_utterance_story(utterances[0])] if utterances else []
    parts.append(_recording_story(recordings[0], is_current=recordings[0]["run_number"] in current))
    if len(recordings) > 1:
        parts.append("before:\n" + "".join(_before(row, row["run_number"] in current) for row in recordings[1:]))
    return "\n".join(parts)


def _rows(connection: duckdb.DuckDBPyConnection, query: str, *values: Any) -> list[Row]:
    answer = connection.execute(query, list(values))
    names = [column[0] for column in answer.description or ()]
    return [dict(zip(names, row, strict=True)) for row in answer.fetchall()]


def _recordings(connection: duckdb.DuckDBPyConnection, lake: Lake, name: str, view: str = "recordings_all") -> list[Row]:
    """Rows of the source, newest run first. A URI is taken apart at the roots of the lake's runs."""
    paths = {("", name)}
    for run in LakeReader(lake).runs:
        for root, uri in run.roots.items():
            if name.startswith(uri.rstrip("/") + "/"):
                paths.add((root, name[len(uri.rstrip("/")) + 1 :]))
    where = " or ".join("(source_path = ? and ? in ('', source_root))" for _ in paths)
    values = [value for root, path in sorted(paths) for value in (path, root)]
    return _rows(
        connection, f"select * from {view} where recording_id = ? or {where} order by run_number desc", name, *values
    )


def _unknown(connection: duckdb.DuckDBPyConnection, lake_uri: str, name: str) -> str:
    known = [row[0] for row in connection.execute("select distinct source_path from recordings_all limit 100000").fetchall()]
    close = difflib.get_close_matches(name.rsplit("/", 1)[-1], known, n=3, cutoff=0.5)
    near = f"; near it: {', '.join(close)}" if close else ""
    return f"{lake_uri} knows no utterance, recording, path or URI {name}{near}"


def _utterance_story(row: Row) -> str:
    measured = [f"{name} {row[name]:g}" for name in MEASUREMENTS if row[name] is not None]
    missing = [name for name in MEASUREMENTS if row[name] is None]
    rate = row["sample_rate_hz"]
    lines = [
        f"utterance {row['key']}",
        f"  from {row['start_sample'] / rate:.3f} s to {row['end_sample'] / rate:.3f} s of the recording "
        f"({row['duration_s']:.2f} s, {rate} Hz, channel {row['channel']})"
        + (f", speaker {row['speaker']}" if row["speaker"] else ""),
        f"  measured: {', '.join(measured) or 'nothing'}",
    ]
    if missing:
        lines.append(f"  could not be measured: {', '.join(missing)}")
    if row["accent"]:
        lines.append(f"  accent: {row['accent']['label']} ({row['accent']['origin']}, {row['accent']['label_set']})")
    lines += _consent_lines(row)
    place = f"bytes {row['audio_offset']}–{row['audio_offset'] + row['audio_size']} of {row['shard']}"
    return "\n".join([*lines, f"  lies at {place}"]) + "\n"


def _consent_lines(row: Row) -> Sequence[str]:
    people = [
        f"    {link['subject_id']} ({link['role']}), taken in on grant {link['grant_id'] or '— none was asked for'}, "
        f"bound by {link['binding']}"
        for link in row["consent"] or []
    ]
    state = "everybody heard is listed" if row["consent_complete"] else "not known to list everybody: no release takes it"
    return [f"  consent: {several(len(people), 'person', 'people')}; {state}", *people]


def _recording_story(row: Row, *, is_current: bool) -> str:
    lines = [
        f"source {row['source_path']} (root {row['source_root']}, version {row['source_version']})",
        f"  recording {row['recording_id']}, run {row['run_id']}, unit {row['unit_id']}"
        + ("" if is_current else "; superseded by a newer run or version"),
        f"  {row['status']}" + (f" at {row['stage']}: {row['reason']}: {row['detail']}" if row["reason"] else ""),
    ]
    if row["reason"]:
        known = row["status"] == "rejected" and row["reason"] in set(Reason)
        lines.append(f"  {REASON_HELP[Reason(row['reason'])] if known else _HELD_HELP}")
    if row["duration_s"] is not None:
        lines.append(
            f"  {row['container']}/{row['codec']} read by {row['decoder']}: {hours(row['duration_s'])}, "
            f"{row['sample_rate_hz']} Hz, {several(row['channels'], 'channel')} ({row['downmix']})"
        )
    if row["status"] == "emitted":
        voices = "" if row["voices"] is None else f", {several(row['voices'], 'voice')}"
        lines.append(
            f"  {hours(row['speech_s'])} of speech{voices}; {several(row['utterances'], 'utterance')}, "
            f"{hours(row['utterance_s'])}"
        )
        lines += _consent_lines(row)
    put_aside = [f"{entry['count']} {entry['reason']}" for entry in row["utterances_rejected"] or []]
    if put_aside:
        lines.append(f"  cuts put aside: {', '.join(put_aside)}")
    lines += [f"  note: {note}" for note in row["notes"] or []]
    return "\n".join(lines) + "\n"


def _before(row: Row, is_current: bool) -> str:
    said = f"{row['status']}" + (f" ({row['reason']})" if row["reason"] else "")
    return f"  run {row['run_id']}: {said}{', current' if is_current else ''}\n"


def _rttm(row: Row) -> str:
    rate = row["sample_rate_hz"]
    if not row["turns"] or not rate:
        raise ConfigError(f"{row['source_path']} has no turns: it is {row['status']}")
    turns = [(t["channel"], t["start_sample"] / rate, t["end_sample"] / rate, t["speaker"]) for t in row["turns"]]
    return format_rttm(row["recording_id"], turns)
