"""Keeps C libraries from writing to stderr: mpg123, inside libsndfile, prints a line for each odd tag and frame."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_ONE_AT_A_TIME = threading.Lock()


@contextmanager
def quiet_stderr() -> Iterator[None]:
    """Descriptor 2 leads nowhere for the length of the `with`, for the whole process: hold it around one call only.

    What another thread writes to stderr meanwhile is lost. There is no switch for this in libsndfile.
    """
    with _ONE_AT_A_TIME:
        try:
            kept = os.dup(2)
        except OSError:  # a process without stderr has nothing to keep quiet
            yield
            return
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, 2)
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            os.close(nowhere)
