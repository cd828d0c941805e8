"""How well each measurement measures, on recordings that nothing was tuned on.

    python -m benchmarks.accuracy [--only NAME ...] [--quick] [--json FILE] [--write docs/accuracy.md]

A table per measurement, ours beside public estimators on the same clips. Everything drawn is seeded: the same command
gives the same figures.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.accuracy import borrowed, page, rooms, snr, vad
from benchmarks.accuracy.result import Result
from benchmarks.corpus import NoAudio

MEASUREMENTS: dict[str, Callable[[bool], Result]] = {
    "snr": snr.measured,
    "rooms": rooms.measured,
    "vad": vad.measured,
    "channel": borrowed.damage,
    "people": borrowed.people,
}


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy", description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=MEASUREMENTS, metavar="NAME", help=", ".join(MEASUREMENTS))
    parser.add_argument("--quick", action="store_true", help="about a third of the clips: minutes, coarser figures")
    parser.add_argument("--json", type=Path, help="also write every figure here")
    parser.add_argument("--write", type=Path, help="also put the tables into this page")
    return parser.parse_args()


def main() -> int:
    asked = _asked()
    figures: dict[str, object] = {"quick": asked.quick}
    try:
        for name in asked.only or MEASUREMENTS:
            began = time.perf_counter()
            result = MEASUREMENTS[name](asked.quick)
            for table in result.tables:
                print(f"\n{table.title}\n\n{table.text()}", flush=True)
            print(f"\n{name}: {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
            figures[name] = result.figures
            if asked.write:
                for left in page.write(asked.write, result.tables):
                    print(f"{asked.write} has no place for {left}", file=sys.stderr)
    except (NoAudio, page.NoPlace) as error:
        print(error, file=sys.stderr)
        return 2
    if asked.json:
        asked.json.write_text(json.dumps(figures, indent=1, ensure_ascii=False, default=str) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
