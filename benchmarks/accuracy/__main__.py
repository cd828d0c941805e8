"""How well each measurement measures, on recordings that nothing was tuned on.

    python -m benchmarks.accuracy [--only NAME ...] [--quick] [--json FILE] [--write docs/accuracy.md]

A table per measurement, ours beside public estimators on the same clips. Everything drawn is seeded: the same command
gives the same figures. What one measurement gave is written before the next begins; a command that was stopped says
what is left, and `--only` does it.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.accuracy import borrowed, crossed, page, rooms, snr, vad
from benchmarks.accuracy.result import Result
from benchmarks.corpus import NoAudio

MEASUREMENTS: dict[str, Callable[[bool], Result]] = {
    "snr": snr.measured,
    "rooms": rooms.measured,
    "vad": vad.measured,
    "crossed": crossed.measured,
    "channel": borrowed.damage,
    "accents": borrowed.accents,
    "people": borrowed.people,
}


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy", description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=MEASUREMENTS, metavar="NAME", help=", ".join(MEASUREMENTS))
    parser.add_argument("--quick", action="store_true", help="a quarter of the clips: coarser figures, sooner")
    parser.add_argument("--json", type=Path, help="also write every figure here")
    parser.add_argument("--write", type=Path, help="also put the tables into this page")
    return parser.parse_args()


def main() -> int:
    asked = _asked()
    names = asked.only or list(MEASUREMENTS)
    figures: dict[str, object] = {"quick": asked.quick}
    done = 0
    try:
        for name in names:
            figures[name] = _measured(name, asked)
            if asked.json:
                _write_figures(asked.json, figures)
            done += 1
    except (NoAudio, page.NoPlace) as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"stopped; what is left: --only {' '.join(names[done:])}", file=sys.stderr)
        return 130
    return 0


def _measured(name: str, asked: argparse.Namespace) -> dict[str, object]:
    """One measurement, its tables shown and written; its figures."""
    began, cpu = time.perf_counter(), time.process_time()
    result = MEASUREMENTS[name](asked.quick)
    for table in result.tables:
        print(f"\n{table.title}\n\n{table.text()}", flush=True)
    if asked.write:
        for left in page.write(asked.write, result.tables):
            print(f"{asked.write} has no place for {left}", file=sys.stderr)
    took = f"{time.perf_counter() - began:.0f} s, {time.process_time() - cpu:.0f} s of CPU"
    print(f"\n{name}: {took}", file=sys.stderr, flush=True)
    return result.figures


def _write_figures(path: Path, figures: dict[str, object]) -> None:
    path.write_text(json.dumps(figures, indent=1, ensure_ascii=False, default=str) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
