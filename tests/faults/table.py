"""Every injection of a command at a level, several at a time, and the figures of it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.commands import Command
from tests.faults.effects import Effect, Fault, Injection, Kind
from tests.faults.harness import Child, Level, Outcome, Undisturbed, inject, undisturbed

_HEAD = ("level", "command", "boundaries", "injected", "survived", "lost", "doubled", "uncommitted seen", "looks")
_WIDTHS = (20, 14, 10, 8, 8, 5, 7, 16, 6)


@dataclass
class Line:
    """One command at one level."""

    level: str
    command: str
    boundaries: int = 0
    injected: int = 0
    survived: int = 0
    lost: int = 0
    doubled: int = 0
    uncommitted: int = 0
    looks: int = 0
    """Times that a reader looked: at every boundary, and after every fault."""
    broken: list[str] = field(default_factory=list)

    def row(self) -> str:
        values = (self.level, self.command, self.boundaries, self.injected, self.survived, self.lost, self.doubled,
                  self.uncommitted, self.looks)  # fmt: skip
        return "  ".join(f"{value!s:>{width}}" for value, width in zip(values, _WIDTHS, strict=True))

    def add(self, known: Undisturbed, outcome: Outcome) -> None:
        self.injected += 1
        self.looks += 1
        self.lost += outcome.lost
        self.doubled += outcome.doubled
        self.uncommitted += outcome.uncommitted
        if not outcome.faults and not outcome.lost and not outcome.doubled:
            self.survived += 1
            return
        number = outcome.injection.number
        effects = known.ended.effects
        where = effects[number - 1] if number <= len(effects) else "the end"
        self.broken.append(
            f"{self.level}, {self.command}, {outcome.injection.fault.name} at {where}: {'; '.join(outcome.faults)}; "
            f"lost {outcome.lost}, doubled {outcome.doubled}; it had said: {outcome.first.said}"
        )

    @classmethod
    def sum(cls, lines: Sequence[Line]) -> Line:
        total = cls("all", "all")
        for line in lines:
            for name in ("boundaries", "injected", "survived", "lost", "doubled", "uncommitted", "looks"):
                setattr(total, name, getattr(total, name) + getattr(line, name))
            total.broken += line.broken
        return total


def written(lines: Sequence[Line]) -> str:
    head = "  ".join(f"{name:>{width}}" for name, width in zip(_HEAD, _WIDTHS, strict=True))
    return "\n".join([head, *(line.row() for line in lines)])


def measured(
    command: Command, level: Level, folder: Path, every: int = 1, processes: int = 1,
    faults: Collection[Fault] = tuple(Fault), share: tuple[int, int] = (1, 1), is_distinct: bool = False,
) -> Line:  # fmt: skip
    """Enumerates, injects (all, or every n-th of `faults`; of those, the k-th of n shares), and adds up. Effects that
    went past the wrapper count as broken. `is_distinct`: only at effects that change something, and at the end; for
    whoever dies between two of them, wherever that is, leaves the same."""
    known = undisturbed(command, level, folder)
    ended = known.ended
    line = Line(level, command.name, len(ended.effects), looks=ended.looks, uncommitted=len(ended.seen.uncommitted))
    line.broken += [f"{level}, {command.name}: past the wrapper: {said}" for said in ended.went_past]
    line.broken += [f"{level}, {command.name}: undisturbed, a reader saw {said}" for said in ended.seen.half]
    if ended.said != "done":
        line.broken.append(f"{level}, {command.name}: undisturbed, it said {ended.said}")
    if len(known.state.recordings) != command.sources:
        line.broken.append(
            f"{level}, {command.name}: undisturbed, {len(known.state.recordings)} sources are accounted for"
        )
    mine, of = share
    wanted = (one for one in known.injections if one.fault in faults)
    chosen = [one for one in wanted if not is_distinct or _is_at_change(one, ended.effects)][::every][mine - 1 :: of]
    shares = [chosen[n::processes] for n in range(processes)]
    for outcomes in _side_by_side(known, shares, folder):
        for outcome in outcomes:
            line.add(known, outcome)
    return line


def _is_at_change(injection: Injection, effects: Sequence[Effect]) -> bool:
    is_end = injection.number > len(effects)
    return is_end or effects[injection.number - 1].kind not in (Kind.READ, Kind.LOOK, Kind.LIST)


def _side_by_side(
    known: Undisturbed, shares: Sequence[Sequence[Injection]], folder: Path
) -> Iterator[list[Outcome]]:  # fmt: skip
    """Each share in a process of its own."""
    if len(shares) == 1:
        yield [inject(known, one, folder) for one in shares[0]]
        return
    children = [Child(lambda share=share: [inject(known, one, folder) for one in share]) for share in shares]  # type: ignore[misc]
    for child in children:
        yield child.result()
