"""What a consent ledger of many events costs: to import, to ask about a few people, and to build on.

    python -m benchmarks.ledger [--events 1000000] [--work DIR] [--json FILE]

Three events in four give a grant, most of one rule and some of two; the fourth ends the one before it. Four people in
five have several grants. The files are written first and are not counted. Every step is a process of its own: what it
took and its largest resident size, with the processes it started, are the kernel's figures.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.corpus import ROOT
from benchmarks.processes import CommandFailed
from benchmarks.tables import table

GOAL_EVENTS = 20_000_000
BUILT_ON = 100_000
ASKED = 500
_ANY = '["any"]'
_FACETS = ",".join(f'"{name}":{_ANY}' for name in ("genre", "series", "role", "recipient", "territory"))
_PERMITS = f'{{"effect":"permit","action":["retain","annotate","train_asr"],"medium":{_ANY},{_FACETS}}}'
_RULES = (
    f"[{_PERMITS}]",
    f'[{_PERMITS},{{"effect":"prohibit","action":["clone"],"medium":{_ANY},{_FACETS}}}]',
)


def subject(number: int) -> str:
    return f"subject-{number:09d}"


def event_lines(first: int, events: int, people: int) -> Iterator[str]:
    """Lines of JSONL, the same on every machine: `first` tells one file from the next."""
    chance = random.Random(first)
    last = (first, subject(0))
    for n in range(first, first + events):
        if n % 4 != 3:
            who = subject(chance.randrange(people))
            evidence = hashlib.sha256(b"%d" % n).hexdigest()
            yield (
                f'{{"grant_id":"g-{n:010d}-{who}","subject_id":"{who}","evidence_sha256":"{evidence}",'
                '"jurisdiction":"EU","scope":{"kind":"all"},"valid_from":"2026-01-01","valid_until":"2028-01-01",'
                f'"rules":{_RULES[n % 5 == 0]}}}\n'
            )
            last = (n, who)
        else:
            yield (
                f'{{"type":"withdrawn","subject_id":"{last[1]}","grant_id":"g-{last[0]:010d}-{last[1]}",'
                '"recorded_at":"2026-05-04T09:30:00Z"}\n'
            )


def write_events(path: Path, first: int, events: int, people: int) -> None:
    with path.open("w") as file:
        file.writelines(event_lines(first, events, people))


# --- the steps, each in a process of its own --------------------------------------------------------------------------


def step_import(lake: str, file: str) -> None:
    from provoice.consent import import_files

    sys.stdout.write(import_files(lake, [file], ledger=None, dry_run=False))


def step_head(lake: str) -> None:
    from lake.lake import Lake

    sys.stdout.write(f"{Lake.open(lake).ledger().head()}\n")


def step_about(lake: str, people: str) -> None:
    from lake.lake import Lake
    from transforms.consent import fold

    asked = random.Random(7).sample(range(int(people)), ASKED)
    state = fold(Lake.open(lake).ledger().events_about([subject(n) for n in asked], ()))
    sys.stdout.write(f"{len(state.grants)} grants of {len(state.grants_of)} people\n")


def step_show(lake: str) -> None:
    from provoice.consent import show

    sys.stdout.write(show(lake, subject(1), False))


def step_nothing() -> None:
    """What every step pays before it begins."""
    import lake.lake  # noqa: F401


STEPS: dict[str, Callable[..., None]] = {
    "import": step_import, "head": step_head, "about": step_about, "show": step_show, "nothing": step_nothing,
}  # fmt: skip


def measured(name: str, arguments: list[str], log: Path) -> dict[str, Any]:
    """Wall seconds, CPU seconds and peak bytes of one step, which has every core, and what it said."""
    command = [sys.executable, "-m", "benchmarks.ledger", "--step", name, *arguments]
    with log.open("wb") as sink:
        began = time.perf_counter()
        child = subprocess.Popen(command, stdout=sink, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, cwd=ROOT)
        # wait4 and not Popen.wait: it alone says what this child used, with all that it waited for.
        _, status, usage = os.wait4(child.pid, 0)
        wall_s = time.perf_counter() - began
    child.returncode = os.waitstatus_to_exitcode(status)
    said = log.read_text(errors="replace").strip().splitlines()[-12:]
    if child.returncode != 0:
        raise CommandFailed("\n".join([f"{name} ended with {child.returncode}; it said:", *said]))
    cpu_s = usage.ru_utime + usage.ru_stime
    return {"wall_s": wall_s, "cpu_s": cpu_s, "peak_bytes": usage.ru_maxrss * 1024, "said": said[-1:]}


def report_of(events: int, work: Path, show: Callable[[str], None]) -> dict[str, Any]:
    """Figures of every step, in order."""
    lake, people, log = str(work / "lake"), max(ASKED, events // 4), work / "log"
    report: dict[str, Any] = {"events": events, "people": people}
    for name, first, count in (("import", 0, events), ("import more", events, BUILT_ON)):
        path = work / f"{first}.jsonl"
        write_events(path, first, count, people)
        report[f"{name}: file"] = {"bytes": path.stat().st_size}
        report[name] = measured("import", [lake, str(path)], log)
        path.unlink()
        show(f"{name}: {report[name]}")
    asked: list[tuple[str, list[str]]] = [
        ("nothing", []), ("head", [lake]), ("about", [lake, str(people)]), ("show", [lake]),
    ]  # fmt: skip
    for name, arguments in asked:
        report[name] = measured(name, arguments, log)
        show(f"{name}: {report[name]}")
    for folder in ("log", "projection"):
        report[folder] = {"bytes": sum(f.stat().st_size for f in (work / "lake/consent" / folder).rglob("*.*"))}
    return report


def shown(report: dict[str, Any]) -> str:
    """A row per step, and how long the goal would take at this pace."""
    named = {
        "import": f"import {report['events']:,} events",
        "import more": f"import {BUILT_ON:,} more, and build on",
        "nothing": "start a process, and do nothing",
        "head": "head of the ledger",
        "about": f"events about {ASKED} people, folded",
        "show": "consent show --subject",
    }
    rows = [
        [text, f"{report[name]['wall_s']:.1f}", f"{report[name]['cpu_s']:.1f}",
         f"{report[name]['peak_bytes'] / 2**20:.0f}"]
        for name, text in named.items()
    ]  # fmt: skip
    wall = report["import"]["wall_s"]
    pace = report["events"] / wall
    sizes = ", ".join(f"{name} {report[name]['bytes'] / 2**30:.2f} GiB" for name in ("log", "projection"))
    return (
        f"{table(['step', 'wall s', 'CPU s', 'peak MiB, largest process'], rows)}\n\n"
        f"{pace:,.0f} events a second; {GOAL_EVENTS:,} would take {GOAL_EVENTS / pace / 60:.0f} minutes\n{sizes}"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--work", type=Path, metavar="DIR", help="where files and lake are made (default: temporary)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    parser.add_argument("--step", nargs="+", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.step:
        STEPS[asked.step[0]](*asked.step[1:])
        return 0
    began = time.monotonic()
    work = Path(tempfile.mkdtemp(prefix="provoice-ledger-", dir=asked.work))
    try:
        report = report_of(asked.events, work, lambda said: print(f"{time.monotonic() - began:.0f} s  {said}"))
    except CommandFailed as error:
        print(f"benchmarks.ledger: {error}", file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(work, ignore_errors=True)
    print(f"\n{shown(report)}")
    if asked.json:
        asked.json.write_text(json.dumps(report, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
