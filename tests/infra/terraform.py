"""The real Terraform, and what it says of our files with a provider that makes nothing."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.infra.fetched import program
from tests.infra.provider import serving
from tests.infra.provider_schema import Block

ROOT = Path(__file__).resolve().parents[2]
INFRA = ROOT / "infra"
TERRAFORM = INFRA / "terraform"


def copied(folder: Path) -> Path:
    """What Terraform reads of the repository, copied: it writes beside what it reads, and a test may change it."""
    shutil.copytree(INFRA, folder / "infra", ignore=shutil.ignore_patterns("__pycache__", ".terraform*"))
    return folder / "infra" / "terraform"


def said(folder: Path, *words: str, environment: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """What `terraform WORDS` prints in a folder."""
    terraform = program("terraform", "the files are checked with Terraform")
    clean = {name: value for name, value in os.environ.items() if not name.startswith("TF_")}
    quiet = {"CHECKPOINT_DISABLE": "1", "TF_IN_AUTOMATION": "1", "TF_CLI_CONFIG_FILE": os.devnull}
    return subprocess.run(
        [terraform, *words], cwd=folder, env={**clean, **quiet, **(environment or {})}, capture_output=True, text=True
    )


def validated(folder: Path, schema: Mapping[str, Block]) -> list[str]:
    """The errors of `terraform validate` in a copy, one line each."""
    with serving(schema) as environment:
        _ready(folder, environment)
        found = json.loads(said(folder, "validate", "-json", environment=environment).stdout)
    return [f"{error['summary']}: {' '.join(error['detail'].split())}" for error in found["diagnostics"]]


def planned(folder: Path, schema: Mapping[str, Block], variables: Mapping[str, Any]) -> dict[str, Any]:
    """What `terraform plan` would make, as JSON: every value computed, what Google would set made up.

    Raises ValueError with what Terraform says where it refuses.
    """
    (folder / "test.auto.tfvars.json").write_text(json.dumps(variables))
    with serving(schema) as environment:
        _ready(folder, environment)
        done = said(folder, "plan", "-input=false", "-refresh=false", "-out=plan", "-no-color", environment=environment)
        if done.returncode:
            raise ValueError(" ".join(done.stderr.split()))
        plan: dict[str, Any] = json.loads(said(folder, "show", "-json", "plan", environment=environment).stdout)
    return plan


def resources(plan: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """By address, each with `type` and `values`; of all modules, without data sources."""
    found: dict[str, dict[str, Any]] = {}
    modules = [plan["planned_values"]["root_module"]]
    while modules:
        module = modules.pop()
        modules += module.get("child_modules", [])
        found |= {each["address"]: each for each in module.get("resources", []) if each["mode"] == "managed"}
    return found


def _ready(folder: Path, environment: Mapping[str, str]) -> None:
    # There is no bucket here for the state.
    (folder / "backend_override.tf").write_text('terraform {\n  backend "local" {}\n}\n')
    done = said(folder, "init", "-input=false", "-no-color", environment=environment)
    if done.returncode:
        raise ValueError(" ".join(done.stderr.split()))
