"""Erasure in buckets that keep versions: they go, too, and what a store does not let go is named, with its end."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from lake import versions
from lake.lake import Lake
from lake.storage import Root
from pipelines.erase.certificate import read_certificate
from pipelines.erase.closure import find
from pipelines.erase.kept import purge_paths
from pipelines.snapshot import take_snapshot
from tests.builders import ANNA, BEN, write_run
from tests.collected import check_promises
from tests.erasures import KEY, erased
from tests.servers import stores

# The clients' own: sessions that they close when the interpreter ends.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("PROVOICE_SUPPRESSION_KEY", KEY)


@pytest.fixture(scope="module", params=["gs", "s3"])
def store(request, tmp_path_factory):
    with stores.proven(request.param, tmp_path_factory.mktemp("store")) as (uri, _):
        yield uri


@pytest.fixture
def versioned(store):
    """A bucket of its own that keeps versions."""
    name = f"versioned-{uuid.uuid4().hex[:12]}"
    root = Root(store)
    if store.startswith("gs"):
        body = {"name": name, "versioning": {"enabled": True}}
        root.filesystem.call("POST", "b", project="test", json=body)
    else:
        root.filesystem.call_s3("create_bucket", Bucket=name)
        status = {"Status": "Enabled"}
        root.filesystem.call_s3("put_bucket_versioning", Bucket=name, VersioningConfiguration=status)
    return f"{store.partition('://')[0]}://{name}"


def every_version(root):
    """Bytes of every version of every object, current or not, by name."""
    found = {info.path: [root.read(info.path)] for info in root.list()}
    for version in versions.noncurrent(root):
        if not version.is_marker:
            found.setdefault(version.path, []).append(content(root, version))
    return found


def content(root, version):
    bucket, _, prefix = root.base.partition("/")
    name = f"{prefix}/{version.path}" if prefix else version.path
    if root.protocol in ("gs", "gcs"):
        asked = root.filesystem.call("GET", "b/{}/o/{}", bucket, name, alt="media", generation=version.version_id)
        return asked[1]
    return root.filesystem.cat_file(f"{bucket}/{name}", version_id=version.version_id)


def test_a_bucket_says_what_it_keeps(store, versioned):
    assert versions.keeps(Root(store)) == versions.Keeps()
    assert versions.keeps(Root(f"{versioned}/lake")) == versions.Keeps(versions=True)
    assert versions.keeps(Root("memory://x")) == versions.Keeps()


def test_versions_are_listed_and_removed(versioned):
    root = Root(f"{versioned}/a")
    for path in ("x", "y", "xy"):
        root.create(path, path.encode())
        root.delete(path)
    root.create("x", b"again")
    assert sorted(one.path for one in versions.noncurrent(root) if not one.is_marker) == ["x", "xy", "y"]
    kept = purge_paths(root, ["x", "y"], datetime.now(UTC))
    assert (kept.versions, kept.remaining) == (2, [])
    assert {one.path for one in versions.noncurrent(root)} == {"xy"}
    assert root.read("x") == b"again"


def test_nothing_of_her_is_left_in_any_version(versioned, tmp_path):
    lake = Lake.create_or_open(f"{versioned}/lake")
    write_run(lake, tmp_path, [[ANNA, BEN]], run_id="r")
    take_snapshot(lake)
    hers = find(lake, ["anna"]).touched.to_pylist()
    outcome = erased(lake, "anna")
    left = {path for path in every_version(lake.root) if not path.startswith("consent/")}
    assert left == {info.path for info in lake.root.list() if not info.path.startswith("consent/")}
    assert outcome.versions == outcome.removed > 0
    assert [one for one in versions.noncurrent(lake.root) if "closure" in one.path] == []
    words = [row[name].encode() for row in hers for name in ("source_path", "recording_id")]
    assert not [
        path for path, all_of in every_version(lake.root).items() for data in all_of for w in words if w in data
    ]
    assert read_certificate(lake, 1).certificate.exceptions[0].what == "ledger"
    check_promises(lake)


def test_what_an_object_lock_holds_is_named_with_its_end(store):
    if not store.startswith("s3"):
        pytest.skip("the emulator of GCS has no holds")
    name, root = f"locked-{uuid.uuid4().hex[:12]}", Root(store)
    root.filesystem.call_s3("create_bucket", Bucket=name, ObjectLockEnabledForBucket=True)
    rule = {"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": 3}}}
    root.filesystem.call_s3("put_object_lock_configuration", Bucket=name, ObjectLockConfiguration=rule)
    locked = Root(f"s3://{name}")
    assert versions.keeps(locked) == versions.Keeps(versions=True, retention_s=3 * 86_400)
    locked.create("x", b"kept")
    locked.delete("x")
    (said,) = purge_paths(locked, ["x"], datetime.now(UTC)).remaining
    assert said.count == 1
    assert timedelta(days=2.9) < said.recoverable_until - datetime.now(UTC) < timedelta(days=3.1)


def test_what_soft_delete_brings_back_is_named_with_its_end(monkeypatch):
    root = SimpleNamespace(uri="gs://somewhere", protocol="gs", base="somewhere")
    said = {"softDeletePolicy": {"retentionDurationSeconds": "604800"}, "versioning": {"enabled": False}}
    monkeypatch.setattr(versions, "_asked", lambda *_, **__: said)
    now = datetime(2026, 6, 1, tzinfo=UTC)
    (kept,) = purge_paths(root, ["x", "y"], now).remaining
    assert (kept.count, kept.recoverable_until) == (2, now + timedelta(days=7))
