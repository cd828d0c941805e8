"""Effects, the faults that can befall each kind of them, and the injector that lets one fault happen at one effect.

An effect is one call that reaches the store or the disk: a boundary lies before it and after it. A process that ends
after effect n ends before effect n+1, so n effects have n+1 places to die at, and each is taken once.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum

DIED = 77
"""Exit code of a process that ended where it was told to."""


class Kind(StrEnum):
    """What is done. The first five are of both levels, the next of a store, the others of a disk."""

    READ = "read"
    LOOK = "look"
    LIST = "list"
    CREATE = "create"
    DELETE = "delete"
    BEGIN = "begin upload"
    PART = "upload part"
    OPEN = "open for writing"
    WRITE = "write"
    SYNC = "sync"
    LINK = "link"
    FOLDER = "make folder"
    RENAME = "rename"


class Fault(StrEnum):
    """What goes wrong, once."""

    DEATH = "process ends before it"
    # a store's answers
    LOST_ACK = "done, and the answer is lost"
    LOST_ACK_GIVEN_UP = "done, the answer is lost, and it is not asked again"
    DONE_BUT_503 = "done, and 503 is answered"
    DONE_BUT_409 = "done, and 409 is answered"
    DONE_BUT_412 = "done, and 412 is answered"
    REFUSED_412 = "412, and nobody holds the name"
    CONFLICT_409 = "409"
    BUSY_429 = "429"
    AWAY_503 = "503"
    AWAY_FOR_LONG = "503, and it is not asked again"
    BROKEN = "the connection breaks"
    STALE_NEWEST = "the listing lacks the newest object"
    STALE_ALL = "the listing is one of before the command"
    # a disk
    TORN = "half of the bytes are written, then the process ends"
    FULL = "the disk is full"
    IO_ERROR = "input/output error"
    LINKED_BUT_REFUSED = "linked, and said to exist already"
    POWER = "power fails: what is not synced is gone"
    POWER_TORN = "power fails: names stay, bytes that are not synced do not"


_ANSWERS = (Fault.BUSY_429, Fault.AWAY_503, Fault.AWAY_FOR_LONG, Fault.BROKEN)
_UNHEARD = (Fault.LOST_ACK, Fault.LOST_ACK_GIVEN_UP, Fault.DONE_BUT_503)
_CREATES = (Fault.CONFLICT_409, Fault.REFUSED_412, Fault.DONE_BUT_409, Fault.DONE_BUT_412)
_CUTS = (Fault.POWER, Fault.POWER_TORN)

STORE_FAULTS: dict[Kind, tuple[Fault, ...]] = {
    Kind.READ: _ANSWERS,
    Kind.LOOK: _ANSWERS,
    Kind.LIST: (*_ANSWERS, Fault.STALE_NEWEST, Fault.STALE_ALL),
    Kind.DELETE: (*_ANSWERS, *_UNHEARD),
    Kind.CREATE: (*_ANSWERS, *_UNHEARD, *_CREATES),
    Kind.BEGIN: (*_ANSWERS, *_UNHEARD),
    Kind.PART: (*_ANSWERS, *_UNHEARD),
}
DISK_FAULTS: dict[Kind, tuple[Fault, ...]] = {
    Kind.READ: (Fault.IO_ERROR,),
    Kind.LOOK: (Fault.IO_ERROR,),
    Kind.LIST: (Fault.IO_ERROR,),
    Kind.OPEN: (Fault.FULL, Fault.IO_ERROR),
    Kind.WRITE: (Fault.TORN, Fault.FULL, Fault.IO_ERROR),
    Kind.SYNC: (Fault.IO_ERROR, Fault.FULL),
    Kind.LINK: (Fault.FULL, Fault.IO_ERROR, Fault.LINKED_BUT_REFUSED),
    Kind.RENAME: (Fault.FULL, Fault.IO_ERROR),
    Kind.FOLDER: (Fault.FULL, Fault.IO_ERROR),
    Kind.DELETE: (Fault.IO_ERROR,),
}
CHANGES_DISK = (Kind.OPEN, Kind.WRITE, Kind.SYNC, Kind.LINK, Kind.RENAME, Kind.FOLDER, Kind.DELETE)


@dataclass(frozen=True, slots=True)
class Effect:
    """The n-th effect of a command, from 1, at a path below the watched folder."""

    number: int
    kind: Kind
    path: str


@dataclass(frozen=True, slots=True)
class Injection:
    """One fault at one effect. A death, or a failing power, may also be at the effect after the last: at the end."""

    number: int
    fault: Fault


def injections(effects: list[Effect], faults: dict[Kind, tuple[Fault, ...]]) -> list[Injection]:
    """Every fault that applies, at every effect. Power is cut after each effect that changes the disk."""
    found = [Injection(n, Fault.DEATH) for n in range(1, len(effects) + 2)]
    for effect in effects:
        found += [Injection(effect.number, fault) for fault in faults[effect.kind]]
        if faults is DISK_FAULTS and effect.kind in CHANGES_DISK:
            found += [Injection(effect.number + 1, fault) for fault in _CUTS]
    return sorted(found, key=lambda one: (one.number, list(Fault).index(one.fault)))


class Injector:
    """Counts effects, and lets the fault of one injection happen. `onlooker` is called at every boundary."""

    def __init__(self, injection: Injection | None = None, onlooker: Callable[[], None] | None = None) -> None:
        self.injection = injection
        self.effects: list[Effect] = []
        self.is_on = False
        self.on_power_cut: Callable[[Fault], None] = lambda _: None
        self._onlooker = onlooker
        self._has_changed = True
        self._lock = threading.RLock()
        self._inside = threading.local()

    @property
    def is_inside(self) -> bool:
        """Whether this thread is within an effect, or looks on: what it does now is no effect of its own."""
        return getattr(self._inside, "depth", 0) > 0

    @contextmanager
    def inside(self) -> Iterator[None]:
        self._inside.depth = getattr(self._inside, "depth", 0) + 1
        try:
            yield
        finally:
            self._inside.depth -= 1

    def arrive(self, kind: Kind, path: str) -> Fault | None:
        """The fault that befalls this effect, which is counted; does not return where the process is to end."""
        with self._lock:
            self.look_on()
            self.effects.append(Effect(len(self.effects) + 1, kind, path))
            self._has_changed = kind not in (Kind.READ, Kind.LOOK, Kind.LIST)
            if self.injection is None or self.injection.number != len(self.effects):
                return None
            return self._befalls(self.injection.fault)

    def finish(self) -> None:
        """The command is done: the boundary after its last effect."""
        self.look_on()
        if self.injection is not None and self.injection.number == len(self.effects) + 1:
            self._befalls(self.injection.fault)

    def _befalls(self, fault: Fault) -> Fault:
        if fault in (*_CUTS, Fault.DEATH):
            with self.inside():
                if fault is not Fault.DEATH:
                    self.on_power_cut(fault)
            os._exit(DIED)
        return fault

    def look_on(self) -> None:
        """At a boundary after a mere read there is nothing to see that was not there at the last."""
        if self._onlooker is not None and self._has_changed:
            with self.inside():
                self._onlooker()
