"""What `provoice audit prove` and `provoice audit check` say."""

from __future__ import annotations

import json
from pathlib import Path

from lake.lake import Lake
from lake.releases import read_release
from pipelines.release.proof import Proofs, check_proof, prove
from schemas.errors import ConfigError
from schemas.model import parse


def prove_text(lake_uri: str, name: str, version: int | None, key: str, *, as_json: bool) -> str:
    """The proof of an utterance, for everybody who is heard in it."""
    lake = Lake.open(lake_uri)
    found = prove(lake, read_release(lake, name, version), key)
    if as_json:
        return found.model_dump_json() + "\n"
    lines: list[str] = []
    for one in found.proofs:
        lines += [
            f"{one.key}",
            f"  was in {one.release}@{one.version} for {one.subject_id}, on {one.grant_id}, rule {one.rule}",
            f"  as number {one.index + 1:,} of {one.size:,}",
            *(f"  beside    {digest}" for digest in one.path),
            f"  root      {one.root}",
        ]
    return "\n".join([*lines, f"`--json` writes what `provoice audit check {lake_uri} FILE` reads"]) + "\n"


def check_text(lake_uri: str, file: str) -> tuple[str, bool]:
    """What the proofs in a file show, and whether all of them hold."""
    try:
        said = parse(Proofs, json.loads(Path(file).read_bytes()), file)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{file} is no proof: {error}; `provoice audit prove … --json` makes one") from None
    lake = Lake.open(lake_uri)
    found = [check_proof(lake, one) for one in said.proofs]
    lines = [f"{'holds' if one.holds else 'FAILS'}  {one.about}: {one.said}" for one in found]
    return "\n".join(lines) + "\n", bool(found) and all(one.holds for one in found)
