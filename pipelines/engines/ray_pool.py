"""A pool of actors: started, made ready, handed one task each, replaced when they die."""

from __future__ import annotations

import contextlib
import logging
import time
from collections import Counter, deque
from collections.abc import Generator, Mapping, Sequence
from typing import Any, Generic

from pipelines.engines.contract import Receipt, Settings, Task, Work, longest_first
from pipelines.engines.ray_actor import Failure, UnitActor
from pipelines.engines.ray_cluster import one_line
from schemas.errors import ConfigError, ProvoiceError, RunStopped

log = logging.getLogger("provoice.worker")

TRIES = 3
"""Machines that a task may lose before the run stops. A source cannot kill one, so it is the machines or the set-up."""

_LOOK_S = 5.0
"""How often the pool looks whether the cluster has grown."""
_CLOSE_S = 10.0
_OVERHEAD_BYTES = 256 << 20
"""The actor itself, beside its child."""


class Pool(Generic[Receipt]):
    """Actors by what they are at: opening, idle, or with a task in hand. `ray` is the connected module."""

    def __init__(self, ray: Any, tasks: Sequence[Task], work: Work[Receipt], settings: Settings) -> None:
        self._ray, self._work, self._config = ray, work, settings.ray
        self._waiting = deque(longest_first(tasks))
        self._needed = min(settings.ray.min_workers, len(tasks))
        self._asked = resources_of(settings)
        self._class = ray.remote(UnitActor).options(
            num_cpus=self._asked["CPU"], num_gpus=self._asked.get("GPU", 0), memory=self._asked.get("memory"),
            max_restarts=0, max_concurrency=2,
        )  # fmt: skip
        self._opening: dict[Any, Any] = {}
        self._idle: list[Any] = []
        self._in_hand: dict[Any, tuple[Any, Task]] = {}
        self._deaths: Counter[str] = Counter()
        self._stillborn = 0
        self._enough_at = time.monotonic()
        self._room = self._look()
        if settings.ray.address is None and self._room == 0:
            raise ConfigError(f"engine ray: this machine has no room for a worker: {self._shortage()}")

    def receipts(self) -> Generator[Receipt, None, None]:
        """A receipt per task, as they come."""
        while self._waiting or self._in_hand:
            self._grow()
            self._hand_out()
            self._lose_patience()
            heard, _ = self._ray.wait([*self._in_hand, *self._opening], timeout=_LOOK_S)
            for ref in heard:
                if ref in self._opening:
                    self._opened(ref)
                elif (receipt := self._done(ref)) is not None:
                    yield receipt

    def close(self) -> None:
        """Ends every actor, its child with it."""
        actors = [*self._idle, *(actor for actor, _ in self._in_hand.values())]
        with contextlib.suppress(Exception):  # the cluster may be gone, and they with it
            farewells = [actor.close.remote() for actor in actors]
            if farewells:
                self._ray.wait(farewells, num_returns=len(farewells), timeout=_CLOSE_S)
        for actor in (*actors, *self._opening.values()):
            self._kill(actor)

    def _grow(self) -> None:
        """Asks for actors up to the target. Those that find no room wait, and an elastic cluster grows for them."""
        if time.monotonic() - self._looked_at > _LOOK_S:
            self._room = self._look()
        most = self._config.max_workers or max(self._config.min_workers, self._room)
        target = min(most, len(self._waiting) + len(self._in_hand))
        while len(self._opening) + len(self._idle) + len(self._in_hand) < target:
            actor = self._class.remote()
            self._opening[actor.open.remote(self._work)] = actor

    def _look(self) -> int:
        self._looked_at = time.monotonic()
        return room_for(self._asked, self._nodes())

    def _nodes(self) -> list[Mapping[str, float]]:
        return [node["Resources"] for node in self._ray.nodes() if node["Alive"]]

    def _hand_out(self) -> None:
        """The longest task to each actor that is ready; none before the first `min_workers` are."""
        if len(self._idle) + len(self._in_hand) < self._needed:
            return
        self._needed, self._enough_at = 1, time.monotonic()
        while self._idle and self._waiting:
            actor, task = self._idle.pop(), self._waiting.popleft()
            self._in_hand[actor.run.remote(task)] = (actor, task)

    def _lose_patience(self) -> None:
        if time.monotonic() - self._enough_at > self._config.ready_s:
            ready = len(self._idle) + len(self._in_hand)
            raise RunStopped(
                f"{ready} of {self._needed} Ray workers were ready within ray.ready_s, {self._config.ready_s:g} s: "
                f"{self._shortage()}"
            )

    def _shortage(self) -> str:
        """What a worker asks for and what there is, for somebody who must change one of them."""
        there: Counter[str] = Counter()
        for node in self._nodes():
            there.update({name: node.get(name, 0) for name in self._asked})
        asked = ", ".join(f"{_amount(name, count)}" for name, count in self._asked.items())
        found = ", ".join(f"{_amount(name, there[name])}" for name in self._asked)
        return f"each asks for {asked} and the nodes have {found} in all; lower ray.*_per_worker, or add nodes"

    def _opened(self, ref: Any) -> None:
        heard = self._heard(ref, "while it opened")
        actor = self._opening.pop(ref)  # only now: where that raised, `close` ends it
        if isinstance(heard, _Died):
            self._kill(actor)
            self._stillborn += 1
            if self._stillborn >= TRIES * (1 + len(self._opening)):
                raise RunStopped(f"Ray's workers die before they are ready, the last one so: {heard.why}")
            return
        self._stillborn = 0
        self._idle.append(actor)

    def _done(self, ref: Any) -> Receipt | None:
        """The receipt; None where the actor died, and its task waits again."""
        actor, task = self._in_hand[ref]
        heard = self._heard(ref, f"on unit {task.name}")
        del self._in_hand[ref]
        if not isinstance(heard, _Died):
            self._idle.append(actor)
            receipt: Receipt = heard
            return receipt
        self._kill(actor)
        self._deaths[task.name] += 1
        tries = self._deaths[task.name]
        if tries >= TRIES:
            raise RunStopped(f"unit {task.name}: its worker died {tries} times, the last time so: {heard.why}")
        log.warning("unit %s, try %d: its worker died: %s", task.name, tries, heard.why)
        self._waiting.appendleft(task)  # it was among the longest
        return None

    def _heard(self, ref: Any, when: str) -> Any:
        """What a call returned, or how its actor died. Raises what ends the run."""
        errors = self._ray.exceptions
        try:
            answer = self._ray.get(ref)
        except errors.RuntimeEnvSetupError as error:
            raise ConfigError(f"engine ray: the cluster cannot set up what it was sent: {one_line(error)}") from error
        except errors.RayTaskError as error:
            raise fault(error, when) from error
        except errors.RayError as error:  # the process, its node, or the way to it
            if getattr(error, "actor_init_failed", False):
                # Our actors do nothing there, so it was not found, or what it imports.
                raise ConfigError(
                    f"engine ray: the workers lack a package: {_last(error)}; docs/ray.md says how they get it"
                ) from error
            return _Died(_why(error))
        if isinstance(answer, Failure):
            raise answer.error
        return answer

    def _kill(self, actor: Any) -> None:
        with contextlib.suppress(Exception):  # dead already
            self._ray.kill(actor, no_restart=True)


class _Died:
    """In place of an answer."""

    def __init__(self, why: str) -> None:
        self.why = why


def resources_of(settings: Settings) -> dict[str, float]:
    """What an actor reserves, in Ray's names."""
    config = settings.ray
    memory: float | None = config.memory_per_worker_bytes
    if memory is None and config.address is not None and settings.worker_memory_bytes is not None:
        memory = settings.worker_memory_bytes + _OVERHEAD_BYTES
    asked = {"CPU": config.cpus_per_worker, "GPU": config.gpus_per_worker, "memory": memory}
    return {name: count for name, count in asked.items() if count}


def room_for(asked: Mapping[str, float], nodes: Sequence[Mapping[str, float]]) -> int:
    """How many actors the nodes hold, whatever else runs there: an actor never spans two.

    >>> room_for({"CPU": 2}, [{"CPU": 3}, {"CPU": 4}, {"memory": 1}])
    3
    """
    return sum(int(min(node.get(name, 0) // count for name, count in asked.items())) for node in nodes)


def fault(error: Any, when: str) -> ProvoiceError:
    """An exception that left the work and is none of ours: a fault in the code, or in what the workers were given."""
    cause = getattr(error, "cause", None) or error
    if isinstance(cause, ProvoiceError):
        return cause
    return RunStopped(f"a Ray worker failed {when} with {type(cause).__name__}: {one_line(cause)}")


def _last(error: Exception) -> str:
    """The line of a traceback that says what was wrong."""
    said = [line for line in str(error).splitlines() if "Error: " in line]
    return one_line(said[-1] if said else error)


def _why(error: Exception) -> str:
    """How an actor died, without what Ray calls it and what it thinks of the kernel."""
    said, _, _ = str(error).partition(" Some common causes include")
    lines = [line for line in said.splitlines() if not line.startswith("\t")]
    return one_line(" ".join(lines[1:] or lines), 300)


def _amount(name: str, count: float) -> str:
    return f"{count / (1 << 30):.1f} GiB of memory" if name == "memory" else f"{count:g} {name}"
