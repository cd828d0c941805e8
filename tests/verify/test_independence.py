"""The verifier shares no line with what it checks: it imports neither erasure nor what reads a lake by its commits."""

from __future__ import annotations

from tests.imports import imports_in, modules_of

OURS = {"schemas", "transforms", "lake", "pipelines", "provoice"}
THE_STORE = {
    "lake", "lake.storage", "lake.clients", "lake.listing", "lake.ranged", "lake.retries", "lake.store_errors",
    "lake.local_create", "lake.remote_create",
}  # fmt: skip
"""The store, and nothing that knows what a lake is."""
ALLOWED = {
    *THE_STORE, "schemas", "schemas.errors", "schemas.model", "pipelines", "pipelines.engines",
    "pipelines.engines.contract", "pipelines.engines.beam_config", "pipelines.engines.ray_config",
}  # fmt: skip
EVERY = {name: path for package in OURS for name, path in modules_of(package).items()}
VERIFIER = {name for name in EVERY if name == "pipelines.verify" or name.startswith("pipelines.verify.")}


def reached(start):
    """Every module of ours that importing or running these reaches, imports within functions too."""
    waiting, found = list(start), set()
    while waiting:
        name = waiting.pop()
        if name in found or name not in EVERY:
            continue
        found.add(name)
        waiting += [one.module for one in imports_in(name, EVERY[name]) if one.top in OURS]
        waiting += [name.rpartition(".")[0]] if "." in name else []
    return found


def test_there_is_a_verifier_to_look_at():
    assert {"pipelines.verify.scan", "pipelines.verify.walk", "pipelines.verify.work"} <= VERIFIER


def test_it_reaches_the_store_and_its_own_modules_and_nothing_else():
    assert reached(VERIFIER) - VERIFIER - ALLOWED == set()


def test_what_it_may_reach_knows_no_erasure_no_commits_and_no_lineage():
    words = ("erase", "commit", "currency", "lineage", "reader", "snapshot", "release", "plan", "ledger")
    assert [name for name in reached(VERIFIER) for word in words if word in name] == []


def test_erasure_would_be_noticed(monkeypatch):
    real = imports_in

    def with_one_more(name, path):
        found = real(name, path)
        if name == "pipelines.verify.walk":
            found += [type(found[0])("lake.reader", 1, False)]
        return found

    monkeypatch.setattr("tests.verify.test_independence.imports_in", with_one_more)
    assert "lake.commits" in reached(VERIFIER)
