"""A stage of one's own that is slow enough to be killed, and notes how often each recording was begun."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from schemas.errors import Rejected
from transforms.items import Utterance

NOTES = "BEGUN_NOTES"
"""The variable that names the file; without it nothing is noted."""


class Noted:
    """A third of a second per utterance, and a line with the recordings of each batch."""

    name, version = "noted", 1
    columns: ClassVar[dict[str, str]] = {"noted": "bool"}

    def open(self) -> None: ...

    def __call__(self, batch: list[Utterance]) -> Sequence[Utterance | Rejected]:
        if NOTES in os.environ:
            with Path(os.environ[NOTES]).open("a") as notes:
                notes.writelines(f"{name}\n" for name in sorted({utterance.recording_id for utterance in batch}))
        time.sleep(0.3 * len(batch))
        return [replace(utterance, columns={**utterance.columns, "noted": True}) for utterance in batch]
