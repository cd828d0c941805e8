"""Where everything lies within a lake: one function per kind of object, and no path is put together elsewhere."""

from __future__ import annotations

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


def shard_path(run_id: str, unit_id: str, sha256: str) -> str:
    return f"shards/{run_id}/{unit_id}-{sha256[:_DIGEST_CHARS]}.tar"


def utterances_path(run_id: str, unit_id: str, sha256: str) -> str:
    return f"utterances/run={run_id}/{unit_id}-{sha256[:_DIGEST_CHARS]}.parquet"


def recordings_path(run_id: str, unit_id: str, sha256: str) -> str:
    return f"recordings/run={run_id}/{unit_id}-{sha256[:_DIGEST_CHARS]}.parquet"


def commit_folder(run_id: str) -> str:
    return f"commits/{run_id}"


def commit_path(run_id: str, unit_id: str, generation: int) -> str:
    return f"{commit_folder(run_id)}/{unit_id}.{generation}.json"


def segment_path(segment: int) -> str:
    """Within the ledger's root."""
    return f"log/{segment:012d}.jsonl"
