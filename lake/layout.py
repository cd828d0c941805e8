"""Where everything lies within a lake: one function per kind of object, and no path is put together elsewhere."""

from __future__ import annotations

import re

from schemas.errors import LakeError

HEAD = "lake.0.json"
LEDGER_HEAD = "ledger.0.json"
"""Within the ledger's root: it has been made, and is not merely an empty folder."""
_DIGEST_CHARS = 16


def run_folder(number: int) -> str:
    return f"runs/{number:06d}"


def run_path(number: int, generation: int) -> str:
    return f"{run_folder(number)}/run.{generation}.json"


def config_path(number: int) -> str:
    return f"{run_folder(number)}/config.yaml"


def plan_path(number: int, sha256: str) -> str:
    return f"{run_folder(number)}/plan-{sha256[:_DIGEST_CHARS]}.parquet"


def report_path(number: int, sha256: str) -> str:
    return f"{run_folder(number)}/report-{sha256[:_DIGEST_CHARS]}.html"


def forecast_path(number: int, sha256: str) -> str:
    """What a plan foretold, in the folder of the run that would be next."""
    return f"{run_folder(number)}/forecast-{sha256[:_DIGEST_CHARS]}.json"


def shard_path(run_id: str, unit_id: str, sha256: str) -> str:
    return f"shards/{run_id}/{unit_id}-{sha256[:_DIGEST_CHARS]}.tar"


_SHARD = re.compile(r"shards/(?P<run_id>[^/]+)/(?P<unit_id>[^/]+)-[0-9a-f]{16}\.tar")


def unit_of_shard(path: str) -> tuple[str, str]:
    """(run_id, unit_id) of a tar, which its path names. Raises LakeError for any other path."""
    found = _SHARD.fullmatch(path or "")
    if found is None:
        raise LakeError(f"{path!r} is no shard of a lake")
    return found["run_id"], found["unit_id"]


def utterances_path(run_id: str, unit_id: str, sha256: str) -> str:
    return f"utterances/run={run_id}/{unit_id}-{sha256[:_DIGEST_CHARS]}.parquet"


def recordings_path(run_id: str, unit_id: str, sha256: str) -> str:
    return f"recordings/run={run_id}/{unit_id}-{sha256[:_DIGEST_CHARS]}.parquet"


def commit_folder(run_id: str) -> str:
    return f"commits/{run_id}"


def commit_path(run_id: str, unit_id: str, generation: int) -> str:
    return f"{commit_folder(run_id)}/{unit_id}.{generation}.json"


def snapshot_folder(number: int) -> str:
    return f"snapshots/{number:08d}"


def snapshot_head_path(number: int) -> str:
    """Created last and exclusively: a snapshot without it is none."""
    return f"{snapshot_folder(number)}/snapshot.json"


def snapshot_file_path(number: int, kind: str, sha256: str) -> str:
    """A merged file of `kind` (or `commits`), made for snapshot `number` and listed again by later ones."""
    return f"{snapshot_folder(number)}/{kind}-{sha256[:_DIGEST_CHARS]}.parquet"


def snapshot_manifest_path(number: int, kind: str) -> str:
    """One absolute URI per line, for engines that read lists of files."""
    return f"{snapshot_folder(number)}/{kind}.manifest"


def release_folder(name: str, version: int) -> str:
    return f"releases/{name}/{version}"


def release_path(name: str, version: int) -> str:
    """Created last and exclusively: a release without it is none."""
    return f"{release_folder(name, version)}/release.json"


def replaced_path(name: str, version: int) -> str:
    """Beside a release's record, once an erasure has put another version in its place."""
    return f"{release_folder(name, version)}/replaced.json"


def release_index_path(name: str, version: int, part: int, sha256: str) -> str:
    return f"{release_folder(name, version)}/index/part-{part:05d}-{sha256[:_DIGEST_CHARS]}.parquet"


def release_croissant_path(name: str, version: int) -> str:
    return f"{release_folder(name, version)}/croissant.json"


def audit_rows_path(name: str, version: int, sha256: str) -> str:
    """Within the ledger's root: who is in a release, and on which permission."""
    return f"audit/{name}/{version}/rows-{sha256[:_DIGEST_CHARS]}.parquet"


def notice_path(name: str) -> str:
    """Within the ledger's root: what a user of a release is told."""
    return f"notices/{name}.json"


def sent_notice_path(name: str) -> str:
    """Beside a notice, once a webhook has taken it."""
    return f"notices/{name}.sent.json"


def erasure_folder(number: int) -> str:
    """Within the ledger's root: what an erasure of several steps must know to go on."""
    return f"erasures/{number:06d}"


def certificate_path(number: int, generation: int, ending: str = "json") -> str:
    """Within the ledger's root."""
    return f"certificates/{number:06d}.{generation}.{ending}"


def projection_head_path(number: int) -> str:
    """Within the ledger's root: what the projection `number` covers, and its files."""
    return f"projection/{number:08d}.json"


def projection_file_path(order: str, first: int, last: int, sha256: str) -> str:
    """Within the ledger's root: events `first` to `last`, sorted by `order` (`position` or `subject`)."""
    return f"projection/by_{order}/{first:012d}-{last:012d}-{sha256[:_DIGEST_CHARS]}.parquet"


def segment_path(segment: int) -> str:
    """Within the ledger's root."""
    return f"log/{segment:012d}.jsonl"
