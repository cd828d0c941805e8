"""From a planned source to a recording: fetched, and decoded ahead where the worker has decoders."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import Future, wait
from pathlib import Path

from pipelines.decoders import Asked, Brought, Decoders, NotDecoded
from pipelines.fetch import fetch
from pipelines.plan import PlannedSource
from schemas.catalogue import CatalogueRow
from schemas.errors import Rejected
from transforms.decode import DecodeConfig
from transforms.items import Recording


class Intake:
    """For one unit. What is fetched and decoded of a source lies in its own folder below `spool_dir`."""

    def __init__(
        self,
        config: DecodeConfig,
        roots: Mapping[str, str],
        spool_dir: Path,
        decoders: Decoders | None,
        seconds: dict[str, float],
    ) -> None:
        self._config = config
        self._roots = roots
        self._spool_dir = spool_dir
        self._decoders = decoders
        self._seconds = seconds
        self._asked: dict[str, Future[Brought | Rejected]] = {}
        self.elsewhere_s = 0.0
        """CPU seconds that decoders have spent, which are among `seconds`, and not of this process."""

    @property
    def has_decoders(self) -> bool:
        return self._decoders is not None

    def ask(self, planned: PlannedSource) -> None:
        """Has a decoder begin with it, if there is one and none has begun; whoever calls has the consent for it."""
        name = planned.source.recording_id
        if self._decoders is not None and name not in self._asked:
            self._asked[name] = self._decoders.ask(
                Asked(self._roots[planned.source.root], planned.source, self._folder(name), self._config)
            )

    def fetched(self, planned: PlannedSource) -> Recording | Rejected:
        """The recording, with `decoded` where a decoder brought it."""
        source, asked = planned.source, self._asked.pop(planned.source.recording_id, None)
        catalogue = planned.catalogue or CatalogueRow()
        try:
            brought = asked.result() if asked is not None else None
        except NotDecoded:
            brought = None
        if isinstance(brought, Rejected):
            return brought
        if brought is not None:
            for name, seconds in brought.seconds.items():
                self._seconds[name] += seconds
                self.elsewhere_s += seconds
            return Recording(source, brought.source_sha256, brought.local_path, catalogue, brought.decoded)
        began = time.process_time()
        try:
            folder = self._folder(source.recording_id)
            path, sha256 = fetch(self._roots[source.root], source, folder, self._config.max_bytes)
        except Rejected as rejected:
            return rejected
        finally:
            self._seconds["fetch"] += time.process_time() - began
        return Recording(source, sha256, path, catalogue)

    def drop(self, batch: Iterable[PlannedSource]) -> None:
        """Removes what lies on disk of these sources."""
        for planned in batch:
            shutil.rmtree(self._spool_dir / planned.source.recording_id, ignore_errors=True)

    def close(self) -> None:
        """Waits for the decoders, which may still be writing, and removes all that is left on disk."""
        for future in self._asked.values():
            future.cancel()
        wait(self._asked.values())
        self._asked.clear()
        shutil.rmtree(self._spool_dir, ignore_errors=True)

    def _folder(self, name: str) -> Path:
        folder = self._spool_dir / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder
