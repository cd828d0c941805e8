"""What several tests of the infrastructure look at: one plan of everything, and the provider's schema."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tests.infra.files import parsed, stated
from tests.infra.provider_schema import Block, read_schema
from tests.infra.terraform import copied, planned

EVERYTHING: Mapping[str, Any] = {
    "project_id": "a-project",
    "region": "europe-west4",
    "zone": "europe-west4-a",
    "image_tag": "0.1.0",
    "parts": ["dataflow", "ray", "composer"],
    "stewards": ["group:stewards@example.org"],
    "contributors": ["group:field@example.org"],
    "analysts": ["group:analysts@example.org"],
    "transcript_readers": ["group:asr@example.org"],
    "alert_emails": ["oncall@example.org"],
    "monthly_budget": {"billing_account": "012345-6789AB-CDEF01", "amount": 1000, "currency": "EUR"},
    "snapshot": 12,
    "releases": {
        "clean": {
            "version": 3,
            "index": ["releases/clean/3/index/part-00000-0123456789abcdef.parquet"],
            "readers": ["group:asr@example.org"],
        }
    },
}
"""Variables of an environment in which there is something of every kind."""


@pytest.fixture(scope="session")
def schema() -> Mapping[str, Block]:
    """Of every kind of resource that a file names."""
    return read_schema({one.kind for one in stated(parsed())})


@pytest.fixture(scope="session")
def plan(schema: Mapping[str, Block], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """`terraform plan` of prod with everything in it, from nothing."""
    return planned(copied(tmp_path_factory.mktemp("plan")) / "envs" / "prod", schema, EVERYTHING)
