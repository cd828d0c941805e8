"""What an erasure costs: bytes written anew for each byte that goes, and the time until it is gone.

    python -m benchmarks.erasure [--people 2000] [--erase 1 10 100] [--json FILE]

A lake of so many people, each alone in two recordings of two utterances of 64 KiB, in units of forty recordings in the
order of a plan (by person), with a snapshot and a release of everybody. The audio is noise, for nothing is decoded.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from benchmarks.tables import table
from lake.commits import read_generation
from lake.lake import Lake
from lake.snapshots import newest_snapshot
from pipelines.erase.certificate import read_certificate
from pipelines.erase.erase import Wanted, erase
from pipelines.release.create import Wanted as Chosen
from pipelines.release.create import create
from pipelines.snapshot import snapshot
from schemas.consent import TERMS, Use
from schemas.ledger import Event, EventType
from tests import builders
from tests.builders import Made, write_run
from tests.consents import given, grant

_AUDIO_BYTES = 64 << 10
_UNIT_SOURCES = 40
_LATE = datetime(2120, 1, 1, tzinfo=UTC)
_USE = Use.model_validate({"action": "train_asr", "until": "2099-01-01", **dict.fromkeys(TERMS, "any")})


def make(folder: Path, people: int) -> Lake:
    """The lake, as the module says."""
    audio = os.urandom(_AUDIO_BYTES)
    builders.flac = lru_cache(lambda: audio)
    lake = Lake.create_or_open(str(folder / "lake"))
    names = [f"p{n:05d}" for n in range(people)]
    lake.ledger().append([given(grant(name, valid_until=_LATE)) for name in names])
    made = [Made(f"{name}/{n}.wav", {name: f"g-{name}"}, 2) for name in names for n in range(2)]
    units = [made[n : n + _UNIT_SOURCES] for n in range(0, len(made), _UNIT_SOURCES)]
    write_run(lake, folder, units, run_id="made", ledger_position=people)
    snapshot(lake)
    create(lake, Chosen(name="all", use=_USE))
    return lake


def measure(lake: Lake, people: Sequence[str]) -> dict[str, Any]:
    """Withdraws and erases them together; bytes and seconds."""
    before = {file.path for file in _files(lake)}
    began = time.monotonic()
    now = datetime.now(UTC)
    kind = EventType.WITHDRAWN
    lake.ledger().append([Event(event_id=f"out-{one}", type=kind, recorded_at=now, subject_id=one) for one in people])
    denied_s = time.monotonic() - began
    outcome = erase(lake, Wanted(tuple(people)))
    if not outcome.is_finished:
        raise SystemExit("an erasure in a lake at rest was not finished")
    said = read_certificate(lake, outcome.erasure.number).certificate
    audio = written = 0
    for unit in said.units:
        old = read_generation(lake, unit.run_id, unit.unit_id, unit.replaced_generation)
        new = read_generation(lake, unit.run_id, unit.unit_id, unit.generation)
        if old is None or new is None:
            raise SystemExit(f"unit {unit.unit_id} lost a commit")
        sizes = [sum(stored.size_bytes for stored in commit.objects) for commit in (old, new)]
        audio += sizes[0] - sizes[1]
        known = {stored.path for stored in old.objects}
        written += sum(stored.size_bytes for stored in new.objects if stored.path not in known)
    merged = sum(file.size_bytes for file in _files(lake) if file.path not in before)
    return {
        "people": len(people),
        "units": len(said.units),
        "utterances": said.utterances_erased,
        "erased_bytes": audio,
        "units_bytes": written,
        "snapshot_bytes": merged,
        "written_per_erased": round((written + merged) / audio, 1),
        "denied_s": round(denied_s, 2),
        "purged_s": round(outcome.wall_s, 1),
    }


def _files(lake: Lake) -> Sequence[Any]:
    head = newest_snapshot(lake)
    return [head.commits, *head.files] if head is not None else []


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.erasure", description=__doc__)
    parser.add_argument("--people", type=int, default=2000)
    parser.add_argument("--erase", type=int, nargs="+", default=[1, 10, 100])
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args(words)
    os.environ.setdefault("PROVOICE_SUPPRESSION_KEY", "a key for a lake that is thrown away")
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="provoice-erasure-") as folder:
        lake = make(Path(folder), asked.people)
        step = max(1, asked.people // (1 + sum(asked.erase)))  # people far apart, for nobody withdraws by the alphabet
        waiting = [f"p{n * step:05d}" for n in range(asked.people // step)]
        for count in asked.erase:
            some, waiting = waiting[:count], waiting[count:]
            rows.append(measure(lake, some))
    print(table(list(rows[0]), [[str(value) for value in row.values()] for row in rows]))
    if asked.json is not None:
        asked.json.write_text(json.dumps(rows, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
