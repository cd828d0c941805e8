"""WebDataset: tars of `{key}.flac`, `{key}.json` and, where there is text, `{key}.txt`, in the release's order.

A sample's members lie together, names hold one dot, nothing is pickled: `WDS_SECURE=1` reads them.
Source: https://github.com/webdataset/webdataset.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from pipelines.export.rows import json_line
from pipelines.export.samples import ExportSample, consent_lineage
from pipelines.export.target import Target
from schemas.releases import ReleaseRecord

_HEADER = 1536
"""What a member takes beside its bytes: header, padding, at most one extended header for a long name."""


def write(samples: Iterable[ExportSample], release: ReleaseRecord, target: Target, shard_bytes: int) -> None:
    """Tars of about `shard_bytes` each, numbered from 0 without a gap, so that `{00000..00041}` names them all."""
    for number, members in enumerate(_shards(_members(samples, release), shard_bytes)):
        # The release's name and digest are in the name: mlcroissant keeps what it has unpacked by the tar's name.
        name = f"{release.name}-{release.version}-{release.sha256[:8]}-{number:05d}.tar"
        local = target.folder / name
        rows = _write_tar(local, members)
        target.put("shard", f"shards/{name}", local, rows)


Members = list[tuple[str, bytes]]


def _members(samples: Iterable[ExportSample], release: ReleaseRecord) -> Iterator[Members]:
    for sample in samples:
        described = json_line({**sample.row, "consent_lineage": consent_lineage(sample, release)})
        members = [(f"{sample.key}.{sample.codec}", sample.audio), (f"{sample.key}.json", described)]
        if sample.text is not None:
            members.append((f"{sample.key}.txt", sample.text.encode()))
        yield members


def _shards(samples: Iterable[Members], shard_bytes: int) -> Iterator[Iterator[Members]]:
    """Samples, tar by tar; a tar ends with the sample that fills it. Each tar is read before the next is asked for."""
    waiting = iter(samples)
    for first in waiting:
        yield _one_shard(first, waiting, shard_bytes)


def _one_shard(first: Members, rest: Iterator[Members], shard_bytes: int) -> Iterator[Members]:
    members, size = first, 0
    while True:
        yield members
        size += sum(len(data) + _HEADER for _, data in members)
        if size >= shard_bytes:
            return
        following = next(rest, None)
        if following is None:
            return
        members = following


def _write_tar(path: Path, samples: Iterator[Members]) -> int:
    """Writes a tar without time or owner; returns the number of samples."""
    rows = 0
    with tarfile.open(path, "x", format=tarfile.PAX_FORMAT) as tar:
        for members in samples:
            rows += 1
            for name, data in members:
                _add(tar, name, data)
    return rows


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    import io

    info = tarfile.TarInfo(name)
    info.size, info.mode, info.mtime = len(data), 0o644, 0
    tar.addfile(info, io.BytesIO(data))
