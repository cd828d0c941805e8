"""The table of the fault harness: `python -m tests.faults [--level store|disk] [--command NAME] [--every N]`.

Every fault at every effect boundary of every command, two at a time; the exit code is 1 if anything did not survive.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

from tests.faults.commands import COMMANDS
from tests.faults.effects import Fault
from tests.faults.harness import LEVELS
from tests.faults.table import Line, measured, written


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--level", choices=LEVELS, action="append")
    parser.add_argument("--command", choices=list(COMMANDS), action="append")
    parser.add_argument("--every", type=int, default=1, help="only every n-th injection, for a quick look")
    parser.add_argument("--fault", choices=[fault.name.lower() for fault in Fault], action="append")
    parser.add_argument("--share", default="1/1", help="the k-th of n shares, as 3/20: what takes long, in parts")
    parser.add_argument("--distinct", action="store_true", help="only at effects that change something, and at the end")
    parser.add_argument("--processes", type=int, default=2)
    asked = parser.parse_args()
    mine, of = map(int, asked.share.split("/"))
    faults = [Fault[name.upper()] for name in asked.fault] if asked.fault else list(Fault)
    lines: list[Line] = []
    print(written([]))
    with tempfile.TemporaryDirectory(prefix="provoice-faults-") as folder:
        for level in asked.level or LEVELS:
            for name in asked.command or COMMANDS:
                place = Path(folder, f"{level}-{name}".replace(" ", "-"))
                place.mkdir()
                line = measured(
                    COMMANDS[name], level, place, asked.every, asked.processes, faults, (mine, of), asked.distinct
                )
                lines.append(line)
                print("\n".join([lines[-1].row(), *lines[-1].broken]), flush=True)
    print(Line.sum(lines).row())
    return 1 if any(line.broken for line in lines) else 0


if __name__ == "__main__":
    sys.exit(main())
