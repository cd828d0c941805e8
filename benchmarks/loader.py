"""The loader beside plain `webdataset` on the same shards, and what opening costs.

    python -m benchmarks.loader [--utterances 4000] [--rows 1000000] [--repeats 5]

Throughput is in samples a second of one process, warm cache, local disk, undecoded: FLAC, text and JSON, which provoice
hands out as a dict, and webdataset in a line of its own. Contenders take turns, so that what else the machine does
meets all of them; the median is shown. With two DataLoader workers, samples also cross a queue.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.corpus import ROOT
from benchmarks.loader_lake import NAME, index_lake, person, shards_lake, withdrawal
from benchmarks.tables import table
from lake.lake import Lake
from provoice import open_release
from schemas.errors import ConsentError

WHO: dict[str, Any] = {"owner": "benchmarks", "purpose": "how fast it is"}
_SAW = """
import sys, time
from provoice import open_release
start = time.perf_counter()
try:
    open_release(sys.argv[1], sys.argv[2], owner="benchmarks", purpose="how fast it is", record=False)
except Exception as error:
    print(type(error).__name__, time.perf_counter() - start)
"""


class Reading(NamedTuple):
    """One pass over everything."""

    samples: int
    per_s: float
    first_s: float


def read_through(opened: Callable[[], Iterable[Any]]) -> Reading:
    """Opens, and takes every sample."""
    start = time.perf_counter()
    first_s, count = 0.0, 0
    for _ in opened():
        first_s = first_s or time.perf_counter() - start
        count += 1
    return Reading(count, count / (time.perf_counter() - start), first_s)


def provoice(folder: Path, **options: Any) -> Any:
    return open_release(str(folder), NAME, record=False, **WHO, **options)


def webdataset(folder: Path, *, parsed: bool = False) -> Any:
    import webdataset as wds

    plain = wds.WebDataset(sorted(str(path) for path in folder.glob("shards/*/*.tar")), shardshuffle=False)
    return plain.map(_parsed) if parsed else plain


def _parsed(sample: dict[str, Any]) -> dict[str, Any]:
    return {**sample, "json": json.loads(sample["json"]), "txt": sample["txt"].decode()}


def in_workers(dataset: Any) -> Any:
    """Two DataLoader workers, one sample at a time."""
    from torch.utils.data import DataLoader

    return DataLoader(dataset, batch_size=None, num_workers=2)


def contenders(folder: Path) -> dict[str, Callable[[], Iterable[Any]]]:
    """Each opens anew when it is called."""
    return {
        "webdataset": lambda: webdataset(folder),
        "webdataset, JSON parsed": lambda: webdataset(folder, parsed=True),
        "provoice": lambda: provoice(folder),
        "provoice, verify=False": lambda: provoice(folder, verify=False),
        "provoice, shuffled, verify=False": lambda: provoice(folder, verify=False, shuffle=True),
        "webdataset, 2 workers": lambda: in_workers(webdataset(folder)),
        "provoice, 2 workers": lambda: in_workers(provoice(folder)),
        "provoice, 2 workers, verify=False": lambda: in_workers(provoice(folder, verify=False)),
    }


def throughput(folder: Path, repeats: int) -> str:
    """The table of all contenders, who took turns."""
    import torch.utils.data  # noqa: F401  (what only some of them import would be charged to them)
    import webdataset as wds  # noqa: F401

    runs: dict[str, list[Reading]] = {name: [] for name in contenders(folder)}
    for turn in range(repeats + 1):
        for name, opened in contenders(folder).items():
            reading = read_through(opened)
            if turn:  # the first warms the cache
                runs[name].append(reading)
    speed = {name: statistics.median(one.per_s for one in readings) for name, readings in runs.items()}
    rows = []
    for name, readings in runs.items():
        beside = speed["webdataset, 2 workers" if "workers" in name else "webdataset"]
        first = statistics.median(one.first_s for one in readings)
        rows.append([name, f"{speed[name]:,.0f}", f"{100 * speed[name] / beside:.0f} %", f"{1000 * first:.0f}"])
    return table(["", "samples/s", "of webdataset", "first sample, ms"], rows)


def later_epochs(folder: Path, repeats: int) -> str:
    """Digests are looked at once in a process: what an epoch after the first costs."""
    dataset = provoice(folder)
    first, *later = [read_through(lambda: dataset) for _ in range(repeats + 1)]
    speed = statistics.median(one.per_s for one in later)
    return f"provoice, first epoch {first.per_s:,.0f} samples/s, later ones {speed:,.0f}"


def opening(folder: Path, repeats: int) -> str:
    """Opening an index, and seeing a withdrawal, on a copy of the lake."""
    copy = folder.with_name(f"{folder.name}-copy")
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(folder, copy)
    plain = statistics.median(_seconds(lambda: provoice(copy)) for _ in range(repeats))
    rows = len(provoice(copy))
    ledger, seen, anew = Lake.open(str(copy)).ledger(), [], []
    for n in range(repeats):
        ledger.append([withdrawal(person(rows // 2 + 1000 * n), f"withdrawn-{n}")])
        seen.append(_seconds(lambda: provoice(copy)))
        asked = [sys.executable, "-c", _SAW, str(copy), NAME]
        said = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
        if said[:1] != [ConsentError.__name__]:
            raise RuntimeError(f"a withdrawal was not seen: {said}")
        anew.append(float(said[1]))
    events = ledger.head()
    shutil.rmtree(copy)
    return table(
        [f"{rows:,} rows, {events:,} events", "s"],
        [
            ["open", f"{plain:.2f}"],
            ["open after a withdrawal, until it is refused", f"{statistics.median(seen):.2f}"],
            ["the same in a new process, its imports on the way included", f"{statistics.median(anew):.2f}"],
        ],
    )


def _seconds(step: Callable[[], object]) -> float:
    start = time.perf_counter()
    with suppress(ConsentError):
        step()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--utterances", type=int, default=4000)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=5)
    told = parser.parse_args()
    folder = shards_lake(told.utterances, 500)
    print(throughput(folder, told.repeats), flush=True)
    print(f"\n{later_epochs(folder, told.repeats)}\n", flush=True)
    print(opening(index_lake(told.rows), told.repeats))


if __name__ == "__main__":
    main()
