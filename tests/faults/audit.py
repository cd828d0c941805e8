"""Proof that nothing goes past the wrapper: Python's own audit hook sees every file that is opened, linked, renamed,
removed or listed, whoever asks; and what lies there afterwards must be what the wrapper made.

The second part is for what C code writes by itself, of which the hook does not hear.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from tests.faults.effects import Injector
from tests.faults.store import files_below

_PATHS = {
    "open": (0,), "os.link": (0, 1), "os.rename": (0, 1), "os.remove": (0,), "os.mkdir": (0,), "os.rmdir": (0,),
    "os.symlink": (0, 1), "os.truncate": (0,), "os.chmod": (0,), "os.chown": (0,), "os.utime": (0,),
    "os.listdir": (0,), "os.scandir": (0,), "os.setxattr": (0,), "shutil.move": (0, 1), "shutil.rmtree": (0,),
    "sqlite3.connect": (0,),
}  # fmt: skip
"""Events of `sys.audit` that reach a path, and which of their arguments are paths."""


class Audit:
    """Listens from now on until the process ends, for a hook cannot be taken away."""

    def __init__(self, folder: Path, injector: Injector) -> None:
        self.went_past: list[str] = []
        self._folder = os.path.join(os.path.realpath(folder), "")
        self._injector = injector
        sys.addaudithook(self._hear)

    def _hear(self, event: str, args: tuple[Any, ...]) -> None:
        places = _PATHS.get(event)
        if places is None or not self._injector.is_on or self._injector.is_inside:
            return
        for place in places:
            if self._is_watched(args[place]):
                self.went_past.append(f"{event} {args[place]}")

    def _is_watched(self, path: object) -> bool:
        if not isinstance(path, str | bytes | os.PathLike):
            return False
        return os.path.join(os.path.abspath(os.fsdecode(path)), "").startswith(self._folder)


def unexplained(folder: Path, before: Mapping[str, str], made: Mapping[str, str]) -> list[str]:
    """What lies in `folder` and was not there before, nor made by the wrapper with these very bytes; and what was made
    and is gone. Digests by name."""
    now, expected = digests_below(folder), {**before, **made}
    wrong = [f"{name} was changed past the wrapper" for name in now if now[name] != expected.get(name)]
    return sorted(wrong + [f"{name} is gone" for name in made if name not in now])


def digests_below(folder: Path) -> dict[str, str]:
    """SHA-256 of every file."""
    return {name: sha256((folder / name).read_bytes()).hexdigest() for name in files_below(folder)}
