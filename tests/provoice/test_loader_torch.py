"""Under PyTorch's DataLoader: workers, nodes, epochs, and picking up again."""

from __future__ import annotations

import itertools
import pickle
import re
from pathlib import Path

import pytest

from provoice import open_release
from schemas.errors import ConsentError
from tests.consents import ended
from tests.provoice.loader_lakes import NAME, Clock, voices_lake

torch = pytest.importorskip("torch")
from torch.utils.data import DataLoader, IterableDataset  # noqa: E402  (after the question whether it is there)

pytestmark = pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    return voices_lake(tmp_path_factory.mktemp("torch"))


def opened(made, **options):
    options = {"clock": Clock(), "record": False, "shuffle": True, "buffer": 10, **options}
    return open_release(made.uri, NAME, owner="o", purpose="p", **options)


def loaded(dataset, workers=0, **options):
    return DataLoader(dataset, batch_size=None, num_workers=workers, **options)


def keys(samples):
    return [sample["__key__"] for sample in samples]


def test_it_is_an_iterable_dataset(shared):
    assert isinstance(opened(shared), IterableDataset)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("nodes", [1, 2])
def test_nodes_and_their_workers_read_everything_once(shared, workers, nodes):
    found = [
        keys(loaded(opened(shared, rank=node, world_size=nodes), workers))
        for node in range(nodes)
    ]  # fmt: skip
    assert sorted(itertools.chain(*found)) == sorted(shared.keys)
    assert all(found)


def test_spawned_workers_read_the_same_as_forked_ones(shared):
    orders = [
        keys(loaded(opened(shared), 2, multiprocessing_context=start)) for start in ("fork", "spawn")
    ]  # fmt: skip
    assert orders[0] == orders[1]
    assert sorted(orders[0]) == sorted(shared.keys)


def test_batches_can_be_collated(shared):
    batches = list(DataLoader(opened(shared, decode=True), batch_size=5, num_workers=2, collate_fn=list))
    assert sorted(sample["__key__"] for batch in batches for sample in batch) == sorted(shared.keys)
    assert len(DataLoader(opened(shared), batch_size=5)) == 10


def test_workers_that_live_on_go_to_the_next_epoch_or_the_one_that_is_set(shared):
    dataset = opened(shared)
    loader = loaded(dataset, 2, persistent_workers=True)
    first, second = keys(loader), keys(loader)
    dataset.set_epoch(0)
    assert keys(loader) == first
    dataset.set_epoch(7)
    seventh = keys(loader)
    assert len({tuple(first), tuple(second), tuple(seventh)}) == 3
    assert sorted(first) == sorted(second) == sorted(seventh) == sorted(shared.keys)


def test_new_workers_begin_with_the_epoch_that_is_set(shared):
    dataset = opened(shared)
    first = keys(loaded(dataset, 2))
    dataset.set_epoch(1)
    second = keys(loaded(dataset, 2))
    dataset.set_epoch(0)
    assert keys(loaded(dataset, 2)) == first != second


@pytest.mark.parametrize("workers", [0, 2])
def test_workers_look_at_the_ledger_at_the_start_of_each_epoch(tmp_path, workers):
    made = voices_lake(tmp_path)
    refusing, skipping = opened(made), opened(made, on_denied="skip")
    made.lake.ledger().append([ended("p1")])
    with pytest.raises(ConsentError, match="withdrawn"):
        list(loaded(refusing, workers))
    assert sorted(keys(loaded(skipping, workers))) == sorted(made.keys - made.keys_of["p1"])


def test_workers_record_no_opening(tmp_path):
    made = voices_lake(tmp_path)
    list(loaded(opened(made, record=True), 2))
    assert made.lake.ledger().head() == made.release.ledger_position + 1


def test_a_dataset_with_a_shared_epoch_is_picklable(shared):
    dataset = opened(shared)
    dataset.set_epoch(3)
    again = pickle.loads(pickle.dumps(dataset))
    assert keys(again) == keys(dataset)


def test_without_workers_a_state_is_exact_batch_by_batch(shared):
    dataset = opened(shared)
    batches = iter(DataLoader(dataset, batch_size=6, collate_fn=keys))
    before = [next(batches) for _ in range(3)]
    state = dataset.state_dict()
    after = list(batches)
    resumed = opened(shared)
    resumed.load_state_dict(state)
    assert list(DataLoader(resumed, batch_size=6, collate_fn=keys)) == after
    assert sorted(itertools.chain(*before, *after)) == sorted(shared.keys)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("done", [0, 1, 5, 8])
def test_torchdata_resumes_every_worker_exactly(shared, workers, done):
    stateful = pytest.importorskip("torchdata.stateful_dataloader").StatefulDataLoader

    def loader():
        return stateful(opened(shared), batch_size=6, num_workers=workers, collate_fn=keys)

    whole = loader()
    batches = iter(whole)
    before = list(itertools.islice(batches, done))
    state = whole.state_dict()
    after = list(batches)
    resumed = loader()
    resumed.load_state_dict(state)
    assert list(resumed) == after
    assert sorted(itertools.chain(*before, *after)) == sorted(shared.keys)


class Worker:
    """What a worker of a stateful DataLoader does with a dataset: it saves a state after a batch, and another process
    loads it before it iterates."""

    def __init__(self, made, number, monkeypatch):
        self.made, self.number, self.monkeypatch = made, number, monkeypatch

    def __enter__(self):
        info = torch.utils.data._utils.worker.WorkerInfo(id=self.number, num_workers=2, seed=0, dataset=None)
        self.monkeypatch.setattr(torch.utils.data._utils.worker, "_worker_info", info)
        return opened(self.made)

    def __exit__(self, *_):
        self.monkeypatch.setattr(torch.utils.data._utils.worker, "_worker_info", None)


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("done", [0, 7, 24])
def test_a_workers_state_is_its_own(shared, number, done, monkeypatch):
    with Worker(shared, number, monkeypatch) as dataset:
        samples = iter(dataset)
        before = keys(itertools.islice(samples, done))
        state = dataset.state_dict()
        after = keys(samples)
    with Worker(shared, number, monkeypatch) as resumed:
        resumed.load_state_dict(state)
        assert keys(resumed) == after
    assert len({*before, *after}) == len(before + after) == 24
    with Worker(shared, 1 - number, monkeypatch) as other, pytest.raises(Exception, match="worker"):
        other.load_state_dict(state)


def test_the_example_on_the_page_runs(tmp_path):
    made = voices_lake(tmp_path)
    page = (Path(__file__).resolve().parents[2] / "docs" / "loader.md").read_text(encoding="utf-8")
    example = re.findall(r"```python\n(.*?)```", page, re.DOTALL)[1].replace(
        "        ...", "        seen.append(audio)"
    )
    seen: list[torch.Tensor] = []
    exec(example.replace('"narrators"', f'"{NAME}"'), {"LAKE": made.uri, "seen": seen})
    # Two epochs of two workers with 24 utterances of one second each.
    assert [tuple(audio.shape) for audio in seen] == [(16, 16_000), (16, 16_000), (8, 16_000), (8, 16_000)] * 2
