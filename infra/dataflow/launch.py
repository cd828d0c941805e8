"""What Dataflow's launcher runs: plans a run, or takes up the one that is open, and hands its units to Dataflow.

    python launch.py --config=configs/default.yaml --source=gs://raw --lake=gs://lake/main --runner=DataflowRunner …

The launcher passes a template's parameters as `--name=value`, together with the options of the job. It takes the job
from what the runner writes down, so nobody may wait here: `provoice run` with the same words, once the job has ended,
does what is left, takes the snapshot and says the account.
"""

# mypy: disallow-untyped-calls=False
from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence

import apache_beam as beam

from lake.commits import committed_units
from lake.lake import Lake
from lake.runs import read_plan_units
from pipelines.catalogue import load_catalogue
from pipelines.config import load_config
from pipelines.engines import beam_options
from pipelines.engines.beam_transform import PrepareUnits
from pipelines.engines.contract import Settings, Task
from pipelines.run import Request, start
from pipelines.sources import check_readable, parse_source
from pipelines.worker import PrepareWork
from provoice.cli.errors import exit_code
from schemas.errors import ConfigError, ProvoiceError

log = logging.getLogger("provoice.launch")
_SEPARATOR = ";"
"""Between values of one parameter: gcloud splits parameters at commas."""


def main(argv: Sequence[str]) -> int:
    """The exit code, as `provoice run` has it."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s %(message)s")
    try:
        return _launch(*_parsed(argv))
    except ProvoiceError as error:
        log.error("%s: %s", type(error).__name__, error)
        return exit_code(error)


def _parsed(argv: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """The template's parameters, and what is Beam's."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--config", default="configs/default.yaml")
    for name in ("source", "lake"):
        parser.add_argument(f"--{name}", required=True)
    for name in ("catalogue", "ledger", "run_id", "set"):
        parser.add_argument(f"--{name}")
    return parser.parse_known_args(argv)


def _request(given: argparse.Namespace, options: Sequence[str]) -> Request:
    config = load_config(given.config, [*_values(given.set), "engine=beam"])
    roots = [parse_source(text) for text in _values(given.source)]
    if not roots:
        raise ConfigError("nothing to read: the parameter `source` is empty")
    for root in roots:
        check_readable(root, config.sources)
    rows = load_catalogue(given.catalogue) if given.catalogue else None
    lake = Lake.create_or_open(given.lake, given.ledger or None)
    lake.root.check_exclusive_create()
    return Request(lake, config, roots, rows, given.run_id or None, False, tuple(options))


def _values(text: str | None) -> list[str]:
    return [value.strip() for value in (text or "").split(_SEPARATOR) if value.strip()]


def _launch(given: argparse.Namespace, words: Sequence[str]) -> int:
    request = _request(given, words)
    config = request.config
    # Before anything is planned: an option that Beam would ignore is refused.
    options = beam_options.parse_options(Settings("provoice", options=tuple(words)))
    name, runner = beam_options.runner_of(options)
    started = start(request)
    if started is None:
        log.warning("nothing to do: every source is in %s already, or held as before; no job is made", given.lake)
        return 0
    run = started.run
    committed = committed_units(request.lake, run.run_id)
    tasks = [
        Task(unit.unit_id, unit.estimated_s, unit.deadline_s)
        for unit in read_plan_units(request.lake, run)
        if unit.unit_id not in committed
    ]
    work = PrepareWork(request.lake.root.uri, run.run_id, run.number, config.model_dump(mode="json"), "")
    units = PrepareUnits(
        tasks,
        work,
        processes=config.workers,
        engine_processes=beam_options.engine_processes(name, options, config.beam),
        resource_hints=beam_options.resource_hints(config.beam),
    )
    with beam_options.as_config_error():
        pipeline = beam.Pipeline(runner=runner, options=options)
    _ = pipeline | "Units" >> units
    pipeline.run()
    log.info("run %s: %d units to %s", run.run_id, len(tasks), name)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
