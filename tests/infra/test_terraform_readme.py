"""What infra/terraform/README.md says, and what is made from the project's own schemas and prices."""

from __future__ import annotations

import json
import re

import pytest
import yaml

from tests.infra import bigquery_schema, costs
from tests.infra.terraform import INFRA, ROOT, TERRAFORM

TEXT = (TERRAFORM / "README.md").read_text()


def test_costs_are_those_that_the_prices_make() -> None:
    assert costs.in_readme(TEXT) == TEXT
    modules = {folder.name for folder in TERRAFORM.glob("modules/*")} - {"platform"}
    assert {name for name, *_ in costs.rows()} == modules


def test_every_price_has_its_day_and_place() -> None:
    table = yaml.safe_load(costs.PRICES.read_text())
    assert table["is_example"] is True
    assert all({"read", "source"} <= price.keys() for price in table.values() if isinstance(price, dict))
    for amount in (costs.CLUSTER_HOUR, costs.KEY_VERSION_MONTH):
        said = re.search(rf"\${amount:.2f}[^.;]*?\(<https://[^)]*\d{{4}}-\d\d-\d\d", TEXT.replace("\n", " "))
        assert said, amount
    assert str(costs.CPU_S_PER_AUDIO_HOUR) in (ROOT / "docs" / "benchmarks.md").read_text()


def test_seven_commands() -> None:
    (block,) = re.findall(r"## From an empty project.*?```sh\n(.*?)```", TEXT, re.S)
    assert len(block.strip().splitlines()) == 7
    outputs = (TERRAFORM / "envs" / "dev" / "outputs.tf").read_text()
    for name in re.findall(r"output -(?:raw|json) (\w+)", TEXT):
        assert f'output "{name}"' in outputs
    for name in re.findall(r"-var \"?(\w+)=", TEXT):
        assert f'variable "{name}"' in (TERRAFORM / "envs" / "dev" / "variables.tf").read_text()


def test_every_file_that_is_named_is_there() -> None:
    for path in re.findall(r"\]\(([^)#]+)\)", TEXT):
        assert (TERRAFORM / path).exists(), path
    for name in re.findall(r"infra/kuberay/([\w.-]+)", TEXT):
        assert (INFRA / "kuberay" / name).exists(), name


@pytest.mark.parametrize("table", bigquery_schema.TABLES)
def test_tables_are_those_of_the_lake(table: str) -> None:
    file = bigquery_schema.FOLDER / f"{table}.json.tftpl"
    assert file.read_text() == bigquery_schema.written(table), "python -m tests.infra.bigquery_schema"


def test_columns_that_lead_to_a_person_are_tagged() -> None:
    tagged: set[str] = set()

    def walk(fields: list[dict[str, object]], start: str = "") -> None:
        for field in fields:
            path = f"{start}{field['name']}"
            inner = field.get("fields")
            if isinstance(inner, list):
                walk(inner, f"{path}.")
            elif "policyTags" in field:
                tagged.add(path)

    for table in bigquery_schema.TABLES:
        walk(json.loads(bigquery_schema.written(table)))
    assert tagged >= {
        "consent.subject_id", "consent.grant_id", "lineage.source_path", "source_path", "subject_ids", "text",
        "justifications.subject_id", "extra.key_value.value",
    }  # fmt: skip
    # A name in the list that no table has would protect nothing.
    columns = " ".join(bigquery_schema.written(table) for table in bigquery_schema.TABLES)
    for path in bigquery_schema.PERSONAL | bigquery_schema.TRANSCRIPT:
        assert f'"name": "{path.rpartition(".")[2]}"' in columns, path
