"""The demo from its sources to its closing table."""

from __future__ import annotations

import csv
import json
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from lake.lake import Lake
from pipelines.catalogue import load_catalogue
from pipelines.config import load_config
from pipelines.run import Progress, Request, execute, start
from pipelines.sources import SourceRoot
from provoice import words
from provoice.consent import import_files, withdraw
from provoice.demo.sources import DemoSource, build, sample_conversation, spans_of
from provoice.progress import showing
from provoice.sql import connect
from schemas.consent import TERMS

_CONFIG = "configs/demo.yaml"
_ROOT = "demo"
_ANSWERS = """
select r.source_path, r.status, r.reason, r.duration_s, r.voices, r.utterances,
       median(u.snr_db) as snr_db, median(u.rt60_s) as rt60_s, median(u.c50_db) as c50_db,
       len(list_distinct(flatten(list([c.subject_id for c in u.consent])))) as people,
       median(u.loudness_lufs) as loudness_lufs, median(u.clipping_ratio) as clipping_ratio
from recordings r left join utterances u on u.recording_id = r.recording_id
group by all order by r.source_path
"""


def demo(folder: Path) -> str:
    """Builds the sources, asks for consent, runs the main job, and returns the closing table."""
    began = time.monotonic()
    sources = build(folder / "sources")
    rttm = sample_conversation()[1]
    catalogue, grants, lake_uri = folder / "catalogue.csv", folder / "grants.jsonl", str(folder / "lake")
    _write_catalogue(catalogue, folder, sources, rttm)
    if not Lake.exists(lake_uri):
        _write_grants(grants)
        _write_use(folder / "use.yaml")
        sys.stdout.write(import_files(lake_uri, [str(grants)], ledger=None, dry_run=False))
        sys.stdout.write(withdraw(lake_uri, "leaver", None, "asked to be forgotten"))
    request = Request(
        Lake.open(lake_uri),
        load_config(_CONFIG),
        [SourceRoot(_ROOT, str((folder / "sources").resolve()))],
        load_catalogue(str(catalogue)),
    )
    with showing(lake_uri) as screen:
        started = start(request, screen.listed)
        if started is not None:
            screen.started(started)
            progress = execute(request, started, screen.committed)
    account = _account(started, progress, began) if started is not None else "nothing new: the lake holds it all\n"
    with connect(request.lake) as connection:
        answer = connection.execute(_ANSWERS)
        names = [column[0] for column in answer.description or ()]
        rows = {row[0]: dict(zip(names, row, strict=True)) for row in answer.fetchall()}
    return "\n" + table(sources, rows) + "\n" + account + _next_commands(folder, lake_uri)


def _account(started: Any, progress: Progress, began: float) -> str:
    return words.account(started.run, progress.counts, time.monotonic() - began)


def _write_catalogue(path: Path, folder: Path, sources: list[DemoSource], rttm: str) -> None:
    """One row per source: who speaks, when (the conversation's RTTM), and that this is everybody."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "subjects", "complete", "rttm", "accent", "language", "collected_at"])
        for source in sources:
            mine = folder / "rttm" / f"{Path(source.path).stem}.rttm"
            mine.parent.mkdir(exist_ok=True)
            mine.write_text(_rttm_for(source, rttm))
            writer.writerow(
                [source.path, ";".join(source.people), "true", f"rttm/{mine.name}", "American", "en", "2026-02-01"]
            )


def _rttm_for(source: DemoSource, rttm: str) -> str:
    """The conversation's spans under the names that this source's people have."""
    label_of = dict(zip(("speaker90", "speaker91"), source.people, strict=True))
    name = Path(source.path).stem
    return "".join(
        f"SPEAKER {name} 1 {start:.3f} {end - start:.3f} <NA> <NA> {label_of[label]} <NA> <NA>\n"
        for start, end, label in spans_of(rttm)
    )


def _write_grants(path: Path) -> None:
    """Two people permit keeping, annotating and training recognisers; the one who leaves had permitted too."""
    everything = {term: ["any"] for term in TERMS}
    now = datetime.now(UTC)
    grants = [
        {
            "grant_id": f"g-{person}",
            "subject_id": person,
            "evidence_sha256": f"{n:064x}",
            "jurisdiction": "EU",
            "scope": {"kind": "all"},
            "valid_from": (now - timedelta(days=365)).isoformat(),
            "valid_until": (now + timedelta(days=365)).isoformat(),
            "rules": [{"effect": "permit", "action": ["retain", "annotate", "train_asr"], **everything}],
        }
        for n, person in enumerate(("speaker90", "speaker91", "leaver"), 1)
    ]
    path.write_text("".join(json.dumps(grant) + "\n" for grant in grants))


def _write_use(path: Path) -> None:
    """A request that the demo's grants allow, to make a release with."""
    until = f"{datetime.now(UTC) + timedelta(days=180):%Y-%m-%d}"
    terms = dict.fromkeys(TERMS, "any") | {"recipient": "internal"}
    request = {"action": "train_asr", **terms, "until": until}
    path.write_text("".join(f"{key}: {value}\n" for key, value in request.items()))


def table(sources: list[DemoSource], rows: dict[str, dict[str, Any]]) -> str:
    """What was stated of each source beside what came of it."""
    lines = [("source", "stated", "measured", "became")]
    original = rows.get("original.wav", {}).get("loudness_lufs")
    for source in sources:
        row = rows[source.path]
        became = (
            f"{row['utterances']} utterances" if row["status"] == "emitted" else f"{row['status']}: {row['reason']}"
        )
        lines.append((source.path, source.stated, _measured(source, row, original), became))
    widths = [max(len(line[n]) for line in lines) for n in range(3)]
    text = ["  ".join([*(cell.ljust(w) for cell, w in zip(line, widths, strict=False)), line[3]]) for line in lines]
    return "\n".join([text[0], "─" * max(map(len, text)), *text[1:]]) + "\n"


def _measured(source: DemoSource, row: dict[str, Any], original_lufs: float | None) -> str:
    if row["status"] != "emitted":
        return "—"
    value = row[source.measure]
    if value is None:
        return "could not be measured"
    if source.measure == "loudness_lufs" and original_lufs is not None:
        return f"{original_lufs - value:.1f} dB quieter ({value:.1f} LUFS)"
    shown = {
        "people": lambda: f"{value} people, {row['duration_s']:.1f} s",
        "duration_s": lambda: f"{value:.1f} s",
        "snr_db": lambda: f"{value:.1f} dB (median)",
        "rt60_s": lambda: (
            f"{value:.2f} s, C50 {row['c50_db']:.1f} dB" if row["c50_db"] is not None else f"{value:.2f} s"
        ),
        "clipping_ratio": lambda: f"{value:.2%}",
    }
    return shown[source.measure]()


def _next_commands(folder: Path, lake_uri: str) -> str:
    provoice = ".venv/bin/provoice" if Path(".venv/bin/provoice").exists() else "provoice"
    return (
        f"\nnext:\n"
        f'  {provoice} sql {lake_uri} "select accent.label, count(*), sum(duration_s)/3600 from utterances '
        'group by 1"\n'
        f"  {provoice} why {lake_uri} withdrawn.wav\n"
        f"  {provoice} report {lake_uri} -o {folder / 'report.html'}\n"
        f'  {provoice} release create {lake_uri} clean --use {folder / "use.yaml"} --where "snr_db > 15" --dry-run\n'
    )
