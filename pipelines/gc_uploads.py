"""Uploads in parts that nobody finished: on S3 they cost money for ever, unless the bucket has a rule that ends them.

GCS ends its own after a week, and cannot list them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from lake.clients import S3
from lake.retries import retried
from lake.storage import Root
from lake.store_errors import in_one_line
from schemas.errors import LakeError


@dataclass(frozen=True, slots=True)
class Upload:
    """An upload that was begun and is not complete."""

    root: Root
    bucket: str
    key: str
    upload_id: str
    began: datetime


def unfinished_uploads(root: Root) -> Iterator[Upload]:
    """Those below `root`; none but on S3."""
    if root.protocol not in S3:
        return
    bucket, _, prefix = root.base.partition("/")
    options = {"Bucket": bucket, "Prefix": f"{prefix}/" if prefix else "", **root.filesystem.req_kw}
    while True:
        page = _asked(root, "list_multipart_uploads", options)
        for found in page.get("Uploads", ()):
            yield Upload(root, bucket, found["Key"], found["UploadId"], found["Initiated"])
        if not page.get("IsTruncated"):
            return
        options |= {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page["NextUploadIdMarker"]}


def abort(upload: Upload) -> None:
    """Ends it; whoever still writes to it is refused. One that is gone already counts as ended."""
    words = {"Bucket": upload.bucket, "Key": upload.key, "UploadId": upload.upload_id}
    try:
        _asked(upload.root, "abort_multipart_upload", {**words, **upload.root.filesystem.req_kw})
    except LakeError as error:
        if not isinstance(error.__cause__, FileNotFoundError):
            raise


def _asked(root: Root, method: str, options: dict[str, Any]) -> Any:
    try:
        return retried(lambda: root.filesystem.call_s3(method, **options))
    except Exception as error:
        # Every store's client has exceptions of its own.
        raise LakeError(f"{root.uri}: {in_one_line(error)}") from error
