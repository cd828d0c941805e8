"""checkov over Terraform's files and the Dockerfile: what it says is heeded, or skipped with a reason."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.infra.fetched import tool
from tests.infra.terraform import ROOT, copied

CONFIG = Path(__file__).with_name("checkov.yaml")
VERSION = "3.3.30"


def found(folder: Path) -> tuple[int, set[str]]:
    """(checks passed, those that failed) of what lies in a folder."""
    command = [
        str(tool("checkov", VERSION) / "checkov"), "--directory", str(folder), "--framework", "terraform", "dockerfile",
        "--config-file", str(CONFIG), "--compact", "--quiet", "--skip-download", "--output", "json",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True)
    reports = json.loads(done.stdout)
    reports = reports if isinstance(reports, list) else [reports]
    assert not any(report["summary"]["parsing_errors"] for report in reports)
    failed = {check["check_id"] for report in reports for check in report["results"]["failed_checks"]}
    return sum(report["summary"]["passed"] for report in reports), failed


def test_every_skip_has_its_reason() -> None:
    lines = [line for line in CONFIG.read_text().splitlines() if line.startswith("  - ")]
    assert all(re.fullmatch(r"  - CKV_\w+ +# .{20,}", line) for line in lines)
    assert len(yaml.safe_load(CONFIG.read_text())["skip-check"]) == len(lines) <= 10


@pytest.mark.long
def test_checkov_finds_nothing_more(tmp_path: Path) -> None:
    folder = copied(tmp_path)
    shutil.copy(ROOT / "Dockerfile", tmp_path)
    passed, failed = found(tmp_path)
    print(f"checkov {VERSION}: {passed} checks passed")
    assert failed == set()
    assert passed > 60

    # And what it is there for, it finds.
    buckets = folder / "modules" / "storage" / "main.tf"
    buckets.write_text(buckets.read_text().replace('public_access_prevention    = "enforced"', ""))
    cluster = folder / "modules" / "ray" / "main.tf"
    cluster.write_text(
        cluster.read_text().replace("issue_client_certificate = false", "issue_client_certificate = true")
    )
    assert found(tmp_path)[1] >= {"CKV_GCP_114", "CKV_GCP_13"}
