"""Exports to object stores, by the real clients of GCS and S3."""

from __future__ import annotations

import pytest

from lake.storage import Root
from pipelines.export.export import Checked, export
from pipelines.export.record import Form
from pipelines.export.target import FINISHED
from schemas.errors import ConfigError, LakeError
from tests.exports import NOW, export_to, release, samples
from tests.servers import stores

SAMPLES = samples()
pytestmark = [
    pytest.mark.long,
    # The clients' own: sessions that they close when the interpreter ends.
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning"),
]


@pytest.fixture(scope="module", params=["gs", "s3"])
def bucket(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("store")
    with stores.proven(request.param, folder) as (uri, _):
        yield uri


def broken():
    yield from SAMPLES[:3]
    raise LakeError("the store is gone")


@pytest.mark.parametrize("form", Form)
def test_a_bucket_gets_the_bytes_that_a_disk_gets(bucket, tmp_path, form):
    root = Root(f"{bucket}/{form.value}")
    export_to(tmp_path, form, SAMPLES)
    with pytest.raises(LakeError, match="the store is gone"):
        export(
            broken(), release(SAMPLES), root.uri, form, owner="speech team", purpose="export",
            checked=lambda: Checked(9, NOW, {}),
        )  # fmt: skip
    assert not root.exists(FINISHED)
    export_to(root.uri, form, SAMPLES)
    there = {info.path: root.read(info.path) for info in root.list()}
    assert there == {
        str(path.relative_to(tmp_path)): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()
    }
    with pytest.raises(ConfigError, match="finished export"):
        export_to(root.uri, form, SAMPLES)
