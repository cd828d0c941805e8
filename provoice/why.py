"""What became of a recording or an utterance, and why: as text, as JSON, or who spoke when as RTTM."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import PurePosixPath

from lake.lake import Lake
from provoice.asking import plain
from provoice.history import Row, Story, find
from provoice.reasons import help_for
from provoice.why_words import told
from schemas.errors import ConfigError


def why(lake_uri: str, name: str, *, rttm: bool, as_json: bool) -> str:
    """The story of `name`: a key, a recording id, a path, or a source's URI. Raises ConfigError when it is unknown."""
    lake = Lake.open(lake_uri)
    story = find(lake, name)
    if rttm:
        return _rttm(name, story)
    if as_json:
        return json.dumps(plain(_as_object(name, story)), ensure_ascii=False) + "\n"
    return told(story)


def _as_object(name: str, story: Story) -> Row:
    told = asdict(story)
    for source in told["sources"]:
        for row in source["rows"]:
            row["help"] = help_for(row["status"], row["reason"])
    return {"name": name, **told}


def _rttm(name: str, story: Story) -> str:
    """Who spoke when in the source's current row, or its newest."""
    from transforms.diarize.rttm import format_rttm

    if len(story.sources) > 1:
        roots = ", ".join(source.root for source in story.sources)
        raise ConfigError(f"{name} stands under several roots ({roots}); name one by its recording id or URI")
    source = story.sources[0]
    row = next((row for row in source.rows if row["is_current"]), source.rows[0] if source.rows else None)
    if row is None or not row["turns"] or not row["sample_rate_hz"]:
        raise ConfigError(f"{source.path} has no turns: it is {row['status'] if row else 'not committed yet'}")
    rate = row["sample_rate_hz"]
    turns = [(t["channel"], t["start_sample"] / rate, t["end_sample"] / rate, t["speaker"]) for t in row["turns"]]
    return format_rttm(PurePosixPath(source.path).stem, turns)
