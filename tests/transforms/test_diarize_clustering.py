"""Average linkage in bounded memory, and the voices of a track, on vectors whose groups are known."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from schemas.sound import Region
from transforms.diarize import voices as voices_module
from transforms.diarize.clustering import BLOCK, Clusters, cluster, merge, unit
from transforms.diarize.voices import find_voices, likeliest_voices, smoothed
from transforms.diarize.windows import Windows, windows_of

RATE = 16_000


def people(k: int, seed: int = 0, size: int = 64) -> np.ndarray:
    """Unit vectors of `k` people, near right angles to each other."""
    return unit(np.linalg.qr(np.random.default_rng(seed).standard_normal((size, k)))[0].T)


def said_by(who: np.ndarray, voices: np.ndarray, spread: float = 0.05, seed: int = 1) -> np.ndarray:
    """A vector per entry of `who`, around that person's."""
    noise = np.random.default_rng(seed).standard_normal((len(who), voices.shape[1]))
    return unit(voices[who] + spread * noise)


def windows_for(n: int, pause_every: int = 5, pause_s: float = 0.4) -> Windows:
    """`n` windows of 1.2 s side by side, in regions of `pause_every`."""
    regions, at = [], 0.0
    for start in range(0, n, pause_every):
        length = 1.2 * min(pause_every, n - start)
        regions.append(Region(round(at * RATE), round((at + length) * RATE)))
        at += length + pause_s
    windows = windows_of(regions)
    assert len(windows) == n
    return windows


@pytest.mark.parametrize("cut", [0.1, 0.3, 0.6, 0.9])
def test_linkage_equals_scipys(cut: float) -> None:
    from scipy.cluster.hierarchy import fcluster, linkage

    vectors = unit(np.abs(np.random.default_rng(3).standard_normal((200, 8))))
    theirs = fcluster(linkage(vectors.astype(np.float64), "average", metric="cosine"), cut, "distance")
    ours = merge(Clusters(vectors, np.ones(200)), cut)
    assert sorted(ours.weight) == sorted(np.bincount(theirs)[1:])


@pytest.mark.parametrize("count", [1, 2, 7, 60])
def test_a_count_is_reached_exactly_as_scipy_reaches_it(count: int) -> None:
    from scipy.cluster.hierarchy import fcluster, linkage

    vectors = unit(np.random.default_rng(4).standard_normal((60, 6)))
    theirs = fcluster(linkage(vectors.astype(np.float64), "average", metric="cosine"), count, "maxclust")
    ours = merge(Clusters(vectors, np.ones(60)), 0, count)
    assert sorted(ours.weight) == sorted(np.bincount(theirs)[1:])


def test_groups_merge_as_their_members_would() -> None:
    who = np.random.default_rng(5).integers(0, 4, 300)
    vectors = said_by(who, people(4), 0.1)
    members = merge(Clusters(vectors, np.ones(300)), 0.5)
    pairs = Clusters(vectors, np.ones(300)).joined(_paired(who))
    assert sorted(merge(pairs, 0.5).weight) == sorted(members.weight)
    np.testing.assert_allclose(np.sort(merge(pairs, 0.5).mean, axis=0), np.sort(members.mean, axis=0), atol=1e-5)


def _paired(who: np.ndarray) -> np.ndarray:
    """Labels that put two neighbours of the same person together."""
    label, nth = np.zeros(len(who), np.int64), 0
    for person in np.unique(who):
        own = np.flatnonzero(who == person)
        label[own] = nth + np.arange(len(own)) // 2
        nth += (len(own) + 1) // 2
    return label


@pytest.mark.parametrize("n", [BLOCK - 1, BLOCK, BLOCK + 1, 5 * BLOCK + 17])
def test_blocks_find_the_same_people(n: int) -> None:
    who = np.random.default_rng(6).integers(0, 5, n)
    groups = cluster(said_by(who, people(5)), 0.27)
    assert sorted(groups.weight) == sorted(np.bincount(who).astype(float))


def test_thousands_with_nothing_in_common_are_bounded() -> None:
    vectors = unit(np.random.default_rng(7).standard_normal((5 * BLOCK, 512)))
    assert 0 < len(cluster(vectors, 0.27)) <= 4 * BLOCK


def test_vectors_of_silence_do_no_harm() -> None:
    vectors = np.concatenate([np.zeros((3, 64), np.float32), said_by(np.zeros(10, int), people(1))])
    assert max(cluster(vectors, 0.27).weight) == 10


def test_neighbours_are_smoothed_within_a_region_only() -> None:
    who = np.array([0] * 5 + [1] * 5)
    vectors = people(2)[who]
    np.testing.assert_allclose(smoothed(vectors, windows_for(10)), vectors, atol=1e-6)
    blended = smoothed(vectors, windows_for(10, pause_every=10))
    # (1.6, 0.6) and (0.6, 1.6), for the two people stand at a right angle.
    assert blended[4] @ blended[5] == pytest.approx(1.92 / 2.92, abs=1e-5)


def test_a_cluster_of_too_few_seconds_is_nobody() -> None:
    who = np.array([0] * 50 + [1] * 2)
    vectors, windows = said_by(who, people(2)), windows_for(52)
    assert len(find_voices(vectors, windows, 0.27, min_s=3.0)) == 1
    assert len(find_voices(vectors, windows, 0.27, min_s=2.0)) == 2


def test_in_an_hour_a_voice_takes_more_seconds() -> None:
    who = np.array([0] * 3000 + [1] * 10)
    vectors, windows = said_by(who, people(2)), windows_for(3010)
    assert len(find_voices(vectors, windows, 0.27, min_s=3.0)) == 1


def test_a_known_count_is_found_whatever_the_cut() -> None:
    who = np.repeat(np.arange(3), 8)
    near = people(4)
    near[1] = unit(near[0] + 0.6 * near[1])
    vectors, windows = said_by(who, near[:3], 0.02), windows_for(24)
    assert len(find_voices(vectors, windows, 0.27, 3.0)) == 2
    voices = find_voices(vectors, windows, 0.27, 3.0, count=3)
    found = likeliest_voices(vectors, windows, voices)
    assert len(voices) == 3
    assert [len(set(found[who == person])) for person in range(3)] == [1, 1, 1]


def test_there_are_never_more_than_may_be() -> None:
    who = np.repeat(np.arange(5), 8)
    assert len(find_voices(said_by(who, people(5)), windows_for(40), 0.27, 3.0, most=2)) == 2


def test_one_window_is_one_voice_whatever_the_count() -> None:
    assert len(find_voices(people(1), windows_for(1), 0.27, 3.0, count=2)) == 1


def test_a_mood_is_no_further_voice() -> None:
    base = people(2)
    mood = unit(base[0] + 0.55 * base[1])
    assert 0.85 < base[0] @ mood < 0.9
    # Far enough to be a cluster of its own at a cut of 0.1, near enough to be the same voice.
    few, many = np.array([0] * 95 + [1] * 5), np.array([0] * 60 + [1] * 40)
    pair = np.stack([base[0], mood])
    assert len(find_voices(said_by(few, pair, 0.01), windows_for(100), 0.1, 3.0)) == 1
    assert len(find_voices(said_by(many, pair, 0.01), windows_for(100), 0.1, 3.0)) == 2


def test_the_path_is_the_best_of_all_paths() -> None:
    rng = np.random.default_rng(8)
    voices, windows = people(3, size=8), windows_for(7, pause_every=3)
    for _ in range(20):
        vectors = unit(rng.standard_normal((7, 8)))
        cosine = vectors @ voices.T
        pause_s = np.maximum(0, windows.start[1:] - windows.end[:-1]) / 100
        cost = voices_module._CHANGE_COST * np.exp(-pause_s)

        def worth(path: tuple[int, ...], cosine: np.ndarray = cosine, cost: np.ndarray = cost) -> float:
            changes = np.array(path[1:]) != np.array(path[:-1])
            return float(cosine[np.arange(7), list(path)].sum() - cost[changes].sum())

        best = max(product(range(3), repeat=7), key=worth)
        assert worth(tuple(likeliest_voices(vectors, windows, voices).tolist())) == pytest.approx(worth(best), abs=1e-6)


def test_a_single_odd_window_does_not_change_the_voice() -> None:
    voices = people(2)
    vectors = voices[[0, 0, 0, 1, 0, 0, 0]].copy()
    vectors[3] = unit(voices[1] + 0.95 * voices[0])
    assert likeliest_voices(vectors, windows_for(7, 7), voices).tolist() == [0] * 7
