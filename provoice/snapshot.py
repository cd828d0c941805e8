"""What `provoice snapshot` says."""

from __future__ import annotations

import json
from dataclasses import asdict

from lake.lake import Lake
from pipelines.snapshot import Taken, snapshot
from provoice.words import several, size


def command(lake_uri: str, as_json: bool) -> str:
    """Takes a snapshot if anything has come since the last; what it did, as text or as one JSON object."""
    lake = Lake.open(lake_uri)
    lake.root.check_exclusive_create()
    taken = snapshot(lake)
    if as_json:
        return json.dumps(asdict(taken)) + "\n"
    return _said(lake.root.uri, taken)


def _said(uri: str, taken: Taken) -> str:
    if taken.number is None:
        so_far = f"the newest snapshot holds all of its {several(taken.commits, 'commit')}"
        return f"nothing to do: {so_far if taken.commits else f'{uri} has no commit yet'}\n"
    superseded = taken.rows["utterances_superseded"] + taken.rows["recordings_superseded"]
    made = f"{taken.files_made:,} made ({size(taken.bytes_made)})"
    current = f"{several(taken.rows['utterances'], 'utterance')} of {several(taken.rows['recordings'], 'source')}"
    return (
        f"snapshot {taken.number} of {uri}\n"
        f"  commits  {taken.commits_folded:,} folded, {taken.commits:,} in all\n"
        f"  files    {made}, {taken.files_kept:,} kept, {taken.files_replaced:,} replaced\n"
        f"  rows     {current}; {several(superseded, 'superseded row')} apart\n"
        f"  took     {taken.wall_s:,.1f} s\n"
    )
