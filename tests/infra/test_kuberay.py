"""The manifests of infra/kuberay against KubeRay's definitions and Kubernetes' schemas, and what they promise."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import referencing
import yaml

from tests.infra.fetched import go_module, pypi_wheel
from tests.infra.terraform import INFRA

KUBERAY = ("github.com/ray-project/kuberay/ray-operator", "v1.4.2")
KUBERNETES = (
    "kubernetes-validate", "1.34.1", "6ad909e64c140d883f558949364aeca49637580ae88a9a00b59688ab44aae88d",
)  # fmt: skip
KUBERNETES_VERSION = "v1.34.0"
FOLDER = INFRA / "kuberay"
PROGRAM = FOLDER / "provoice-in-cluster"


def manifests(name: str) -> list[dict[str, Any]]:
    text = (FOLDER / name).read_text()
    return list(yaml.safe_load_all(text.replace("PROJECT", "a-project").replace("IMAGE", "r/i:1").replace("RUN", "r1")))


def closed(schema: Any) -> Any:
    """The schema with every object closed: the API server would prune what it does not know, without a word."""
    if isinstance(schema, list):
        return [closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    made = {name: closed(value) for name, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and not schema.get("x-kubernetes-preserve-unknown-fields"):
        made.setdefault("additionalProperties", False)
    if schema.get("x-kubernetes-int-or-string"):
        made = {name: value for name, value in made.items() if name in ("pattern", "description")}
        made["type"] = ["integer", "string"]
    return made


def kuberay_schema(plural: str) -> Mapping[str, Any]:
    """Of ray.io/v1, from the definition that the operator is installed with."""
    file = go_module(*KUBERAY) / "config" / "crd" / "bases" / f"ray.io_{plural}.yaml"
    definition = yaml.load(file.read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    (v1,) = (one for one in definition["spec"]["versions"] if one["name"] == "v1")
    schema: dict[str, Any] = closed(v1["schema"]["openAPIV3Schema"])
    schema["properties"]["metadata"] = {"type": "object"}  # checked by the API server, not by the definition
    return schema


def complaints(manifest: Mapping[str, Any], schema: Mapping[str, Any]) -> list[str]:
    found = jsonschema.Draft7Validator(schema).iter_errors(manifest)
    return [f"{'.'.join(map(str, error.absolute_path))}: {error.message}" for error in found]


@pytest.fixture(scope="module")
def schemas() -> Mapping[str, Mapping[str, Any]]:
    return {"RayCluster": kuberay_schema("rayclusters"), "RayJob": kuberay_schema("rayjobs")}


@pytest.mark.long
@pytest.mark.parametrize("name", ["raycluster.yaml", "rayjob.yaml"])
def test_manifests_are_as_kuberay_takes_them(name: str, schemas: Mapping[str, Any]) -> None:
    (manifest,) = manifests(name)
    assert complaints(manifest, schemas[manifest["kind"]]) == []


@pytest.mark.long
def test_mistakes_in_a_manifest_are_found(schemas: Mapping[str, Any]) -> None:
    (right,) = manifests("rayjob.yaml")
    for change in (
        lambda spec: spec.update(entrypont="x"),
        lambda spec: spec.update(backoffLimit="three"),
        lambda spec: spec["rayClusterSpec"].pop("headGroupSpec"),
        lambda spec: spec["rayClusterSpec"]["workerGroupSpecs"][0].update(minReplica=0),
        lambda spec: spec["rayClusterSpec"]["headGroupSpec"]["template"]["spec"].update(serviceAcount="x"),
    ):
        wrong = copy.deepcopy(right)
        change(wrong["spec"])
        assert complaints(wrong, schemas["RayJob"])


class Kubernetes:
    """Kubernetes' own schemas, strict: nothing that they do not name."""

    def __init__(self) -> None:
        self._wheel = zipfile.ZipFile(pypi_wheel(*KUBERNETES))
        definitions = referencing.Resource.from_contents(self._read("_definitions.json"))
        self._registry = referencing.Registry().with_resource(
            "https://kubernetes.io/api/_definitions.json", definitions
        )

    def complaints(self, manifest: Mapping[str, Any]) -> list[str]:
        *group, version = manifest["apiVersion"].replace(".k8s.io", "").split("/")
        schema = self._read("-".join([manifest["kind"].lower(), *group, version]) + ".json")
        schema.setdefault("$id", "https://kubernetes.io/api/one.json")
        found = jsonschema.Draft202012Validator(schema, registry=self._registry).iter_errors(manifest)
        return [f"{'.'.join(map(str, error.absolute_path))}: {error.message}" for error in found]

    def _read(self, name: str) -> dict[str, Any]:
        folder = f"kubernetes_validate/kubernetes-json-schema/{KUBERNETES_VERSION}-local-strict"
        read: dict[str, Any] = json.loads(self._wheel.read(f"{folder}/{name}"))
        return read


@pytest.mark.long
def test_everything_else_is_as_kubernetes_takes_it(tmp_path: Path) -> None:
    kubernetes = Kubernetes()
    _, said = _in_cluster(tmp_path, "gc", "gs://l/m")
    pod = json.loads(next(line for line in said if line.startswith("{")))
    for manifest in [*manifests("base.yaml"), {"kind": "Pod", "metadata": {"name": "p"}, **pod}]:
        assert kubernetes.complaints(manifest) == [], manifest
        assert kubernetes.complaints({**manifest, "metdata": {}})
    pod["spec"]["containers"][0]["imagePolicy"] = "Always"
    assert kubernetes.complaints({"kind": "Pod", **pod})


def pod_specs() -> Iterator[tuple[str, dict[str, Any]]]:
    for name in ("raycluster.yaml", "rayjob.yaml"):
        (manifest,) = manifests(name)
        spec = manifest["spec"].get("rayClusterSpec", manifest["spec"])
        for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"]):
            yield f"{name}: {group.get('groupName', 'head')}", group["template"]["spec"]


@pytest.mark.parametrize(("where", "spec"), list(pod_specs()))
def test_pods_are_nobody_and_have_an_identity(where: str, spec: dict[str, Any]) -> None:
    assert spec["serviceAccountName"] == ("planner" if where.endswith("head") else "worker")
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] == 10001
    for container in spec["containers"]:
        assert container["securityContext"] == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
        assert container["resources"]["limits"] == container["resources"]["requests"]


def test_the_two_clusters_are_the_same() -> None:
    (cluster,), (job,) = manifests("raycluster.yaml"), manifests("rayjob.yaml")
    assert job["spec"]["rayClusterSpec"] == cluster["spec"]
    assert all(group["minReplicas"] == 0 for group in cluster["spec"]["workerGroupSpecs"])


def test_versions_are_the_images() -> None:
    (cluster,) = manifests("raycluster.yaml")
    constraints = (INFRA.parent / "constraints.txt").read_text().splitlines()
    assert f"ray=={cluster['spec']['rayVersion']}" in constraints


def test_service_accounts_are_the_identities() -> None:
    accounts = {one["metadata"]["name"] for one in manifests("base.yaml") if one["kind"] == "ServiceAccount"}
    pools = (INFRA / "terraform" / "modules" / "ray" / "pools.tf").read_text()
    assert accounts == {"planner", "worker", "erasure", "auditor", "trainer"}
    assert 'toset(["planner", "worker", "erasure", "auditor", "trainer"])' in pools


def _in_cluster(tmp_path: Path, *words: str, status: int = 0) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    """The program with a kubectl and a gcloud that only write down what they are told."""
    said = tmp_path / "said"
    for name, code in (("kubectl", status), ("gcloud", 0)):
        tool = tmp_path / name
        tool.write_text(f'#!/bin/sh\nprintf "%s\\n" {name} "$@" >> {said}\nexit {code}\n')
        tool.chmod(0o755)
    environment = {
        "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}",
        "PROVOICE_IMAGE": "r/i:1",
        "PROVOICE_KEYS": "gs://keys",
        "PROVOICE_CLUSTER": "c",
        "PROVOICE_CLUSTER_LOCATION": "europe-west4-a",
    }
    done = subprocess.run(["bash", str(PROGRAM), *words], env=environment, capture_output=True, text=True)
    return done, said.read_text().split("\n") if said.exists() else []


@pytest.mark.parametrize(
    ("command", "account"),
    [("erase", "erasure"), ("gc", "erasure"), ("audit", "auditor"), ("run", "planner"), ("release", "planner")],
)
def test_each_command_has_its_identity(command: str, account: str, tmp_path: Path) -> None:
    done, said = _in_cluster(tmp_path, command, "gs://l/m", "--where", "snr_db > 15 and text != 'a \"b\"'")
    assert (done.returncode, done.stderr) == (0, "")
    spec = json.loads(next(line for line in said if line.startswith("{")))["spec"]
    assert spec["serviceAccountName"] == account
    (container,) = spec["containers"]
    assert container["command"] == ["provoice", command, "gs://l/m", "--where", "snr_db > 15 and text != 'a \"b\"'"]
    assert container["name"] in said
    assert container["image"] == "r/i:1"
    assert ("PROVOICE_CERTIFICATE_KEY_URI" in str(container["env"])) == (account == "erasure")


def test_the_exit_code_is_the_commands(tmp_path: Path) -> None:
    assert _in_cluster(tmp_path, "run", status=3)[0].returncode == 3


def test_a_program_without_a_command_asks_for_one(tmp_path: Path) -> None:
    done, said = _in_cluster(tmp_path)
    assert (done.returncode, done.stderr, said) == (2, "provoice-in-cluster: say a command, as to provoice\n", [])
