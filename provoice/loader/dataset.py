"""A release as an iterable of samples: what training code holds in its hand."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from lake.lake import Lake
from lake.storage import Root
from provoice.loader.epochs import Epochs
from provoice.loader.fetch import Fetched, Members, RangeReader, read_ahead
from provoice.loader.gate import Gate
from provoice.loader.index import Index
from provoice.loader.order import Order
from provoice.loader.places import Location
from provoice.loader.samples import sample_of
from provoice.loader.share import Seat, Share
from provoice.loader.shelf import Shelf
from schemas.errors import ConfigError
from schemas.releases import ReleaseRecord

Sample = dict[str, Any]
_UNREAD = Members("", "", b"", None, None)
"""Stands for a row that was denied when its neighbours were read."""
_READ_AHEAD_LOCAL, _READ_AHEAD_REMOTE = 3, 8


@dataclass(frozen=True, slots=True)
class Options:
    """What a sample holds, and in which order samples come."""

    fields: frozenset[str]
    decode: bool
    verify: bool
    shuffle: bool
    seed: int
    buffer: int


@dataclass(frozen=True)
class _Stand:
    """What one process reads from: made where it is used, for neither threads nor connections go along into another."""

    process: int
    share: Share
    gate: Gate
    shelf: Shelf
    reader: RangeReader
    bounds: Sequence[int]
    read_ahead: int


class ReleaseDataset:
    """Samples of one release, this process's own share of them. Made by `open_release`.

    Iterate over it as often as you like: each time is the next epoch, and begins with a look at the ledger. Where torch
    has been imported it is a `torch.utils.data.IterableDataset`.
    """

    def __init__(
        self, lake: Lake, release: ReleaseRecord, place: Seat, share: Share, gate: Gate,
        moved: Mapping[int, Location | None], options: Options,
    ) -> None:  # fmt: skip
        self.release = release
        """What the release says of itself: its use, its counts, and what it demands."""
        self._lake = lake
        self._place = place
        self._share = share
        self._gate = gate
        self._moved = moved
        self._options = options
        self._epochs = Epochs()
        self._opened_by = os.getpid()
        self._stands: dict[Share, _Stand] = {}

    def __len__(self) -> int:
        """Samples of this node's share that are not known to be denied."""
        return len(self._share) - sum(self._gate.denied().values())

    @property
    def skipped(self) -> dict[str, int]:
        """How many utterances of this process's share are left out because they are denied, by reason."""
        return self._gate.denied()

    def set_epoch(self, epoch: int) -> None:
        """The epoch that the next iteration is, also in workers that are alive already. Without it, each iteration over
        this object is the epoch after the one before."""
        self._epochs.set(epoch)

    def __iter__(self) -> Iterator[Sample]:
        worker = Seat.of_worker()
        stand = self._stand(worker or Seat())
        epoch, position = self._epochs.begin()
        return self._samples(stand, epoch, position)

    def state_dict(self) -> dict[str, Any]:
        """Where the newest iteration in this process stands: after the sample that it yielded last."""
        epoch, position = self._epochs.standing
        return {**self._whose(), "epoch": epoch, "position": position}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Lets the next iteration go on where `state` stood. Raises ConfigError where it was another's."""
        whose = self._whose()
        differs = [name for name, value in whose.items() if state.get(name) != value]
        if differs:
            said = ", ".join(f"{name} {state.get(name)!r} instead of {whose[name]!r}" for name in differs)
            raise ConfigError(f"this state is of another reading of a release: {said}")
        self._epochs.resume(int(state["epoch"]), int(state["position"]))

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_stands": {}}

    def _whose(self) -> dict[str, Any]:
        """What an order depends on."""
        worker = Seat.of_worker() or Seat()
        options = self._options
        order = {"seed": options.seed, "buffer": options.buffer} if options.shuffle else {}
        return {
            "release_sha256": self.release.sha256,
            "rank": self._place.number, "world_size": self._place.of,
            "worker": worker.number, "workers": worker.of,
            "shuffle": options.shuffle, **order,
        }  # fmt: skip

    def _stand(self, worker: Seat) -> _Stand:
        share = self._share.part(worker.number, worker.of)
        known = self._stands.get(share)
        if known is not None and known.process == os.getpid():
            return known
        lake = Lake(Root(self._lake.root.uri), self._lake.head)
        offset = share.first - self._share.first
        moved = {row - offset: place for row, place in self._moved.items() if 0 <= row - offset < len(share)}
        index = Index(lake, self.release)
        shelf = Shelf(index, share, moved)
        reader = RangeReader(lake, shelf, self._options.fields, verify=self._options.verify)
        ahead = _READ_AHEAD_LOCAL if lake.root.is_local else _READ_AHEAD_REMOTE
        gate = self._gate
        if worker.of > 1 or os.getpid() != self._opened_by:
            gate = self._gate.part(share, index)
        stand = _Stand(os.getpid(), share, gate, shelf, reader, shelf.bounds(), ahead)
        self._stands = {share: stand}
        if worker.of == 1:
            self._gate, self._opened_by = gate, os.getpid()  # `skipped` is told by what iterates
        return stand

    def _samples(self, stand: _Stand, epoch: int, position: int) -> Iterator[Sample]:
        options, gate = self._options, stand.gate
        gate.look()
        seed = f"{self.release.sha256}/{options.seed}/{epoch}/{stand.share.first}-{stand.share.last}"
        order = Order(stand.bounds, options.buffer, seed if options.shuffle else None)
        order.skip(position)
        begun = _by_block(order.held, stand.bounds)
        wanted = [*begun, *(order.rows_of(block) for block in order.blocks[order.admitted :])]
        read: Fetched = {}
        # What is denied by the time it would be read is not read.
        requests = (gate.passable(rows) for rows in wanted)
        with closing(read_ahead(stand.reader.read, requests, stand.read_ahead)) as fetched:
            for _ in begun:
                read |= next(fetched)
            admitted = order.admitted
            while (row := order.draw()) is not None:
                for _ in range(order.admitted - admitted):
                    read |= next(fetched)
                admitted = order.admitted
                position += 1
                members = read.pop(row, _UNREAD)
                if not gate.passes(row) or members is _UNREAD:
                    continue
                if members is None:
                    gate.erased([row])
                    continue
                self._epochs.standing = (epoch, position)
                yield sample_of(members, options.fields, decode=options.decode)
        self._epochs.standing = (epoch + 1, 0)


def _by_block(rows: Sequence[int], bounds: Sequence[int]) -> list[list[int]]:
    """Rows of the same block together, in order."""
    blocks = groupby(sorted(rows), key=lambda row: bisect_right(bounds, row))
    return [list(block) for _, block in blocks]
