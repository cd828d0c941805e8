"""A stage that does to its process what bad files do to decoders; which one, the catalogue's extra.poison says."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import ClassVar

from schemas.errors import Reason, Rejected
from transforms.items import Utterance

_HELD: list[bytes] = []


class Poison:
    """Stage of one's own that obeys `extra.poison`: abort, exit, eat, sleep, raise or reject."""

    name, version = "poison", 1
    columns: ClassVar[dict[str, str]] = {"survived": "bool"}

    def open(self) -> None: ...

    def __call__(self, batch: list[Utterance]) -> Sequence[Utterance | Rejected]:
        from dataclasses import replace

        answers: list[Utterance | Rejected] = []
        for utterance in batch:
            what = utterance.catalogue.extra.get("poison")
            if what == "abort":
                os.abort()
            elif what == "exit":
                os._exit(7)
            elif what == "eat":
                while True:
                    _HELD.append(os.urandom(1) * (64 << 20))
            elif what == "sleep":
                time.sleep(3600)
            elif what == "raise":
                raise ValueError("this stage has a fault")
            answers.append(
                Rejected(Reason.TOO_SHORT, "said so by a stage of one's own")
                if what == "reject"
                else replace(utterance, columns={"survived": True})
            )
        return answers
