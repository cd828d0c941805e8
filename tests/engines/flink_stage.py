"""A stage of one's own that takes a while and notes whom it was handed, so that a test can break a run midway."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from schemas.errors import Rejected
from transforms.items import Utterance

NOTES = "FLINK_TEST_NOTES"
"""The variable that names the file of notes: a line per recording and attempt."""
SECONDS = 1.0


class Noted:
    """Passes everything on, a second later."""

    name, version = "noted", 1
    columns: ClassVar[dict[str, str]] = {"noted": "bool"}

    def open(self) -> None: ...

    def __call__(self, batch: list[Utterance]) -> Sequence[Utterance | Rejected]:
        recordings = dict.fromkeys(utterance.recording_id for utterance in batch)
        if NOTES in os.environ:
            with Path(os.environ[NOTES]).open("a") as notes:
                notes.write("".join(f"{name}\n" for name in recordings))
        time.sleep(SECONDS * len(recordings))
        return [replace(utterance, columns={"noted": True}) for utterance in batch]
