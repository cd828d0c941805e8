"""Buckets that keep versions: what was deleted and is still there, and uploads that nobody finished."""

from __future__ import annotations

import json
import urllib.request

import pytest

from lake.lake import Lake
from lake.storage import Root
from pipelines.verify.needles import Kind, Needles, Term
from pipelines.verify.scan import scan
from tests.builders import ANNA, BEN, write_run
from tests.servers import stores

# The clients' own: sessions that they close when the interpreter ends.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")

OLD, NEW = "what an earlier version said", "what the current version says"
NEEDLES = Needles((Term(Kind.TEXT, "old", OLD), Term(Kind.TEXT, "new", NEW)))


@pytest.fixture(scope="module", params=["gs", "s3"])
def bucket(request, tmp_path_factory):
    """URI of a bucket that keeps versions."""
    with stores.proven(request.param, tmp_path_factory.mktemp("store")) as (uri, environment):
        if request.param == "s3":
            Root(uri).filesystem.call_s3(
                "put_bucket_versioning", Bucket="lake", VersioningConfiguration={"Status": "Enabled"}
            )
            yield uri
            return
        body = json.dumps({"name": "versioned", "versioning": {"enabled": True}}).encode()
        asked = urllib.request.Request(
            f"{environment['STORAGE_EMULATOR_HOST']}/storage/v1/b?project=test", body,
            {"Content-Type": "application/json"},
        )  # fmt: skip
        urllib.request.urlopen(asked, timeout=10).close()
        yield "gs://versioned"


def found(report):
    return {(hit.label, hit.state, hit.object.rpartition("/")[2]) for hit in report.unexpected}


def test_a_lake_in_a_bucket_is_looked_through(bucket, tmp_path):
    lake = Lake.create_or_open(f"{bucket}/plain")
    write_run(lake, tmp_path, [[ANNA], [BEN]], run_id="r")
    assert scan(lake.root, NEEDLES).has_passed
    report = scan(lake.root, Needles((Term(Kind.TEXT, "text 1", "good morning"),)))
    folders = {hit.object.removeprefix(f"{lake.root.uri}/").split("/")[0] for hit in report.hits}
    assert folders == {"runs", "shards", "utterances"}


def test_an_earlier_version_is_found_and_read(bucket):
    lake = Lake.create_or_open(f"{bucket}/versions")
    full = f"{lake.root.base}/logs/a.log"
    lake.root.filesystem.pipe_file(full, OLD.encode() * 1000)
    lake.root.filesystem.pipe_file(full, NEW.encode())
    lake.root.create("logs/b.log", OLD.encode())
    lake.root.delete("logs/b.log")
    report = scan(lake.root, NEEDLES)
    assert found(report) == {
        ("old", "noncurrent", "a.log"),
        ("new", "current", "a.log"),
        ("old", "noncurrent", "b.log"),
    }
    assert all(hit.version for hit in report.unexpected if hit.state == "noncurrent")
    without = scan(lake.root, NEEDLES, without=["noncurrent"])
    assert found(without) == {("new", "current", "a.log")}


def test_an_unfinished_upload_cannot_be_read_and_proves_nothing(bucket):
    lake = Lake.create_or_open(f"{bucket}/uploads")
    if not bucket.startswith("s3"):
        pytest.skip("GCS cannot list its unfinished uploads; it ends them after a week")
    # MinIO lists uploads below a bucket or a whole key, S3 below any prefix.
    root = Root(bucket)
    begun = root.filesystem.call_s3("create_multipart_upload", Bucket="lake", Key="uploads/x.tar")
    root.filesystem.call_s3(
        "upload_part", Bucket="lake", Key="uploads/x.tar", PartNumber=1, UploadId=begun["UploadId"], Body=OLD.encode()
    )
    root.create("lake.0.json", lake.root.read("lake.0.json"))
    report = scan(root, NEEDLES)
    assert [(one.state, one.object) for one in report.not_opened] == [("upload", f"{bucket}/uploads/x.tar")]
    assert not report.has_passed
    assert scan(root, NEEDLES, without=["upload"]).not_opened == ()


def test_a_store_that_does_not_tell_its_versions_is_no_proof(bucket, monkeypatch):
    lake = Lake.create_or_open(f"{bucket}/refused")

    def refuses(*_, **__):
        raise PermissionError("Access Denied")

    monkeypatch.setattr("pipelines.verify.places.retried", refuses)
    with pytest.raises(Exception, match=r"its versions and uploads cannot be listed.*Access Denied"):
        scan(lake.root, NEEDLES)
