"""Orders and shares: every row in exactly one place, the same order for the same seed, and to be picked up anywhere."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provoice import open_release
from provoice.loader import order as order_module
from provoice.loader.order import GAP_BYTES, RANGE_BYTES, Order, block_bounds
from provoice.loader.share import Seat, Share
from schemas.errors import ConfigError
from tests.consents import ended
from tests.provoice.loader_lakes import NAME, Clock, voices_lake


def drawn(order):
    return list(iter(order.draw, None))


# --- shares ---------------------------------------------------------------------------------------------------------


@given(rows=st.integers(0, 500), nodes=st.integers(1, 7), workers=st.integers(1, 5))
def test_nodes_and_workers_share_every_row_once_and_evenly(rows, nodes, workers):
    parts = [
        Share(0, rows).part(node, nodes).part(worker, workers) for node in range(nodes) for worker in range(workers)
    ]
    assert [row for part in parts for row in range(part.first, part.last)] == list(range(rows))
    sizes = [len(part) for part in parts]
    assert max(sizes) - min(sizes) <= 2
    per_node = [len(Share(0, rows).part(node, nodes)) for node in range(nodes)]
    assert max(per_node) - min(per_node) <= 1


def test_a_rank_is_told_or_found_in_the_environment(monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert Seat.of_rank(None, None) == Seat(0, 1)
    monkeypatch.setenv("RANK", "3")
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert Seat.of_rank(None, None) == Seat(3, 4)
    assert Seat.of_rank(0, 2) == Seat(0, 2)
    monkeypatch.setenv("RANK", "three")
    with pytest.raises(ConfigError, match=r"RANK is 'three'"):
        Seat.of_rank(None, None)


# --- blocks ---------------------------------------------------------------------------------------------------------


@given(
    sizes=st.lists(st.integers(1, RANGE_BYTES // 3), max_size=40),
    gaps=st.lists(st.integers(0, 2 * GAP_BYTES), min_size=40, max_size=40),
    shards=st.lists(st.integers(0, 2), min_size=40, max_size=40),
)
def test_blocks_are_of_one_shard_without_wide_gaps_and_bounded(sizes, gaps, shards):
    shards = np.array(sorted(shards[: len(sizes)]), np.int32)
    ends = np.cumsum(np.array(sizes, np.int64) + np.array(gaps[: len(sizes)], np.int64))
    starts = ends - np.array(sizes, np.int64)
    bounds = block_bounds(shards, starts, ends)
    assert bounds[0] == 0
    assert bounds[-1] == len(sizes)
    for first, last in itertools.pairwise(bounds):
        assert len(set(shards[first:last])) == 1
        assert all(starts[n + 1] - ends[n] <= GAP_BYTES for n in range(first, last - 1))
        assert starts[last - 1] - starts[first] < RANGE_BYTES
    for cut in bounds[1:-1]:  # and no block ends without a reason
        is_full = starts[cut] - starts[bounds[bounds.index(cut) - 1]] > RANGE_BYTES // 2
        assert shards[cut] != shards[cut - 1] or starts[cut] - ends[cut - 1] > GAP_BYTES or is_full


BOUNDS = st.lists(st.integers(1, 9), max_size=20).map(lambda sizes: list(itertools.accumulate(sizes, initial=0)))


@given(bounds=BOUNDS, buffer=st.integers(1, 60), seed=st.none() | st.text(max_size=3), epoch=st.integers(0, 3))
def test_every_row_is_drawn_once(bounds, buffer, seed, epoch):
    found = drawn(Order(bounds, buffer, None if seed is None else f"{seed}/{epoch}"))
    assert sorted(found) == list(range(bounds[-1]))
    if seed is None:
        assert found == sorted(found)


@given(bounds=BOUNDS, buffer=st.integers(1, 60), seed=st.none() | st.text(max_size=3), data=st.data())
def test_an_order_goes_on_from_anywhere(bounds, buffer, seed, data):
    whole = drawn(Order(bounds, buffer, seed))
    position = data.draw(st.integers(0, len(whole)))
    resumed = Order(bounds, buffer, seed)
    resumed.skip(position)
    assert drawn(resumed) == whole[position:]


@given(bounds=BOUNDS, buffer=st.integers(1, 60))
def test_no_more_is_held_than_the_buffer_and_a_block(bounds, buffer):
    order = Order(bounds, buffer, "seed")
    while order.draw() is not None:
        assert len(order.held) < buffer + 9


def test_a_shuffle_mixes_widely():
    bounds = list(range(0, 4001, 40))
    found = np.array(drawn(Order(bounds, 1000, "seed")))
    neighbours = np.abs(np.diff(found)) == 1
    assert neighbours.mean() < 0.05
    correlation = np.corrcoef(found, np.arange(len(found)))[0, 1]
    assert abs(correlation) < 0.25


# --- resuming a whole dataset ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shared(tmp_path_factory, _small_blocks):
    return voices_lake(tmp_path_factory.mktemp("order"), units=3, sources=4, utterances=4)


@pytest.fixture(scope="module")
def _small_blocks():
    """Of a few utterances each, so that a small lake has many."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(order_module, "RANGE_BYTES", 60_000)
        yield


def opened(made, **options):
    return open_release(made.uri, NAME, owner="o", purpose="p", record=False, clock=Clock(), **options)


def keys(samples):
    return [sample["__key__"] for sample in samples]


def test_the_same_seed_and_epoch_give_the_same_order_and_others_another(shared):
    one, same, other = (opened(shared, shuffle=True, seed=seed, buffer=12) for seed in (1, 1, 2))
    first, second = keys(one), keys(one)
    assert [keys(same), keys(same)] == [first, second]
    assert first != second
    assert keys(other) not in (first, second)
    one.set_epoch(0)
    assert keys(one) == first
    assert keys(one) == second


@pytest.mark.parametrize("nodes", [2, 3])
@pytest.mark.parametrize("shuffle", [False, True])
def test_nodes_read_everything_once(shared, nodes, shuffle):
    found = [keys(opened(shared, rank=n, world_size=nodes, shuffle=shuffle, buffer=9)) for n in range(nodes)]
    assert sorted(itertools.chain(*found)) == sorted(shared.keys)


def test_more_nodes_than_rows_leave_some_without_work(shared):
    datasets = [opened(shared, rank=n, world_size=100) for n in range(100)]
    assert sorted(itertools.chain(*map(keys, datasets))) == sorted(shared.keys)
    assert {len(dataset) for dataset in datasets} == {0, 1}


@settings(max_examples=25, deadline=None)
@given(
    position=st.integers(0, 48), shuffle=st.booleans(), buffer=st.integers(1, 40), epoch=st.integers(0, 2),
    seat=st.sampled_from([(0, 1), (0, 2), (1, 2)]),
)  # fmt: skip
def test_a_reading_goes_on_where_it_stood(shared, position, shuffle, buffer, epoch, seat):
    options = {"shuffle": shuffle, "buffer": buffer, "rank": seat[0], "world_size": seat[1]}
    whole = opened(shared, **options)
    whole.set_epoch(epoch)
    samples = iter(whole)
    before = keys(itertools.islice(samples, min(position, len(whole))))
    state = whole.state_dict()
    after = keys(samples)
    resumed = opened(shared, **options)
    resumed.load_state_dict(state)
    assert keys(resumed) == after
    assert sorted(before + after) == sorted(set(before + after))
    assert keys(resumed) == keys(whole)  # and so does the epoch after it


def test_setting_the_epoch_that_a_state_is_of_keeps_its_place(shared):
    whole = opened(shared, shuffle=True)
    whole.set_epoch(4)
    samples = iter(whole)
    keys(itertools.islice(samples, 10))
    state = whole.state_dict()
    assert (state["epoch"], state["position"]) == (4, 10)
    resumed = opened(shared, shuffle=True)
    resumed.load_state_dict(state)
    resumed.set_epoch(4)
    assert keys(resumed) == keys(samples)
    other = opened(shared, shuffle=True)
    other.load_state_dict(state)
    other.set_epoch(5)
    assert len(keys(other)) == 48


@pytest.mark.usefixtures("_small_blocks")
def test_what_is_denied_meanwhile_moves_nothing_else(tmp_path):
    made = voices_lake(tmp_path)
    whole = opened(made, shuffle=True, buffer=20)
    order = keys(whole)
    whole.set_epoch(0)
    samples = iter(whole)
    assert keys(itertools.islice(samples, 20)) == order[:20]
    state = whole.state_dict()
    made.lake.ledger().append([ended("p1")])
    resumed = opened(made, shuffle=True, buffer=20, on_denied="skip")
    resumed.load_state_dict(state)
    assert keys(resumed) == [key for key in order[20:] if key not in made.keys_of["p1"]]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"shuffle": False}, "shuffle True instead of False"),
        ({"shuffle": True, "seed": 1}, "seed 0 instead of 1"),
        ({"shuffle": True, "buffer": 5}, "buffer 1000 instead of 5"),
        ({"shuffle": True, "rank": 1, "world_size": 2}, "rank 0 instead of 1, world_size 1 instead of 2"),
    ],
)
def test_a_state_of_another_reading_is_refused(shared, options, said):
    state = opened(shared, shuffle=True).state_dict()
    with pytest.raises(ConfigError, match=said):
        opened(shared, **options).load_state_dict(state)


def test_a_state_of_another_release_is_refused(shared, tmp_path):
    other = voices_lake(tmp_path, units=1)
    with pytest.raises(ConfigError, match="another reading"):
        opened(other).load_state_dict(opened(shared).state_dict())
