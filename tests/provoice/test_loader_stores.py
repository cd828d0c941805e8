"""A release in a bucket, read by training code: in this process, and in workers that were forked from it or spawned."""

from __future__ import annotations

import fsspec
import pytest

from provoice import open_release
from tests.provoice.loader_lakes import NAME, Clock, voices_lake
from tests.servers import stores

torch = pytest.importorskip("torch")
from torch.utils.data import DataLoader  # noqa: E402  (after the question whether it is there)

pytestmark = [
    pytest.mark.long,
    # The clients' own: sessions that they close when the interpreter ends; and a fork beside their thread.
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning"),
]


@pytest.mark.parametrize("scheme", ["gs", "s3"])
def test_a_release_in_a_bucket_is_read_as_the_same_on_a_disk(tmp_path, scheme):
    made = voices_lake(tmp_path)
    options = {"owner": "o", "purpose": "p", "record": False, "clock": Clock(), "shuffle": True, "buffer": 9}
    here = list(open_release(made.uri, NAME, **options))
    with stores.proven(scheme, tmp_path / "server") as (uri, _):
        fsspec.filesystem(scheme).put(f"{made.uri}/", f"{uri}/voices/".partition("://")[2], recursive=True)
        there = open_release(f"{uri}/voices", NAME, **options)
        assert list(there) == here
        for start in ("fork", "spawn"):  # a forked worker has no thread of the client's, and must not wait for it
            read = list(DataLoader(there, batch_size=None, num_workers=2, multiprocessing_context=start, timeout=120))
            assert sorted(sample["__key__"] for sample in read) == sorted(made.keys)
