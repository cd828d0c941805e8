"""What it costs to be told, years later, who used what: views of uses, a person's report, a proof, and audit rows.

    python -m benchmarks.audit [--utterances 200000] [--json FILE]

The lake is that of `benchmarks.release`: merged files of a million rows, a hundredth as many people as rows. A release
of it is registered as trained on, a person in it withdraws, and another trains on it afterwards. Each question is asked
once in this process, which has imported what it needs but read nothing: its wall time and its CPU seconds. Starting
Python and importing come on top, and are told, too. On a machine that others use, CPU seconds are what can be compared.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.corpus import ROOT
from benchmarks.processes import CommandFailed
from benchmarks.release import NAME, WHERE
from benchmarks.release_lake import lake_of
from benchmarks.tables import table

_STARTING = "starting Python and importing"


class Steps:
    """Wall and CPU seconds of each step of this process."""

    def __init__(self) -> None:
        self.spent: dict[str, dict[str, float]] = {}

    def take(self, name: str, step: Callable[[], Any]) -> Any:
        cpu_s, wall_s = time.process_time(), time.perf_counter()
        found = step()
        cpu_s, wall_s = time.process_time() - cpu_s, time.perf_counter() - wall_s
        self.spent[name] = {"cpu_s": cpu_s, "wall_s": wall_s}
        return found


def measure(rows: int) -> dict[str, Any]:
    """All figures of the report."""
    import pipelines.person.report
    import provoice.sql

    # Where it began is not known here, so of starting there is only what it took of the processor.
    starting: dict[str, Any] = {"cpu_s": time.process_time(), "wall_s": None}
    from lake.audit import stored_rows
    from lake.lake import Lake

    subprocess.run([sys.executable, "-m", "benchmarks.release_lake", str(rows)], cwd=ROOT, check=True)
    uri = str(lake_of(rows))
    lake, steps = Lake.open(uri), Steps()
    record, who = _prepared(lake, uri, steps)

    def ask(query: str) -> Any:
        with provoice.sql.connect(lake, query) as connection:
            return provoice.sql.records(connection, query)

    steps.take("view uses", lambda: ask("from uses"))
    steps.take("view uses_after_withdrawal", lambda: ask("from uses_after_withdrawal"))
    steps.take("view uses_by_grant, one person", lambda: ask(f"from uses_by_grant where subject_id = '{who}'"))
    steps.take("consent report", lambda: pipelines.person.report.report_on(lake, who, datetime.now(UTC)))
    steps.take("view subject_report, one person", lambda: ask(f"from subject_report where subject_id = '{who}'"))
    stored = stored_rows(record)
    return {
        "rows": rows, "chosen": record.chosen.utterances, "people": record.chosen.people,
        "audit_rows": stored.rows if stored else 0, "audit_bytes": stored.size_bytes if stored else 0,
        "steps": {_STARTING: starting, **steps.spent},
    }  # fmt: skip


def _prepared(lake: Any, uri: str, steps: Steps) -> tuple[Any, str]:
    """A release with audit rows, used before and after a person in it withdrew; and that person."""
    from lake import layout
    from lake.audit import read_rows, stored_rows
    from lake.releases import create_release, newest_version, read_release
    from pipelines.release.audit import write_audit_rows

    if not newest_version(lake, NAME):
        _make(uri)
    record = read_release(lake, NAME)
    rows = steps.take("audit rows of the release", lambda: write_audit_rows(lake, NAME, record.version, record.index))
    if stored_rows(record) is None:  # a release of an earlier provoice: its index goes on under a record of this one
        lake.root.delete(layout.release_path(NAME, record.version))
        rows = write_audit_rows(lake, NAME, record.version + 1, record.index)
        record = create_release(lake, record.model_copy(update={"version": record.version + 1, "audit": rows}).sealed())
    people = read_rows(lake, rows)["subject_id"]
    who = str(people[len(people) // 2].as_py())
    for words in (
        ["release", "use", uri, NAME, "--model", "early", "--owner", "bench"],
        ["consent", "withdraw", uri, "--subject", who],
        ["release", "use", uri, NAME, "--model", "late", "--owner", "bench"],
    ):
        subprocess.run(_provoice(*words), cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return record, who


def _make(uri: str) -> None:
    from benchmarks.consent_lake import USE

    with tempfile.TemporaryDirectory() as folder:
        use = Path(folder) / "use.yaml"
        use.write_text("".join(f'{key}: "{value}"\n' for key, value in USE.model_dump(mode="json").items()))
        words = _provoice("release", "create", uri, NAME, "--use", str(use), "--where", WHERE)
        subprocess.run(words, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


def _provoice(*words: str) -> list[str]:
    return [sys.executable, "-m", "provoice", *words]


def shown(report: dict[str, Any]) -> str:
    """A row per step, and what there was."""
    rows = [
        [name, "–" if one["wall_s"] is None else f"{one['wall_s']:.2f}", f"{one['cpu_s']:.2f}"]
        for name, one in report["steps"].items()
    ]
    about = (
        f"{report['rows']:,} utterances; a release of {report['chosen']:,} of {report['people']:,} people, "
        f"{report['audit_rows']:,} audit rows in {report['audit_bytes'] / 2**20:.1f} MiB"
    )
    return f"{about}\n\n{table(['step', 'wall s', 'CPU s'], rows)}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--utterances", type=int, default=200_000, help="how many there are (default 200,000)")
    parser.add_argument("--json", type=Path, help="also write the figures there")
    options = parser.parse_args()
    try:
        report = measure(options.utterances)
    except (CommandFailed, subprocess.CalledProcessError) as error:
        print(f"benchmarks.audit: {error}", file=sys.stderr)
        return 1
    sys.stdout.write(shown(report) + "\n")
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
