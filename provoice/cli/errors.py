"""Every error as one line and an exit code; a traceback only when somebody asks for it."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import click

BROKEN, WRONG_REQUEST, TOO_MANY_REJECTED, REFUSED, INTERRUPTED = 1, 2, 3, 4, 130


@contextmanager
def explained() -> Iterator[None]:
    """Maps the error tree to exit codes: request 2, consent or budget 4, storage or a broken run 1, Ctrl-C 130."""
    try:
        yield
    except (click.exceptions.Exit, click.ClickException, SystemExit, click.Abort):
        raise
    except KeyboardInterrupt:
        sys.stderr.write("\ninterrupted\n")
        raise SystemExit(INTERRUPTED) from None
    except BrokenPipeError:
        # Somebody piped us into `head`; what they wanted they have.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(0) from None
    except Exception as error:  # noqa: BLE001  (the last place where anything can be said in one line)
        sys.stderr.write(f"provoice: {_said(error)}\n")
        raise SystemExit(exit_code(error)) from None


@contextmanager
def ends_at_ctrl_c() -> Iterator[None]:
    """For commands that only read: Ctrl-C ends the process at once (a shell says 130).

    Python would only note the signal and go on waiting for DuckDB, which does not always look up from a long query.
    """
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def exit_code(error: Exception) -> int:
    """The exit code that DESIGN gives this kind of error."""
    from schemas.errors import ConfigError, ConsentError, OverBudget

    if isinstance(error, ConfigError):
        return WRONG_REQUEST
    return REFUSED if isinstance(error, ConsentError | OverBudget) else BROKEN


def _said(error: Exception) -> str:
    from schemas.errors import ProvoiceError

    if os.environ.get("PROVOICE_DEBUG"):
        return "".join(traceback.format_exception(error)).rstrip()
    if isinstance(error, ProvoiceError):
        return str(error)
    said = " ".join(str(error).split())
    return f"something unforeseen: {type(error).__name__}: {said} (provoice --traceback … shows where)"
