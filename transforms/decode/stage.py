"""The decode stage: a recording gets its spools, its levels and the measurements of its channels."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from schemas.errors import Reason, Rejected
from transforms.decode.attempts import Attempts, remove_spools
from transforms.decode.config import DecodeConfig
from transforms.items import Decoded, Recording
from transforms.stage import each


class Decode:
    """Recording to Recording with `decoded`. The spools of a recording lie in `spool_dir/{recording_id}`."""

    name, version = "decode", 3

    def __init__(self, config: DecodeConfig, spool_dir: Path) -> None:
        self.config = config
        self.spool_dir = spool_dir

    def open(self) -> None: ...  # no model to load

    def __call__(self, batch: list[Recording]) -> list[Recording | Rejected]:
        return each(batch, self._decoded)

    def _decoded(self, recording: Recording) -> Recording:
        if recording.decoded is not None:  # ahead of its turn, with this configuration
            return recording
        folder = self.spool_dir / recording.recording_id
        folder.mkdir(parents=True, exist_ok=True)
        try:
            return replace(recording, decoded=decode(recording.local_path, folder, self.config))
        except BaseException as error:
            with suppress(OSError):
                folder.rmdir()
            if isinstance(error, Rejected):
                raise Rejected(error.reason, error.detail, self.name) from error
            raise


def decode(path: Path, spool_dir: Path, config: DecodeConfig) -> Decoded:
    """Everything that is to be known of the file at `path`, from its decoded samples; the spools go to `spool_dir`.

    `spool_dir` exists and is this recording's own. Readers are tried in order; one that stops before the end is
    compared with the next, and whichever heard more is kept, with a note. Raises Rejected: TOO_LARGE, TOO_LONG,
    TOO_MANY_CHANNELS, BAD_SAMPLE_RATE, NOT_AUDIO, EMPTY_AUDIO, UNREADABLE, SOURCE_MISSING. Errors of the spools' disk
    and of memory propagate. After an exception `spool_dir` holds no spool.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError as error:  # it was read a moment ago
        raise Rejected(Reason.SOURCE_MISSING, f"it cannot be opened any more: {error.strerror or error}") from None
    try:
        size = os.fstat(descriptor).st_size
        if size > config.max_bytes:
            raise Rejected(Reason.TOO_LARGE, f"{size} bytes; decode.max_bytes is {config.max_bytes}")
        remove_spools(spool_dir)
        return Attempts(descriptor, spool_dir, config).best()
    except BaseException:
        remove_spools(spool_dir)
        raise
    finally:
        os.close(descriptor)
