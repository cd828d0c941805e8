"""Stages of one's own that say where they run."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

from schemas.errors import Rejected
from transforms.items import Utterance


class Whereabouts:
    """What the child's environment says of GPUs and threads."""

    name, version = "whereabouts", 1
    columns: ClassVar[dict[str, str]] = {"gpus": "string", "threads": "string", "has_ray": "bool"}

    def open(self) -> None: ...

    def __call__(self, batch: list[Utterance]) -> Sequence[Utterance | Rejected]:
        import sys

        said = {
            "gpus": os.environ.get("CUDA_VISIBLE_DEVICES", ""),
            "threads": os.environ.get("OMP_NUM_THREADS", ""),
            "has_ray": "ray" in sys.modules,
        }
        return [replace(utterance, columns={**utterance.columns, **said}) for utterance in batch]


class Unhurried:
    """Takes a third of a second per utterance, so that there is time to kill who has it in hand."""

    name, version = "unhurried", 1
    columns: ClassVar[dict[str, str]] = {"unhurried": "bool"}

    def open(self) -> None: ...

    def __call__(self, batch: list[Utterance]) -> Sequence[Utterance | Rejected]:
        time.sleep(0.3 * len(batch))
        return [replace(utterance, columns={**utterance.columns, "unhurried": True}) for utterance in batch]
