"""gc in buckets, on servers that keep the promise of the exclusive create: clocks, listings, unfinished uploads."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from lake.lake import Lake
from lake.storage import Denied, Root
from pipelines import gc_uploads
from pipelines.gc import gc
from pipelines.gc_account import Wanted
from pipelines.gc_grace import store_now
from pipelines.snapshot import take_snapshot
from schemas.errors import LakeError
from tests.builders import ANNA, BEN, Made, write_run
from tests.collected import check_promises, orphans, paths, sweep
from tests.pipelines.test_gc import unit_of
from tests.servers import stores

# The clients' own: sessions that they close when the interpreter ends.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")


@pytest.fixture(scope="module", params=["gs", "s3"])
def bucket(request, tmp_path_factory):
    with stores.proven(request.param, tmp_path_factory.mktemp("store")) as (uri, _):
        yield uri


def test_a_bucket_is_swept_as_a_disk_is(bucket, tmp_path):
    lake = Lake.create_or_open(f"{bucket}/swept")
    write_run(lake, tmp_path, [[ANNA], [BEN]], run_id="r")
    take_snapshot(lake)
    before = paths(lake)
    planted = orphans(lake, "r", 1, unit_of(lake))
    assert gc(lake, Wanted(is_sure=True)).young.objects == len(planted)  # by the store's own clock
    assert sweep(lake).objects == len(planted)
    assert paths(lake) == before
    check_promises(lake)


def test_what_was_replaced_goes_from_a_bucket(bucket, tmp_path):
    lake = Lake.create_or_open(f"{bucket}/replaced")
    write_run(lake, tmp_path, [[ANNA], [BEN]], run_id="old")
    write_run(lake, tmp_path, [[Made(ANNA.path, ANNA.people, 1)]], run_id="new", recipe="b")
    account = sweep(lake, superseded=True)
    assert (account.superseded.collected, account.swept["unit"].objects) == (1, 3)
    assert sweep(lake, superseded=True, days=20).superseded.collected == 0
    check_promises(lake)


def test_the_clock_is_the_stores(bucket):
    now = store_now(Root(f"{bucket}/somewhere"))
    assert abs(now - datetime.now(UTC)) < timedelta(seconds=60)


def test_an_unfinished_upload_is_seen_and_ended(tmp_path):
    """MinIO lists uploads below a bucket, S3 below any prefix."""
    with stores.proven("s3", tmp_path) as (uri, _):
        root = Root(uri)
        begun = root.filesystem.call_s3("create_multipart_upload", Bucket=root.base, Key="shards/r/x.tar")
        found = list(gc_uploads.unfinished_uploads(root))
        assert [(upload.key, upload.upload_id) for upload in found] == [("shards/r/x.tar", begun["UploadId"])]
        assert abs(found[0].began - datetime.now(UTC)) < timedelta(seconds=60)
        gc_uploads.abort(found[0])
        gc_uploads.abort(found[0])  # gone already
        assert list(gc_uploads.unfinished_uploads(root)) == []


# --- what MinIO does not do as S3 does --------------------------------------------------------------------------------


class Uploads:
    """The two calls of S3 about uploads, a page of two at a time."""

    def __init__(self, began):
        self.req_kw = {}
        self.held = {f"lake/shards/r/{n}": at for n, at in enumerate(began)}

    def call_s3(self, method, **words):
        if method == "abort_multipart_upload":
            if self.held.pop(words["Key"], None) is None:
                raise FileNotFoundError(words["Key"])
            return {}
        assert (method, words["Prefix"]) == ("list_multipart_uploads", "lake/")
        keys = [key for key in sorted(self.held) if key > words.get("KeyMarker", "")]
        page = [{"Key": key, "UploadId": f"id-{key}", "Initiated": self.held[key]} for key in keys[:2]]
        markers = {"NextKeyMarker": keys[1], "NextUploadIdMarker": "x"} if len(keys) > 2 else {}
        return {"Uploads": page, "IsTruncated": len(keys) > 2, **markers}


def test_old_uploads_are_ended_page_by_page_and_young_ones_stay(tmp_path, monkeypatch):
    lake = Lake.create_or_open(str(tmp_path / "lake"))
    now = datetime.now(UTC)
    uploads = Uploads([now - timedelta(days=days) for days in (2, 3, 0.5, 9, 4)])
    store = SimpleNamespace(protocol="s3", base="bucket/lake", uri="s3://bucket/lake", filesystem=uploads)
    real = gc_uploads.unfinished_uploads
    monkeypatch.setattr(gc_uploads, "unfinished_uploads", lambda _: real(store))
    assert gc(lake, Wanted()).swept["upload"].objects == 4
    assert len(uploads.held) == 5
    gc(lake, Wanted(is_sure=True))
    assert list(uploads.held) == ["lake/shards/r/2"]


def test_a_store_that_refuses_the_list_of_uploads_is_said():
    def refuses(*_, **__):
        raise PermissionError("Access Denied")

    filesystem = SimpleNamespace(req_kw={}, call_s3=refuses)
    root = SimpleNamespace(protocol="s3", base="bucket/lake", uri="s3://bucket/lake", filesystem=filesystem)
    with pytest.raises(LakeError, match=r"s3://bucket/lake: .*Access Denied"):
        list(gc_uploads.unfinished_uploads(root))


def test_a_lake_whose_ledger_lies_elsewhere(tmp_path):
    lake = Lake.create_or_open(str(tmp_path / "lake"), str(tmp_path / "ledger"))
    write_run(lake, tmp_path, [[ANNA]], run_id="r")
    left = tmp_path / "ledger" / "log" / ".provoice-unfinished-0011223344556677"
    left.parent.mkdir(exist_ok=True)
    left.write_bytes(b"x")
    shutil.copy(left, tmp_path / "ledger" / "log" / "mine.txt")
    assert sweep(lake).swept["unfinished"].objects == 1
    assert [path.name for path in left.parent.iterdir() if path.suffix != ".jsonl"] == ["mine.txt"]


@pytest.mark.parametrize("where", ["elsewhere", "in the lake"])
def test_a_ledger_that_lets_nobody_delete_keeps_what_nothing_needs_and_the_lake_is_swept(tmp_path, monkeypatch, where):
    lake = Lake.create_or_open(str(tmp_path / "lake"), str(tmp_path / "ledger") if where == "elsewhere" else None)
    write_run(lake, tmp_path, [[ANNA]], run_id="r")
    left = lake.ledger().root.uri_of("log/.provoice-unfinished-0011223344556677")
    lake.root.create("shards/.provoice-unfinished-8899aabbccddeeff", b"left over")
    lake.ledger().root.create("log/.provoice-unfinished-0011223344556677", b"left over")
    real = Root.delete

    def delete(self, path):
        if self.uri == lake.ledger().root.uri:
            raise Denied(f"{self.uri_of(path)}: Forbidden (HTTP 403)")
        real(self, path)

    monkeypatch.setattr(Root, "delete", delete)
    account = sweep(lake)
    assert (account.objects, account.refused.objects) == (1, 1)
    assert account.refused.examples == [left]
    assert lake.ledger().root.exists("log/.provoice-unfinished-0011223344556677")


def test_a_lake_that_lets_nobody_delete_says_so(tmp_path, monkeypatch):
    lake = Lake.create_or_open(str(tmp_path / "lake"))
    write_run(lake, tmp_path, [[ANNA]], run_id="r")
    lake.root.create("shards/.provoice-unfinished-8899aabbccddeeff", b"left over")

    def delete(self, path):
        raise Denied(f"{self.uri_of(path)}: Forbidden (HTTP 403)")

    monkeypatch.setattr(Root, "delete", delete)
    with pytest.raises(LakeError, match="Forbidden"):
        sweep(lake)
