"""What a store keeps of an object that was deleted: versions, soft delete, holds and retention; and ending that.

GCS and S3 are asked. Of a local disk nobody can ask: its snapshots and backups are its owner's to know.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from lake.clients import GCS, S3
from lake.retries import retried
from lake.storage import Root
from lake.store_errors import in_one_line
from schemas.errors import LakeError

_PAGE = 1000


@dataclass(frozen=True, slots=True)
class Keeps:
    """What a bucket keeps by itself."""

    versions: bool = False
    """Deleted objects have versions, of before if it was switched off since."""
    soft_delete_s: int = 0
    """Seconds for which deleted objects can be brought back; nobody can shorten that for one object."""
    retention_s: int = 0
    """Seconds for which an object cannot be deleted at all; of objects of their own their own holds."""

    @property
    def soft_delete(self) -> timedelta:
        return timedelta(seconds=self.soft_delete_s)


@dataclass(frozen=True, slots=True)
class Version:
    """A version that is not current: what was deleted or replaced, or the mark that says so."""

    path: str
    """Within the root."""
    version_id: str
    size_bytes: int
    is_marker: bool = False


@dataclass(frozen=True, slots=True)
class Refused:
    """A version that stays, until an instant if that is known."""

    version: Version
    why: str
    until: datetime | None = None


def keeps(root: Root) -> Keeps:
    """What the bucket of `root` keeps. Raises LakeError where it may not be asked."""
    if root.protocol in GCS:
        return _keeps_on_gcs(root)
    return _keeps_on_s3(root) if root.protocol in S3 else Keeps()


def noncurrent(root: Root, prefix: str = "") -> Iterator[Version]:
    """Every version below `root` whose name begins with `prefix` and that is not current; marks of deletion last."""
    if root.protocol in GCS:
        yield from _on_gcs(root, prefix)
    elif root.protocol in S3:
        yield from _on_s3(root, prefix)


def delete_version(root: Root, version: Version) -> Refused | None:
    """Removes it for good; or says why the store does not. Raises LakeError for what cannot be explained."""
    bucket, key = _places(root, version.path)
    try:
        if root.protocol in GCS:
            _asked(root, "DELETE", "b/{}/o/{}", bucket, key, generation=version.version_id)
        else:
            _s3(root, "delete_object", Bucket=bucket, Key=key, VersionId=version.version_id)
    except LakeError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            return None
        until = _until(root, version)
        if until is None and not isinstance(error.__cause__, PermissionError) and _status(error) not in (403, 412):
            raise
        return Refused(version, str(error), until)
    return None


# --- GCS --------------------------------------------------------------------------------------------------------------


def _keeps_on_gcs(root: Root) -> Keeps:
    bucket, _ = _places(root, "")
    said = _asked(root, "GET", "b/{}", bucket, json_out=True)
    return Keeps(
        versions=bool((said.get("versioning") or {}).get("enabled")),
        soft_delete_s=int((said.get("softDeletePolicy") or {}).get("retentionDurationSeconds") or 0),
        retention_s=int((said.get("retentionPolicy") or {}).get("retentionPeriod") or 0),
    )


def _on_gcs(root: Root, prefix: str) -> Iterator[Version]:
    bucket, key = _places(root, prefix)
    options: dict[str, Any] = {"prefix": key, "versions": "true", "maxResults": _PAGE}
    while True:
        page = _asked(root, "GET", "b/{}/o", bucket, json_out=True, **options)
        for item in page.get("items", ()):
            if item.get("timeDeleted"):
                path = _within(root, item["name"])
                yield Version(path, str(item["generation"]), int(item.get("size") or 0))
        if not page.get("nextPageToken"):
            return
        options["pageToken"] = page["nextPageToken"]


# --- S3 ---------------------------------------------------------------------------------------------------------------


def _keeps_on_s3(root: Root) -> Keeps:
    bucket, _ = _places(root, "")
    # A bucket in which versioning was switched off keeps the versions that it has.
    has_versions = bool(_s3(root, "get_bucket_versioning", Bucket=bucket).get("Status"))
    return Keeps(versions=has_versions, retention_s=_lock_s(root, bucket))


def _lock_s(root: Root, bucket: str) -> int:
    """The bucket's default retention; 0 where it has none, or no object lock."""
    try:
        said = _s3(root, "get_object_lock_configuration", Bucket=bucket)
    except LakeError:
        return 0  # so S3 says that there is none
    rule = (said.get("ObjectLockConfiguration") or {}).get("Rule") or {}
    default = rule.get("DefaultRetention") or {}
    return 86_400 * (int(default.get("Days") or 0) + 365 * int(default.get("Years") or 0))


def _on_s3(root: Root, prefix: str) -> Iterator[Version]:
    bucket, key = _places(root, prefix)
    options: dict[str, Any] = {"Bucket": bucket, "Prefix": key, "MaxKeys": _PAGE}
    markers: list[Version] = []
    while True:
        page = _s3(root, "list_object_versions", **options)
        for item in page.get("Versions", ()):
            if not item["IsLatest"]:
                yield Version(_within(root, item["Key"]), item["VersionId"], int(item["Size"]))
        markers += [
            Version(_within(root, item["Key"]), item["VersionId"], 0, is_marker=True)
            for item in page.get("DeleteMarkers", ())
        ]
        if not page.get("IsTruncated"):
            break
        options |= {"KeyMarker": page["NextKeyMarker"], "VersionIdMarker": page["NextVersionIdMarker"]}
    # A mark that went first would make what it hides current again.
    yield from markers


def _until(root: Root, version: Version) -> datetime | None:
    """When the store will let go of it, if it says so."""
    bucket, key = _places(root, version.path)
    try:
        if root.protocol in GCS:
            item = _asked(root, "GET", "b/{}/o/{}", bucket, key, json_out=True, generation=version.version_id)
            said = (item.get("retention") or {}).get("retainUntilTime") or item.get("retentionExpirationTime")
            return datetime.fromisoformat(said).astimezone(UTC) if said else None
        held = _s3(root, "get_object_retention", Bucket=bucket, Key=key, VersionId=version.version_id)
        until = (held.get("Retention") or {}).get("RetainUntilDate")
        return until.astimezone(UTC) if until is not None else None
    except LakeError:
        return None


# --- both -------------------------------------------------------------------------------------------------------------


def _places(root: Root, path: str) -> tuple[str, str]:
    """Bucket and key of a path within the root."""
    bucket, _, prefix = root.base.partition("/")
    return bucket, f"{prefix}/{path}" if prefix else path


def _within(root: Root, key: str) -> str:
    _, _, prefix = root.base.partition("/")
    return key.removeprefix(f"{prefix}/") if prefix else key


def _asked(root: Root, *args: Any, **named: Any) -> Any:
    return _explained(root, lambda: root.filesystem.call(*args, **named))


def _s3(root: Root, method: str, **named: Any) -> Any:
    return _explained(root, lambda: root.filesystem.call_s3(method, **named, **root.filesystem.req_kw))


def _explained(root: Root, call: Any) -> Any:
    try:
        return retried(call)
    except Exception as error:
        # Every store's client has exceptions of its own.
        raise LakeError(f"{root.uri}: {in_one_line(error)}") from error


def _status(error: LakeError) -> int | None:
    found = getattr(error.__cause__, "code", None) or getattr(error.__cause__, "status", None)
    return int(found) if isinstance(found, int | str) and str(found).isdigit() else None
