"""What Terraform itself makes of the files, with a provider that makes nothing; and each check finds its mistake."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from google.cloud import dataflow_v1beta3
from google.protobuf import json_format

from tests.infra import plan_checks
from tests.infra.conftest import EVERYTHING
from tests.infra.provider_schema import Block
from tests.infra.terraform import copied, planned, resources, validated

STORAGE, IDENTITY, RAY = (f"module.platform.module.{name}" for name in ("storage", "identity", "ray"))
Found = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def made(plan: Mapping[str, Any]) -> Found:
    return resources(plan)


@pytest.mark.parametrize("check", plan_checks.CHECKS)
def test_invariants(check: Callable[[Found], list[str]], made: Found) -> None:
    assert check(made) == []


def test_everything_is_planned(made: Found, plan: Mapping[str, Any]) -> None:
    print(f"{len(made)} resources planned")
    assert {address.split(".")[3] for address in made if address.count("module.") > 1} >= {
        "storage", "identity", "registry", "dataflow", "ray[0]", "composer[0]", "warehouse", "observability",
    } - {"dataflow", "ray[0]", "composer[0]"}  # fmt: skip
    outputs = {name: one.get("value") for name, one in plan["planned_values"]["outputs"].items()}
    assert outputs["uris"]["lake"] == "gs://a-project-provoice-lake/main"
    assert outputs["image"] == "europe-west4-docker.pkg.dev/a-project/provoice-images/provoice:0.1.0"
    assert all(outputs[name] for name in ("build_command", "key_command", "launch_command", "cluster", "airflow_uri"))


def test_the_template_is_as_dataflow_takes_it(made: Found) -> None:
    (template,) = (one["values"] for address, one in made.items() if address.endswith("bucket_object.template"))
    spec = json_format.Parse(template["content"], dataflow_v1beta3.ContainerSpec.pb()())  # an unknown field raises
    assert spec.image == spec.default_environment.sdk_container_image
    assert {one.name for one in spec.metadata.parameters} == {
        "config", "source", "lake", "ledger", "catalogue", "run_id", "set",
    }  # fmt: skip


def test_alerts_and_charts_speak_of_counters_that_there_are(made: Found) -> None:
    documented = Path(__file__).resolve().parents[2].joinpath("docs", "beam.md").read_text()
    (dashboard,) = (
        one["values"]["dashboard_json"] for one in made.values() if one["type"] == "google_monitoring_dashboard"
    )
    widgets = json.loads(dashboard)["gridLayout"]["widgets"]
    alerts = [json.dumps(one["values"]) for one in made.values() if one["type"] == "google_monitoring_alert_policy"]
    filters = " ".join([*alerts, *(json.dumps(widget) for widget in widgets)]).replace("\\", "")
    counters = set(re.findall(r"metric_name=\"(\w+)\"", filters))
    counters |= {name for group in re.findall(r"one_of\(([^)]*)\)", filters) for name in re.findall(r"\w+", group)}
    assert counters == {
        "receipts", "dead", "sources", "emitted", "erased", "source_ms", "speech_ms", "utterance_ms", "source_bytes",
        "utterances",
    }  # fmt: skip
    assert [name for name in counters if f"`{name}`" not in documented] == []


def _set(*path: Any, value: Any) -> Callable[[Found], None]:
    def change(made: Found) -> None:
        address, *steps, last = path
        at: Any = made[address]["values"]
        for step in steps:
            at = at[step]
        at[last] = value

    return change


def _grant(bucket: str, identity: str, role: str) -> Callable[[Found], None]:
    def change(made: Found) -> None:
        values = {"bucket": f"a-project-provoice-{bucket}", "member": identity, "role": role}
        made["mistake"] = {"type": "google_storage_bucket_iam_member", "values": values}

    return change


def _project_role(role: str) -> Callable[[Found], None]:
    def change(made: Found) -> None:
        values = {"role": role, "member": "serviceAccount:provoice-worker@a-project.iam.gserviceaccount.com"}
        made["mistake"] = {"type": "google_project_iam_member", "values": values}

    return change


def _without(address: str) -> Callable[[Found], None]:
    def change(made: Found) -> None:
        del made[address]

    return change


LAKE, LEDGER = f'{STORAGE}.google_storage_bucket.forgetting["lake"]', f"{STORAGE}.google_storage_bucket.ledger"
WORKER = "serviceAccount:provoice-worker@a-project.iam.gserviceaccount.com"
ERASER, CREATOR = "projects/a-project/roles/provoice_eraser", f"{IDENTITY}.google_project_iam_custom_role.creator"
CPU = f'{RAY}[0].google_container_node_pool.this["cpu"]'
MISTAKES: Mapping[str, tuple[Callable[[Found], list[str]], Callable[[Found], None]]] = {
    "a bucket for everybody": (plan_checks.public, _grant("lake", "allUsers", "roles/storage.objectViewer")),
    "a bucket that may become public": (plan_checks.public, _set(LAKE, "public_access_prevention", value="inherited")),
    "access lists on objects": (plan_checks.public, _set(LAKE, "uniform_bucket_level_access", value=False)),
    "nodes on the internet": (plan_checks.public, _set(CPU, "network_config", 0, "enable_private_nodes", value=False)),
    "a release for everybody": (
        plan_checks.public,
        _set('module.platform.module.warehouse.google_bigquery_row_access_policy.allowed["clean"]', "grantees",
             value=["allAuthenticatedUsers"]),
    ),
    "an owner": (plan_checks.broad_roles, _project_role("roles/owner")),
    "an editor": (plan_checks.broad_roles, _project_role("roles/editor")),
    "an administrator of storage": (plan_checks.broad_roles, _project_role("roles/storage.objectAdmin")),
    "a worker that deletes": (plan_checks.who_deletes, _grant("lake", WORKER, ERASER)),
    "a worker with Google's own role that deletes": (
        plan_checks.who_deletes, _grant("lake", WORKER, "roles/storage.objectUser"),
    ),
    "a second role that deletes": (
        plan_checks.who_deletes, _set(CREATOR, "permissions", value=["storage.objects.get", "storage.objects.delete"]),
    ),
    "nobody who erases": (
        plan_checks.who_deletes, _without(f'{STORAGE}.google_storage_bucket_iam_member.identity["lake/erasure"]'),
    ),
    "no deny policy": (plan_checks.guarded, _without(f"{IDENTITY}.google_iam_deny_policy.deletes[0]")),
    "a bucket without its tag": (
        plan_checks.guarded, _without(f'{STORAGE}.google_tags_location_tag_binding.deletes["raw"]'),
    ),
    "an exception for the ledger": (
        plan_checks.guarded,
        _set(f"{IDENTITY}.google_iam_deny_policy.deletes[0]", "rules", 1, "deny_rule", 0, "exception_principals",
             value=["principal://goog/subject/me@example.org"]),
    ),
    "versions of the lake": (plan_checks.kept_versions, _set(LAKE, "versioning", 0, "enabled", value=True)),
    "soft delete of the lake": (
        plan_checks.kept_versions, _set(LAKE, "soft_delete_policy", 0, "retention_duration_seconds", value=604800),
    ),
    "soft delete by default": (plan_checks.kept_versions, _set(LAKE, "soft_delete_policy", value=[])),
    "retention of the lake": (
        plan_checks.kept_versions, _set(LAKE, "retention_policy", value=[{"retention_period": 86400}]),
    ),
    "a lake that archives": (
        plan_checks.kept_versions,
        _set(LAKE, "lifecycle_rule", 0, "action", value=[{"type": "SetStorageClass"}]),
    ),
    "a ledger without versions": (plan_checks.kept_versions, _set(LEDGER, "versioning", 0, "enabled", value=False)),
    "a ledger without retention": (plan_checks.kept_versions, _set(LEDGER, "retention_policy", value=[])),
    "a lake that Terraform empties": (plan_checks.kept_versions, _set(LAKE, "force_destroy", value=True)),
    "an eraser of the ledger": (plan_checks.ledger_writers, _grant("ledger", WORKER, ERASER)),
    "Google's key": (plan_checks.unencrypted, _set(LAKE, "encryption", value=[])),
    "a key for ever": (
        plan_checks.unencrypted,
        _set(f'{IDENTITY}.google_kms_crypto_key.this["lake"]', "rotation_period", value=None),
    ),
    "a pool that stays": (
        plan_checks.idle_machines, _set(CPU, "autoscaling", 0, "total_min_node_count", value=1),
    ),
    "a pool at full price": (plan_checks.idle_machines, _set(CPU, "node_config", 0, "spot", value=False)),
    "a release without a row policy": (
        plan_checks.open_rows,
        _without('module.platform.module.warehouse.google_bigquery_row_access_policy.allowed["clean"]'),
    ),
    "a table without tags": (
        plan_checks.open_rows,
        _set('module.platform.module.warehouse.google_bigquery_table.current["utterances"]', "schema",
             value='[{"name": "subject_id", "type": "STRING"}]'),
    ),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_found(mistake: str, made: Found) -> None:
    check, change = MISTAKES[mistake]
    changed = copy.deepcopy(made)
    change(changed)
    assert check(changed)


EDITS = {
    "a reference to nothing": ("modules/storage/outputs.tf", "local.buckets", "local.bukkets", "undeclared"),
    "an output that is not there": (
        "modules/platform/main.tf", "module.storage.uris.lake", "module.storage.lake", "Unsupported attribute",
    ),
    "a number for a list": (
        "modules/registry/main.tf", '"roles/artifactregistry.writer"', "[1]", "Incorrect attribute value type",
    ),
    "an attribute that is not there": (
        "modules/registry/main.tf", 'format        = "DOCKER"', 'fromat = "DOCKER"', "Unsupported argument",
    ),
}  # fmt: skip


@pytest.mark.long
@pytest.mark.parametrize("edit", EDITS)
def test_terraform_finds_a_mistake(edit: str, schema: Mapping[str, Block], tmp_path: Path) -> None:
    file, before, after, expected = EDITS[edit]
    folder = copied(tmp_path)
    text = (folder / file).read_text()
    assert before in text
    (folder / file).write_text(text.replace(before, after))
    assert any(expected in line for line in validated(folder / "envs" / "prod", schema))


REFUSED: Mapping[str, Mapping[str, Any]] = {
    "latest": {"image_tag": "latest"},
    "everybody": {"stewards": ["allUsers"]},
    "another region's zone": {"zone": "us-central1-a"},
    "a glob over an index": {
        "releases": {"clean": {"version": 1, "index": ["releases/clean/1/index/part-*.parquet"], "readers": []}}
    },
    "a part that does not exist": {"parts": ["spark"]},
    "half a snapshot": {"snapshot": 1.5},
}


@pytest.mark.long
@pytest.mark.parametrize("wrong", REFUSED)
def test_a_wrong_variable_is_refused(wrong: str, schema: Mapping[str, Block], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Invalid value for variable"):
        planned(copied(tmp_path) / "envs" / "dev", schema, {**EVERYTHING, **REFUSED[wrong]})


@pytest.mark.long
def test_the_smallest_environment(schema: Mapping[str, Block], tmp_path: Path) -> None:
    """Nothing but what must be said: no engine but Dataflow, no snapshot, no release, nobody to tell."""
    least = {name: EVERYTHING[name] for name in ("project_id", "region", "zone", "image_tag")}
    found = resources(planned(copied(tmp_path) / "envs" / "dev", schema, least))
    assert [complaint for check in plan_checks.CHECKS for complaint in check(found)] == []
    kinds = {one["type"] for one in found.values()}
    assert not kinds & {"google_container_cluster", "google_composer_environment", "google_bigquery_table"}
    print(f"{len(found)} resources in the smallest environment")
