"""Enumerates the effects of a command, makes every fault happen at every one of them, and looks what became of it.

Each time anew: a copy of the world, a process that starts the command and meets the fault, a reader that looks at what
is left, a process that starts the same command again, and the comparison with the undisturbed lake. Processes are
forked from one that has everything imported and its models open.
"""

from __future__ import annotations

import os
import pickle
import shutil
import sys
import tempfile
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NoReturn

from schemas.errors import ProvoiceError
from tests.faults.audit import Audit, digests_below, unexplained
from tests.faults.commands import LAKE, RAW, Command
from tests.faults.disk import Disk
from tests.faults.effects import DIED, DISK_FAULTS, STORE_FAULTS, Effect, Fault, Injection, Injector, injections
from tests.faults.inline import QUICK, one_thing_after_the_other, opened_stages
from tests.faults.onlooker import Seen, State, differences, look, standing, state_of
from tests.faults.store import FaultyStore

Level = Literal["store", "disk", "disk without links"]
LEVELS: tuple[Level, ...] = ("store", "disk")
FAULTS = {"store": STORE_FAULTS, "disk": DISK_FAULTS, "disk without links": DISK_FAULTS}
WORLD = "world"


@dataclass
class Ended:
    """How a process ended that started the command, and what it saw."""

    said: str
    """`done`, `died`, or the error in one line."""
    is_tidy: bool = True
    """An error was one of ours: of one line, with the next step."""
    effects: list[Effect] = field(default_factory=list)
    seen: Seen = field(default_factory=Seen)
    looks: int = 0
    went_past: list[str] = field(default_factory=list)


@dataclass
class Outcome:
    """What became of the lake after one fault."""

    injection: Injection
    first: Ended
    faults: list[str]
    """What is wrong; nothing, if it survived."""
    lost: int = 0
    doubled: int = 0
    uncommitted: int = 0


@dataclass
class Undisturbed:
    """A command that nothing befell: its effects, and the lake that it left."""

    command: Command
    level: Level
    base: Path
    """A folder with the world as it was before the command."""
    ended: Ended
    state: State

    @property
    def injections(self) -> list[Injection]:
        return injections(self.ended.effects, FAULTS[self.level])


def undisturbed(command: Command, level: Level, folder: Path) -> Undisturbed:
    """Makes the world, and enumerates: every effect once, with a reader that looks at each boundary."""
    opened_stages(QUICK, "configs/explore.yaml")
    base = folder / "before"
    (base / WORLD).mkdir(parents=True)
    in_child(lambda: (one_thing_after_the_other(), command.prepare(base / WORLD))[0])
    with _copy(base, folder) as copied:
        ended: Ended = in_child(lambda: _start(command, level, copied, None, looks_on=True))
        state: State = in_child(lambda: (one_thing_after_the_other(), state_of(copied / WORLD / LAKE))[1])
    return Undisturbed(command, level, base, ended, state)


def inject(known: Undisturbed, injection: Injection, folder: Path) -> Outcome:
    """One fault, and what became of it."""
    command, level = known.command, known.level
    with _copy(known.base, folder) as copied:
        first: Ended = in_child(lambda: _start(command, level, copied, injection), otherwise=Ended("died"))
        seen, again, state = in_child(lambda: _resumed(command, level, copied))
        left = standing(copied / WORLD / LAKE, *command.gone) if command.gone and state is not None else []
    faults = [f"a reader saw {seen.half + sorted(seen.uncommitted)}"] if seen else []
    faults += [] if first.is_tidy else [f"it broke: {first.said}"]
    faults += [] if again == "done" else [f"the same command again: {again}"]
    faults += [f"what should be gone stands in {name}" for name in left]
    if state is None:
        return Outcome(injection, first, faults)
    faults += [f"{name} differ" for name in differences(state, known.state, _hides_a_source(known, injection))]
    return Outcome(injection, first, faults, state.lost_from(known.state), state.doubled, len(seen.uncommitted))


def _hides_a_source(known: Undisturbed, injection: Injection) -> bool:
    """A source that no listing shows cannot be planned, and one that cannot be read now is put aside for now: the same
    command again plans it, in a run of its own."""
    is_hidden = injection.fault in (Fault.STALE_NEWEST, Fault.STALE_ALL, Fault.IO_ERROR)
    if not is_hidden:
        return False  # a death may be after the last effect
    path = known.ended.effects[injection.number - 1].path.removeprefix(f"{WORLD}/")
    return path == RAW or path.startswith(f"{RAW}/")


def _resumed(command: Command, level: Level, base: Path) -> tuple[Seen, str, State | None]:
    seen = look(base / WORLD / LAKE)
    ended = _start(command, level, base, None)
    if ended.said != "done":
        return seen, ended.said, None
    try:
        return seen, ended.said, state_of(base / WORLD / LAKE)
    except (ProvoiceError, OSError) as error:
        return seen, f"done, and what it left cannot be read: {error}", None


def _start(
    command: Command, level: Level, base: Path, injection: Injection | None, looks_on: bool = False
) -> Ended:  # fmt: skip
    """In a process of its own: the command, through the wrapper of its level."""
    os.chdir(base)
    (base / "tmp").mkdir(exist_ok=True)
    tempfile.tempdir = str(base / "tmp")
    world, ended = base / WORLD, Ended("done")

    def onlooker() -> None:
        ended.looks += 1
        found = look(world / LAKE)
        ended.seen.uncommitted |= found.uncommitted
        ended.seen.half += found.half

    injector = Injector(injection, onlooker if looks_on else None)
    before = digests_below(world)
    FaultyStore.use(base, injector)
    disk = Disk(world, injector, has_links=level != "disk without links")
    if level != "store":
        disk.install()
    one_thing_after_the_other()
    audit = Audit(world, injector)
    injector.is_on = True
    try:
        command.act(f"faulty://{WORLD}" if level == "store" else str(world))
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what the person would be told
        is_ours = isinstance(error, ProvoiceError)
        ended.said, ended.is_tidy = f"{type(error).__name__}: {error}", is_ours
        if not is_ours:
            ended.said += "".join(traceback.format_exception(error)[-4:])
    injector.finish()
    injector.is_on = False
    ended.effects = injector.effects
    made = {name.removeprefix(f"{WORLD}/"): digest for name, digest in FaultyStore.made.items()}
    ended.went_past = audit.went_past + unexplained(world, before, made if level == "store" else disk.made)
    return ended


class _copy:  # noqa: N801 - used as a function: `with _copy(...) as folder`
    """A copy of the world that is gone afterwards."""

    def __init__(self, base: Path, folder: Path) -> None:
        self._base, self._made = base, Path(tempfile.mkdtemp(dir=folder))

    def __enter__(self) -> Path:
        return Path(shutil.copytree(self._base, self._made / "base"))

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._made, ignore_errors=True)


_RAISE = object()


class Child:
    """A forked process that makes one call; `result` waits for it."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self._reading, writing = os.pipe()
        sys.stdout.flush()
        self.pid = os.fork()
        if self.pid == 0:
            self._live(call, writing)
        os.close(writing)

    def result(self, otherwise: Any = _RAISE) -> Any:
        """What the call returned; `otherwise` where the process ended as it was told to."""
        with os.fdopen(self._reading, "rb") as pipe:
            said = pipe.read()
        code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        if code == DIED and otherwise is not _RAISE:
            return otherwise
        if code != 0:
            raise RuntimeError(f"a process of the harness ended with {code}")
        return pickle.loads(said)

    def _live(self, call: Callable[[], Any], writing: int) -> NoReturn:
        code = 1
        try:
            os.close(self._reading)
            with os.fdopen(writing, "wb") as pipe:
                pickle.dump(call(), pipe)
            code = 0
        except BaseException:  # noqa: BLE001 - a forked process must not go on as its parent
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)


def in_child(call: Callable[[], Any], otherwise: Any = _RAISE) -> Any:
    """What `call` returns in a forked process; `otherwise` where that process ended as it was told to."""
    return Child(call).result(otherwise)
