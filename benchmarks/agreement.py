"""Do the reference and the vectorised evaluator of consent agree? So many random cases, and every disagreement found.

    python -m benchmarks.agreement [--cases 1000000] [--seed 1000] [--processes 2]

A case is a small ledger, a record, a use and an instant; both must tell the same reason, subject and grant, or the same
justifications and end.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

WORLDS, RECORDS = 20, 10
"""Ledgers per batch, and records asked about in each: a batch is decided at once."""


def disagreeing(seeds: Iterable[int]) -> tuple[int, list[tuple[int, Any]]]:
    """Cases tried, and (seed, what was found) of those on which the two disagree, for a batch per seed."""
    from tests.transforms.consent_cases import disagreements, events_table, random_batch
    from transforms.consent_reference import decide_reference
    from transforms.consent_table import decide_table, tables_of

    cases, found = 0, []
    for seed in seeds:
        batch = random_batch(random.Random(seed), WORLDS, RECORDS)
        cases += len(batch.records)
        tables = tables_of(events_table(batch.events), len(batch.events))
        found += [(seed, one) for one in disagreements(batch, decide_reference, tables, decide_table)]
    return cases, found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=1_000_000, help="cases to try (default a million)")
    parser.add_argument("--seed", type=int, default=1_000, help="seed of the first batch (default 1000)")
    parser.add_argument("--processes", type=int, default=2, help="processes to try them in (default 2)")
    options = parser.parse_args()
    batches = -(-options.cases // (WORLDS * RECORDS))
    seeds = range(options.seed, options.seed + batches)
    start = time.perf_counter()
    with ProcessPoolExecutor(options.processes) as pool:
        done = list(pool.map(disagreeing, (seeds[n : n + 50] for n in range(0, batches, 50))))
    cases, found = sum(cases for cases, _ in done), [one for _, some in done for one in some]
    for seed, one in found[:3]:
        sys.stdout.write(f"seed {seed}: {one}\n")
    sys.stdout.write(f"{cases:,} cases, {len(found):,} disagreements, {time.perf_counter() - start:.0f} s\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
