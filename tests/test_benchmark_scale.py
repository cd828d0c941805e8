"""The simulated petabyte: what must hold of it whatever it is fed with."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.scale_model import Measured, World, simulate
from benchmarks.scale_simulation import efficiency, excess, recommended
from pipelines.forecast.prices import load_prices

MEASURED = Measured(0.005, 0.02, (0.5, 1.0, 1.5), 3.0, 16_000.0, {})
EASY = World(
    petabyte_audio_s=1e8, latency_s=0.0, reads_per_s=1e9, writes_per_s=1e9, slow_sources=0.0, worker_sigma=0.0,
    stragglers=0.0, preemptions_per_hour=0.0, kinship=0.0,
)  # fmt: skip


def test_where_nothing_goes_wrong_only_starting_and_the_units_own_seconds_are_lost():
    one = simulate(MEASURED, EASY, workers=10, unit_audio_s=100_000.0, most_units=10_000, seed=1)
    assert one.units == one.simulated == 1000
    assert one.makespan_s == pytest.approx(3.0 + 100 * (500.0 + 0.02), rel=1e-6)
    assert (one.preempted, one.lost_s) == (0, 0.0)
    assert efficiency(one) == pytest.approx(50_000 / (3 + 100 * 500.02))


def test_the_same_seed_is_the_same_run_and_every_unit_is_written():
    world = replace(World(), petabyte_audio_s=1e8, preemptions_per_hour=2.0)
    first, again = (simulate(MEASURED, world, 20, 50_000.0, 10_000, seed=5) for _ in range(2))
    assert first == again
    assert first.writes == pytest.approx(2000 * (25 + 2 * 50_000 / world.source_s))
    assert first.preempted > 0


def test_spot_machines_lose_more_of_larger_units():
    world = replace(EASY, preemptions_per_hour=1.0, petabyte_audio_s=4e8)
    lost = [simulate(MEASURED, world, 20, unit, 10_000, seed=2) for unit in (20_000.0, 200_000.0)]
    small, large = (one.lost_s / one.busy_s for one in lost)
    # Half of a unit goes with each, and there is one in an hour: 50 s and 500 s of 3,600, nearly.
    assert small == pytest.approx(50 / 3600, rel=0.2)
    assert large == pytest.approx(500 / 3600, rel=0.2)


def test_a_store_that_takes_few_writes_holds_up_small_units():
    world = replace(EASY, writes_per_s=10.0, grows_to=1.0)
    held = simulate(MEASURED, world, 100, 10_000.0, 100_000, seed=1)
    writes = 25 + 2 * 10_000 / world.source_s
    assert held.makespan_s == pytest.approx(held.units * writes / 10.0, rel=0.02)
    assert held.waited_s > held.busy_s / 4


def test_the_part_that_is_not_simulated_is_more_of_the_steady_part():
    world = replace(EASY, kinship=0.5)
    whole = simulate(MEASURED, world, 10, 10_000.0, 10_000, seed=3)
    part = simulate(MEASURED, world, 10, 10_000.0, 2_000, seed=3)
    assert (whole.simulated, part.simulated) == (10_000, 2_000)
    assert part.makespan_s == pytest.approx(whole.makespan_s, rel=0.02)


def test_the_size_that_costs_least_too_much_where_it_costs_most_is_recommended():
    prices = load_prices("configs/prices/gcp-example.yaml")
    found = {}
    for workers, takes in ((10, (100.0, 101.0, 104.0)), (1000, (150.0, 102.0, 100.0))):
        for unit, makespan in zip((1.0, 2.0, 3.0), takes, strict=True):
            one = simulate(MEASURED, replace(EASY, petabyte_audio_s=1.0), 1, 1.0, 1, seed=1)
            found[workers, unit] = replace(one, makespan_s=makespan, reads=0.0, writes=0.0)
    unit, worst = recommended([excess(found, workers, prices) for workers in (10, 1000)])
    assert unit == 2.0
    assert worst == pytest.approx(0.02)
