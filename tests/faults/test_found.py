"""Faults that the harness found in the product, each as what a user would have seen."""

from __future__ import annotations

import pytest

from lake import runs
from lake.lake import Lake
from lake.storage import Root
from pipelines.child import JobSpec, _open
from pipelines.config import load_config
from schemas.errors import AlreadyExists, ConfigError
from tests.builders import ANNA, write_run
from tests.faults.inline import QUICK


def test_a_lake_whose_ledger_was_never_marked_is_not_made(tmp_path, monkeypatch):
    """The store refused the mark though nobody held it, and every later command found a lake without a ledger."""
    real, refused = Root.create, []

    def create(self, path, data):
        if path.endswith("ledger.0.json") and not refused:
            refused.append(path)
            raise AlreadyExists(f"{path} exists already")
        real(self, path, data)

    monkeypatch.setattr(Root, "create", create)
    with pytest.raises(ConfigError, match="ledger"):
        Lake.create_or_open(str(tmp_path / "lake"))
    assert Lake.create_or_open(str(tmp_path / "lake")).ledger().head() == 0


def test_a_worker_opens_its_run_though_no_listing_shows_it(tmp_path, monkeypatch):
    """It said `a worker did not start: StopIteration`."""
    lake = Lake.create_or_open(str(tmp_path / "lake"))
    run = write_run(lake, tmp_path, [[ANNA]], run_id="r", committed=0)
    closed = runs.revise_run(lake, run.model_copy(update={"is_closed": True}))
    monkeypatch.setattr(Root, "list", lambda *_, **__: iter(()))
    monkeypatch.setattr("resource.setrlimit", lambda *_: None)  # it would hold for this process, too
    config = load_config("configs/explore.yaml", QUICK).model_dump(mode="json")
    assert runs.read_run(lake, 1) == closed
    job = _open(JobSpec(str(tmp_path / "lake"), 1, config, str(tmp_path / "work")))
    assert job.run == closed
