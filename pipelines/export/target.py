"""The place that an export is written to: empty before, unfinished until `export.json` is there, and whole then."""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

from lake.storage import Missing, Root
from pipelines.export.record import ExportRecord, Form, Started
from schemas.errors import AlreadyExists, ConfigError, ConsentError, LakeError
from schemas.model import parse
from schemas.records import StoredObject
from schemas.releases import ReleaseRecord

FINISHED = "export.json"
STARTED = "export.started.json"
_OURS = re.compile(r"(audio|data|shards)/.+|cuts\.jsonl\.gz|manifest\.jsonl|croissant\.json|README\.md")
"""What an unfinished export may hold, and its repetition may delete; anything else is somebody's."""
_UPLOADS = 16
_UPLOADS_WAITING = 4 * _UPLOADS


class Target:
    """Writes objects, remembers them with their digests, and says at the end that they are all there."""

    def __init__(self, root: Root, started: Started, folder: Path) -> None:
        self.root = root
        self.folder = folder
        """For what is written before it is put; on this machine, and removed at the end."""
        self.files: list[StoredObject] = []
        self.audio_files = 0
        self._started = started
        self._pool = ThreadPoolExecutor(_UPLOADS)
        self._uploads: list[Future[None]] = []
        self._folders: set[Path] = set()

    def put(self, kind: str, path: str, data: bytes | Path, rows: int | None = None) -> StoredObject:
        """Creates the object, and remembers it. A file is given up."""
        size, sha256 = _measured(data)
        self.root.put(path, data, sha256)
        stored = StoredObject(kind=kind, path=path, size_bytes=size, sha256=sha256, rows=rows)
        self.files.append(stored)
        return stored

    def put_audio(self, key: str, codec: str, audio: bytes) -> str:
        """Creates one of many small files, and returns its path; 256 folders, by the first letters of the key."""
        path = f"audio/{key[:2]}/{key}.{codec}"
        self.audio_files += 1
        if self.root.is_local:
            self._write(path, audio)
        else:
            self._wait(_UPLOADS_WAITING)
            self._uploads.append(self._pool.submit(self.root.create, path, audio))
        return path

    def finish(self, record: ExportRecord) -> None:
        """Looks at everything once more, and writes `export.json`. Raises LakeError where another export has come."""
        self._wait(0)
        if self.root.is_local and self.audio_files:
            os.sync()
        self._check(record)
        self.root.create(FINISHED, record.model_dump_json(indent=2, exclude_none=True).encode() + b"\n")
        self.root.delete(STARTED)

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)

    def _write(self, path: str, audio: bytes) -> None:
        """Plainly: nothing vouches for the file before `export.json`, so it needs no fsync of its own (5 ms each)."""
        place = Path(self.root.base, path)
        try:
            if place.parent not in self._folders:
                place.parent.mkdir(parents=True, exist_ok=True)
                self._folders.add(place.parent)
            with place.open("xb") as file:
                file.write(audio)
        except FileExistsError:
            raise AlreadyExists(f"{place} exists already; another export writes there") from None
        except OSError as error:
            raise LakeError(f"{place}: {error.strerror}") from None

    def _wait(self, waiting: int) -> None:
        while len(self._uploads) > waiting:
            self._uploads.pop(0).result()

    def _check(self, record: ExportRecord) -> None:
        if _read_started(self.root) != self._started:
            raise LakeError(f"{self.root.uri}: another export of the release has taken the place of this one")
        unseen = {one.path: one.size_bytes for one in record.files}
        others = 0
        for info in self.root.list():
            if unseen.get(info.path) == info.size_bytes:
                del unseen[info.path]
            else:
                others += 1
        if unseen or others != self.audio_files + 1:
            lost = next(iter(unseen), f"one of {self.audio_files} audio files")
            raise LakeError(f"{self.root.uri}: {lost} is not as it was written; the same command line begins again")


@contextmanager
def begun(uri: str, release: ReleaseRecord, form: Form) -> Iterator[Target]:
    """The place for an export of `release`, emptied of an unfinished one of the same release and form.

    Raises ConfigError where something else is there. Where consent is refused midway, everything is deleted again.
    """
    check_room(uri, release, form)
    root = Root(uri)
    started = Started(
        form=form, release=release.name, version=release.version, sha256=release.sha256, writer=secrets.token_hex(16)
    )
    _make_room(root)
    try:
        root.create(STARTED, started.model_dump_json().encode())
    except AlreadyExists:
        raise ConfigError(f"{root.uri}: another export began there at the same moment") from None
    with tempfile.TemporaryDirectory(prefix="provoice-export-") as folder:
        target = Target(root, started, Path(folder))
        try:
            yield target
        except ConsentError:
            target.close()
            if _read_started(root) == started:  # else somebody else's export has taken the place of ours
                _remove(root, [info.path for info in root.list() if _OURS.fullmatch(info.path)])
            raise
        finally:
            target.close()


def check_room(uri: str, release: ReleaseRecord, form: Form) -> None:
    """Raises ConfigError where an export of `release` may not be written to `uri`. Changes nothing."""
    root = Root(uri)
    if root.is_local and Path(root.base).exists() and not Path(root.base).is_dir():
        raise ConfigError(f"{root.uri} is no folder; name an empty or absent one")
    there = _read_started(root)
    if root.exists(FINISHED):
        raise ConfigError(f"{root.uri} holds a finished export already ({FINISHED} says of what); name another folder")
    if there is None:
        if any(True for _ in root.list()):
            raise ConfigError(f"{root.uri} is not empty; name an empty or absent folder")
    elif (there.form, there.sha256) != (form, release.sha256):
        raise ConfigError(
            f"{root.uri} holds an unfinished {there.form} export of {there.release}@{there.version}; "
            "name another folder, or empty this one"
        )


def _make_room(root: Root) -> None:
    """Removes what an unfinished export of the same release left: consent may have changed since it was written."""
    paths = [info.path for info in root.list()]
    foreign = next((path for path in paths if path != STARTED and not _OURS.fullmatch(path)), None)
    if foreign is not None:
        raise ConfigError(f"{root.uri} holds {foreign}, which is no part of an export; name another folder")
    _remove(root, [path for path in paths if path != STARTED])


def _remove(root: Root, paths: Iterable[str]) -> None:
    """The marker last: without it, what is left could not be told from a person's own files."""
    for path in (*paths, STARTED):
        root.delete(path)


def _read_started(root: Root) -> Started | None:
    with suppress(Missing):
        data = root.read(STARTED)
        try:
            return parse(Started, json.loads(data), root.uri_of(STARTED))
        except ValueError:
            raise ConfigError(f"{root.uri_of(STARTED)} is not JSON; empty the folder") from None
    return None


def _measured(data: bytes | Path) -> tuple[int, str]:
    if isinstance(data, bytes):
        return len(data), hashlib.sha256(data).hexdigest()
    with data.open("rb") as file:
        return data.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest()
