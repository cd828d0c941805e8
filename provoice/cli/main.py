"""`provoice`: the table of commands. `--help` imports none of them."""

from __future__ import annotations

import importlib
import os
from typing import Any

import click

from pipelines import logs
from provoice.cli.errors import explained

COMMANDS: dict[str, tuple[str, str, str]] = {
    "demo": ("provoice.cli.demo", "command", "A small lake from real speech, offline, then where to look."),
    "plan": ("provoice.cli.run", "plan_command", "Say what `run` would do, take and cost, from a sample."),
    "run": ("provoice.cli.run", "command", "Prepare recordings; the same command line again resumes."),
    "status": ("provoice.cli.status", "command", "Progress, throughput and rejections of a lake's runs."),
    "sql": ("provoice.cli.sql", "command", "Ask the lake a question in SQL."),
    "why": ("provoice.cli.why", "command", "What became of a recording or an utterance, and why."),
    "report": ("provoice.cli.report", "command", "One HTML file with plots."),
    "consent": ("provoice.cli.consent", "command", "Record and read what people have allowed."),
    "release": ("provoice.cli.release", "command", "Choose what may be trained on, for one use, and keep the choice."),
    "accent": ("provoice.cli.accent", "command", "Fit a head that tells accents, and show what one can do."),
    "snapshot": ("provoice.cli.snapshot", "command", "Fold commits and merge parts, so that a lake opens quickly."),
    "model": ("provoice.cli.model", "command", "What was trained on releases, and what becomes of it."),
    "notify": ("provoice.cli.notify", "command", "Tell those who trained on a release what was taken back."),
    "erase": ("provoice.cli.erase", "command", "Remove what was made from a person's voice."),
    "audit": ("provoice.cli.audit", "command", "Look through every byte of a lake for what should be gone."),
    "gc": ("provoice.cli.gc", "command", "Show what nothing names any more, and delete it."),
}
"""Name: module, attribute, short help."""


class LazyGroup(click.Group):
    """Lists commands from the table, and imports one when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  (click names it)
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        module, attribute, _ = COMMANDS[cmd_name]
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, help_text) for name, (_, _, help_text) in COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            raise click.UsageError(f"{error.message.rstrip('.')}{_nearest(args[0])}", ctx) from None

    def invoke(self, ctx: click.Context) -> Any:
        with explained():
            return super().invoke(ctx)


def _nearest(word: str) -> str:
    import difflib

    close = difflib.get_close_matches(word, COMMANDS, n=1)
    return f" (did you mean `{close[0]}`?)" if close else ""


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("-v", "--verbose", is_flag=True, help="Log more, tracebacks of failed stages among it.")
@click.option("--traceback", "is_traced", is_flag=True, help="Say where an error came from (as PROVOICE_DEBUG=1 does).")
@click.option(
    "--log-format", type=click.Choice(["text", "json"]), default="text", envvar="PROVOICE_LOG_FORMAT", show_envvar=True,
    help="Log lines as text, or as one JSON object each with run, unit and stage.",
)  # fmt: skip
@click.version_option(package_name="provoice")
def cli(verbose: bool, is_traced: bool, log_format: logs.Form) -> None:
    """Voice recordings in, training-ready utterances out, with consent on every record.

    Exit codes: 0 done; 1 the run broke; 2 the request is wrong; 3 done, but too much was rejected; 4 refused for
    consent or budget; 130 interrupted.
    """
    if is_traced:
        os.environ["PROVOICE_DEBUG"] = "1"
    # Set before anything that computes is imported: two workers with a thread pool each would waste a core.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("PYANNOTE_METRICS_ENABLED", "0")
    logs.configure(log_format, verbose=verbose)
