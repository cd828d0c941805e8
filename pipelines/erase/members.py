"""Names of a tar's members, by its headers alone."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator

from lake.storage import Root
from schemas.errors import LakeError


def member_names(root: Root, path: str) -> Iterator[str]:
    """The names, in order; contents are skipped. Raises LakeError where it is no tar."""
    with root.open(path) as file:
        try:
            with tarfile.open(fileobj=file, mode="r:") as tar:
                for member in tar:
                    yield member.name
        except tarfile.TarError as error:
            raise LakeError(f"{root.uri_of(path)} cannot be read as a tar: {error}") from None
