"""Terraform's files as they are written; and each check finds the mistake that it is there for."""

from __future__ import annotations

import copy
import subprocess
from collections.abc import Mapping
from typing import Any

import hcl2
import pytest

from tests.infra import static_checks
from tests.infra.files import parsed, stated
from tests.infra.provider_schema import Block
from tests.infra.terraform import INFRA, TERRAFORM, said
from tests.servers.go_build import go_binary

HCLFMT = "github.com/hashicorp/hcl/v2/cmd/hclfmt@v2.24.0"
MODULES = {
    "storage", "identity", "registry", "dataflow", "ray", "composer", "warehouse", "observability", "network",
    "platform",
}  # fmt: skip


def test_every_file_is_read() -> None:
    assert {file.parent.name for file in TERRAFORM.glob("modules/*/main.tf")} | {"observability"} == MODULES
    assert {file.parent.name for file in TERRAFORM.glob("envs/*/main.tf")} == {"dev", "prod"}
    for folder in {file.parent for file in TERRAFORM.rglob("*.tf")}:
        assert {"variables.tf", "outputs.tf", "versions.tf"} <= {file.name for file in folder.iterdir()}, folder
    assert len(parsed()) == len(list(TERRAFORM.rglob("*.tf"))) > 50


def test_files_are_formatted() -> None:
    done = said(TERRAFORM, "fmt", "-check", "-recursive", ".")
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.long
def test_files_are_formatted_as_hcl_is() -> None:
    """For machines without Terraform: the rules of HCL's own formatter are part of `terraform fmt`'s."""
    hclfmt = go_binary(HCLFMT, "hclfmt")
    for file in sorted(TERRAFORM.rglob("*.tf")):
        text = file.read_text()
        assert subprocess.run([hclfmt], input=text, capture_output=True, text=True).stdout == text, file


def test_a_file_out_of_shape_is_found(tmp_path: Any) -> None:
    (tmp_path / "main.tf").write_text('variable "a" {\n  type = string\n  description = "b"\n}\n')
    assert said(tmp_path, "fmt", "-check", ".").returncode == 3


@pytest.mark.parametrize(
    "check",
    [
        static_checks.bad_variables,
        static_checks.bad_outputs,
        static_checks.bad_versions,
        static_checks.unused_variables,
    ],
)
def test_variables_outputs_and_versions(check: Any) -> None:
    assert check(parsed()) == []


def test_nothing_is_hard_coded() -> None:
    texts = {str(file.relative_to(TERRAFORM)): file.read_text() for file in TERRAFORM.rglob("*.tf")}
    assert static_checks.hard_coded(texts) == []
    assert static_checks.hard_coded({"a": '  region = "europe-west4"'}) == ['a: region = "europe-west4"']
    assert static_checks.hard_coded({"a": 'member = "robot@my-project.iam.gserviceaccount.com"'})


def test_no_lock_file_and_no_state_is_kept() -> None:
    """Which builds of a provider are right depends on who runs it; state and variables are each installation's own."""
    for name in (".terraform.lock.hcl", "terraform.tfstate", "own.tfvars", ".terraform/modules"):
        place = TERRAFORM / "envs" / "dev" / name
        done = subprocess.run(["git", "check-ignore", "--quiet", str(place)], cwd=TERRAFORM)
        assert done.returncode == 0 or not (TERRAFORM.parents[1] / ".git").exists(), name
    kept = subprocess.run(["git", "ls-files", str(INFRA)], cwd=TERRAFORM, capture_output=True, text=True).stdout
    assert [file for file in kept.splitlines() if file.endswith((".lock.hcl", ".tfvars")) or ".tfstate" in file] == []


def test_every_attribute_is_the_providers(schema: Mapping[str, Block]) -> None:
    complaints, resources, names = static_checks.against_schema(parsed(), schema)
    assert complaints == []
    print(f"{len(parsed())} files, {resources} resources and data sources, {names} attributes and blocks")
    assert resources == len(list(stated(parsed())))
    assert names > 500


MISTAKES = {
    "attribute": ('location  = "x"\n  name = "b"\n  colour = "red"', "no attribute colour"),
    "block": ('location = "x"\n  name = "b"\n  versions {\n    enabled = true\n  }', "no block versions"),
    "inner attribute": ('location = "x"\n  name = "b"\n  cors {\n    on = true\n  }', "no attribute on"),
    "inner required": ('location = "x"\n  name = "b"\n  versioning {\n  }', "enabled is required"),
    "required": ('name = "b"', "location is required"),
    "computed": ('location = "x"\n  name = "b"\n  self_link = "c"', "self_link is the provider's to set"),
    "twice": (
        'location = "x"\n  name = "b"\n' + "  versioning {\n    enabled = true\n  }\n" * 2,
        "block versioning may stand once",
    ),
    "dynamic": (
        'location = "x"\n  name = "b"\n  dynamic "cors" {\n    for_each = [1]\n    content {\n      a = 1\n    }\n  }',
        "no attribute a",
    ),
}


@pytest.mark.parametrize("kind", MISTAKES)
def test_a_mistake_against_the_schema_is_found(kind: str, schema: Mapping[str, Block]) -> None:
    body, expected = MISTAKES[kind]
    files = {"a.tf": hcl2.loads(f'resource "google_storage_bucket" "a" {{\n  {body}\n}}\n')}
    complaints, _, _ = static_checks.against_schema(files, schema)
    assert len(complaints) == 1
    assert expected in complaints[0]


def test_a_resource_that_does_not_exist_is_found(schema: Mapping[str, Block]) -> None:
    files = {"a.tf": hcl2.loads('resource "google_storage_bukket" "a" {\n  name = "b"\n}\n')}
    assert static_checks.against_schema(files, schema)[0] == [
        "a.tf: google_storage_bukket.a: the provider has no such resource"
    ]


@pytest.mark.parametrize("part", ["description", "type", "validation"])
def test_a_bare_variable_is_found(part: str) -> None:
    files = copy.deepcopy(dict(parsed()))
    variable = next(iter(files["modules/registry/variables.tf"]["variable"][0].values()))
    del variable[part]
    assert static_checks.bad_variables(files) == [f"modules/registry/variables.tf: variable project_id has no {part}"]


def test_a_bare_output_and_an_open_version_are_found() -> None:
    files = copy.deepcopy(dict(parsed()))
    del next(iter(files["modules/registry/outputs.tf"]["output"][0].values()))["description"]
    files["modules/ray/versions.tf"] = hcl2.loads('terraform {\n  required_version = ">= 1.9"\n}\n')
    assert static_checks.bad_outputs(files) == ["modules/registry/outputs.tf: output repository has no description"]
    assert static_checks.bad_versions(files) == [
        "modules/ray: no upper bound on Terraform's version",
        "modules/ray: google is not bounded by ~>",
    ]
