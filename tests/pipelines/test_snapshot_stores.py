"""Snapshots in buckets, on servers that keep the promise of the exclusive create (tests/servers/stores.py)."""

from __future__ import annotations

import pytest

from pipelines.snapshot import snapshot, take_snapshot
from tests.builders import ANNA, BEN, BOTH, small_lake, write_run
from tests.histories import FromCommits, answers
from tests.servers import stores

pytestmark = [
    pytest.mark.long,
    # The clients' own: sessions that they close when the interpreter ends.
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning"),
]


@pytest.fixture(params=["gs", "s3"])
def bucket(request, tmp_path):
    with stores.proven(request.param, tmp_path) as (uri, _):
        yield uri


def test_a_lake_in_a_bucket_gives_the_same_answers(bucket, tmp_path):
    lake = small_lake(tmp_path, uri=f"{bucket}/lake").lake
    before = answers(lake)
    head = take_snapshot(lake)
    assert answers(lake) == before
    manifest = lake.root.read("snapshots/00000001/utterances.manifest").decode()
    assert manifest.splitlines() == [f"{bucket}/lake/{file.path}" for file in head.merged("utterances")]
    write_run(lake, tmp_path, [[ANNA, BEN], [BOTH]], run_id="later", recipe="d", committed=1)
    between = answers(lake)
    assert between == answers(lake, FromCommits(lake))
    assert snapshot(lake).commits_folded == 1
    assert answers(lake) == between
    assert snapshot(lake).number is None
