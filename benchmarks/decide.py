"""Deciding ten million utterances: seconds and memory per step, from the Parquet of a snapshot to a verdict per row.

    python -m benchmarks.decide [--rows 10000000] [--threads 2] [--repeat 3] [--json FILE]

A hundredth as many subjects as rows, half as many grants again, twenty rows per recording; some recordings with two or
three people. The measure beside it is DuckDB counting the rows of the same files that pass a filter on two columns,
with as many threads, so that figures of two machines can be compared.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.consent_lake import AT, USE, folder, vocabulary
from benchmarks.corpus import CACHE, ROOT
from benchmarks.tables import table
from transforms.consent_table import (
    Asked,
    ConsentTables,
    ask,
    decide_asked,
    file_runs,
    recheck_table,
    tables_of,
    with_source_ids,
)

INDEX_ROWS = 1_000_000


class Clock:
    """Wall and CPU seconds by step, the fastest of several rounds."""

    def __init__(self) -> None:
        self.steps: dict[str, tuple[float, float]] = {}

    @contextmanager
    def of(self, step: str) -> Iterator[None]:
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        spent = time.perf_counter() - wall, time.process_time() - cpu
        self.steps[step] = min(self.steps.get(step, spent), spent)


def decide_files(files: list[Path], tables: ConsentTables, at: datetime, threads: int, clock: Clock) -> dict[str, Any]:
    """The verdict on every row of `files`, and what is needed to go on with."""
    with clock.of("decide, end to end"):
        with clock.of("- ask the grants"):
            asked = ask(USE, tables, at)
        with clock.of("- read, find runs, decide, expand"), ThreadPoolExecutor(threads) as pool:
            found = list(pool.map(lambda file: _decided(file, asked), files))
        allowed = np.concatenate([allowed for *_, allowed in found])
    records, decisions = (pa.concat_tables([one[n] for one in found]) for n in (0, 2))
    lengths = np.concatenate([one[1] for one in found])
    return {"records": records, "lengths": lengths, "decisions": decisions, "allowed": allowed}


def _decided(file: Path, asked: Asked) -> tuple[pa.Table, Any, pa.Table, Any]:
    """(runs, rows in each, decisions, verdict per row) of one file."""
    found = list(file_runs(file, names_sources=False))
    records, lengths = pa.concat_tables([one for one, _ in found]), np.concatenate([count for _, count in found])
    decisions = decide_asked(records, asked)
    return records, lengths, decisions, np.repeat(np.asarray(decisions["allowed"]), lengths)


def step_by_step(files: list[Path], asked: Asked, clock: Clock) -> None:
    """The same on one thread, so that each step can be told apart."""
    with clock.of("one thread: read and find runs"):
        found = [run for file in files for run in file_runs(file, names_sources=False)]
    records = pa.concat_tables([one for one, _ in found])
    with clock.of("one thread: decide runs"):
        decisions = decide_asked(records, asked)
    with clock.of("one thread: expand to rows"):
        np.repeat(np.asarray(decisions["allowed"]), np.concatenate([count for _, count in found]))


def index_of(found: dict[str, Any], clock: Clock) -> pa.Table:
    """The first million rows that are allowed, as the index of a release has them."""
    decisions, lengths = found["decisions"], found["lengths"]
    chosen = np.flatnonzero(np.asarray(decisions["allowed"]))
    chosen = chosen[: int(np.searchsorted(np.cumsum(lengths[chosen]), INDEX_ROWS)) + 1]
    with clock.of(f"name the sources of {len(chosen):,} runs"):
        records = with_source_ids(found["records"].take(pa.array(chosen)))
    for name in ("justifications", "allowed_until"):
        records = records.append_column(name, decisions[name].take(pa.array(chosen)))
    return records.take(pa.array(np.repeat(np.arange(len(chosen)), lengths[chosen])[:INDEX_ROWS])).combine_chunks()


def count_by_duckdb(files: list[Path], threads: int, clock: Clock) -> int:
    """Rows that pass a plain filter, by DuckDB."""
    import duckdb

    with duckdb.connect(config={"threads": threads}) as connection, clock.of("count(*) where …, by DuckDB"):
        names = ", ".join(f"'{file}'" for file in files)
        asked = f"select count(*) from read_parquet([{names}]) where consent_complete and collected_at > '2020-01-01'"
        return int(connection.execute(asked).fetchall()[0][0])


def bytes_per_row(files: list[Path]) -> dict[str, float]:
    """Compressed bytes in Parquet per row, by column."""
    spent: dict[str, int] = {}
    rows = 0
    for file in files:
        about = pq.read_metadata(file)
        rows += about.num_rows
        for group in range(about.num_row_groups):
            for number in range(about.num_columns):
                column = about.row_group(group).column(number)
                name = column.path_in_schema.split(".")[0]
                spent[name] = spent.get(name, 0) + column.total_compressed_size
    return {name: size / rows for name, size in spent.items()}


def peak_bytes() -> int:
    """Most memory that this process has had, by the kernel."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def measure(rows: int, threads: int, repeat: int) -> dict[str, Any]:
    """All figures of the report."""
    place = CACHE / f"consent-{rows}"
    # In a process of its own, whose memory is not this one's.
    subprocess.run([sys.executable, "-m", "benchmarks.consent_lake", str(rows)], cwd=ROOT, check=True)
    files, clock = sorted(place.glob("utterances-*.parquet")), Clock()
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=AT)
    for _ in range(repeat):
        with clock.of("fold the ledger"):
            events = pq.read_table(folder(rows) / "events.parquet")
            tables = tables_of(events, events.num_rows)
        found = decide_files(files, tables, at, threads, clock)
    peak = peak_bytes()
    for _ in range(repeat):
        step_by_step(files, ask(USE, tables, at), clock)
    index = index_of(found, clock)
    late = events.num_rows - rows // 100
    since = {"nothing since": events.slice(0, 0), "1,000 events since": events.slice(late, 1_000)}
    spoken = vocabulary()
    for _ in range(repeat):
        count_by_duckdb(files, threads, clock)
        for name, new in since.items():
            with clock.of(f"recheck {index.num_rows:,} rows, {name}"):
                kept = recheck_table(index, USE, new, spoken, at)
            if name == "nothing since" and not all(kept["allowed"].to_pylist()):
                raise SystemExit("a release was denied what it had been allowed, with nothing said since")
    return {
        "rows": rows,
        "runs": len(found["lengths"]),
        "allowed": int(found["allowed"].sum()),
        "events": events.num_rows,
        "grants": len(tables.grants.ids),
        "steps": clock.steps,
        "peak_bytes": peak,
        "bytes_per_row": bytes_per_row(files),
    }


def shown(report: dict[str, Any]) -> str:
    """A row per step, and what else was measured."""
    counted = report["steps"]["count(*) where …, by DuckDB"][1]
    rows = [
        [name, f"{wall:.2f}", f"{cpu:.2f}", f"{cpu / counted:.1f}"] for name, (wall, cpu) in report["steps"].items()
    ]
    size = dict(report["bytes_per_row"])
    about = (
        f"{report['rows']:,} utterances in {report['runs']:,} runs, {report['grants']:,} grants, "
        f"{report['events']:,} events; {report['allowed']:,} allowed"
    )
    memory = f"peak memory while deciding: {report['peak_bytes'] / 2**20:.0f} MiB"
    consent = f"bytes per row in Parquet: {size.pop('consent'):.2f} in `consent`; "
    others = ", ".join(f"{spent:.2f} in `{name}`" for name, spent in size.items())
    return (
        f"{about}\n\n{table(['step', 'wall s', 'CPU s', 'CPU, times counting'], rows)}\n\n{memory}\n{consent}{others}"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000, help="utterances (default ten million)")
    parser.add_argument("--threads", type=int, default=2, help="threads that read (default 2)")
    parser.add_argument("--repeat", type=int, default=3, help="rounds, of which the fastest counts (default 3)")
    parser.add_argument("--json", type=Path, help="also write the figures there")
    options = parser.parse_args()
    report = measure(options.rows, options.threads, options.repeat)
    sys.stdout.write(shown(report) + "\n")
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
