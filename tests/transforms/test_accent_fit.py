"""Fitting a head: who is left out when, what is chosen, and what is said of it, on vectors whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from schemas.errors import ConfigError
from transforms import accent_fit
from transforms.accent_fit import Examples, check, fit, folds, indexed
from transforms.accent_softmax import (
    calibration_error,
    fit_temperature,
    log_loss,
    probabilities,
    threshold_for,
    train,
)


def made(labels: int = 2, people: int = 5, each: int = 6, apart: float = 1.0, seed: int = 0) -> Examples:
    """Voices around their speaker's mean, and speakers around their label's, `apart` times as far."""
    drawn = np.random.default_rng(seed)
    centre = apart * drawn.standard_normal((labels, 16))
    rows, target, speakers = [], [], []
    for label in range(labels):
        for person in range(people):
            mean = centre[label] + drawn.standard_normal(16)
            rows += [mean + 0.5 * drawn.standard_normal(16) for _ in range(each)]
            target += [label] * each
            speakers += [f"{label}-{person}"] * each
    vectors = np.array(rows, np.float32)
    names = tuple(f"l{label}" for label in range(labels))
    return Examples(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.array(target), tuple(speakers), names)


def test_nobody_is_in_two_folds_and_each_has_some_of_every_label() -> None:
    examples = made(labels=3, people=7)
    fold = folds(examples)
    by_speaker = {speaker: set(fold[[s == speaker for s in examples.speakers]]) for speaker in examples.speakers}
    assert all(len(found) == 1 for found in by_speaker.values())
    for number in range(5):
        assert set(examples.target[fold == number]) == {0, 1, 2}


def test_who_is_reported_on_has_neither_trained_nor_chosen(monkeypatch) -> None:
    heard: list[tuple[set[str], float]] = []
    real = accent_fit.calibrated

    def watched(examples, coverage):
        heard.append((set(examples.speakers), coverage))
        return real(examples, coverage)

    monkeypatch.setattr(accent_fit, "calibrated", watched)
    examples = made(people=4)
    fit(examples, 0.7)
    everybody, fold = set(examples.speakers), folds(examples)
    for number, (people, _) in enumerate(heard[:-1]):
        left_out = {speaker for speaker, at in zip(examples.speakers, fold, strict=True) if at == number}
        assert people == everybody - left_out
    assert heard[-1][0] == everybody


def test_a_difference_that_is_there_is_found() -> None:
    _, account = fit(made(apart=3.0), 0.8)
    assert account.accuracy == pytest.approx(1.0)
    assert account.accuracy_from < 1.0, "ten people who are all told right leave some doubt"
    assert sum(map(sum, account.confusion)) == 60


def test_where_there_is_nothing_to_learn_it_is_not_better_than_chance() -> None:
    _, account = fit(made(labels=3, people=8, apart=0.0), 0.8)
    assert account.accuracy_from < 1 / 3
    assert account.accuracy < 0.5
    assert account.calibration_error < account.calibration_error_uncalibrated


def test_it_abstains_on_the_share_that_was_asked_for() -> None:
    for coverage in (0.5, 0.8, 1.0):
        found, account = fit(made(people=16, each=3, apart=1.0, seed=2), coverage)
        assert account.coverage == pytest.approx(coverage, abs=0.15)
        assert sum(row[-1] for row in account.confusion) == pytest.approx(96 * (1 - account.coverage), abs=1)
    assert account.accuracy < 0.95
    assert found.threshold < account.accuracy_covered
    assert [coverage for coverage, _ in account.curve] == [1.0, 0.9, 0.8, 0.7, 0.6, 0.5]
    assert account.curve[-1][1] > account.curve[0][1], "what it is surer of is more often right"


def test_speakers_with_many_utterances_and_labels_with_many_speakers_count_no_more() -> None:
    target = np.array([0, 0, 0, 0, 1, 1, 1])
    examples = Examples(np.zeros((7, 2), np.float32), target, ("a", "a", "a", "b", "c", "d", "e"), ("x", "y"))
    assert examples.weight() == pytest.approx([1 / 12, 1 / 12, 1 / 12, 1 / 4, 1 / 6, 1 / 6, 1 / 6])
    assert examples.speakers_of() == [2, 3]


def test_columns_that_say_nothing_of_people_left_out_are_not_heard() -> None:
    drawn = np.random.default_rng(1)
    useful = made(apart=1.5)
    noise = np.repeat(drawn.standard_normal((10, 16)), 6, axis=0).astype(np.float32)
    vectors = np.hstack([useful.vectors, noise])
    both = Examples(vectors, useful.target, useful.speakers, useful.labels, (slice(0, 16), slice(None)))
    found, _ = fit(both, 0.8)
    assert found.columns == slice(0, 16)
    assert not found.linear.weights[:, 16:].any()
    swapped = Examples(
        vectors[:, ::-1].copy(), useful.target, useful.speakers, useful.labels, (slice(0, 16), slice(None))
    )
    assert fit(swapped, 0.8)[0].columns == slice(None)


def test_the_same_examples_make_the_same_head() -> None:
    one, two = (fit(made(), 0.8)[0] for _ in range(2))
    assert one.linear.weights.tobytes() == two.linear.weights.tobytes()
    assert (one.threshold, one.temperature, one.strength) == (two.threshold, two.temperature, two.strength)


def test_too_few_people_are_refused_with_their_number() -> None:
    with pytest.raises(ConfigError, match=r"too few speakers: l0 2, l1 2; each label takes 3 or more"):
        check(made(people=2))
    with pytest.raises(ConfigError, match="only `l0`: it takes two or more"):
        check(made(labels=1))
    labels, target = indexed([])
    with pytest.raises(ConfigError, match="there is no label"):
        check(Examples(np.zeros((0, 4), np.float32), target, (), labels))


# --- the arithmetic ---------------------------------------------------------------------------------------------------


def test_training_reaches_the_optimum_from_wherever_it_starts() -> None:
    examples = made(labels=3)
    weight = examples.weight()
    cold = train(examples.vectors, examples.target, weight, 3, 0.1)
    warm = train(
        examples.vectors, examples.target, weight, 3, 0.1, train(examples.vectors, examples.target, weight, 3, 1)
    )
    assert cold.logits(examples.vectors) == pytest.approx(warm.logits(examples.vectors), abs=0.02)
    # Probabilities of each label, over all examples, are its share: the gradient of the bias is zero.
    assert weight @ probabilities(cold.logits(examples.vectors)) == pytest.approx([1 / 3] * 3, abs=1e-3)


def test_the_temperature_of_logits_that_are_twice_too_sure_is_two() -> None:
    drawn = np.random.default_rng(0)
    logits = drawn.standard_normal((20_000, 3))
    target = np.array([drawn.choice(3, p=row) for row in probabilities(logits)])
    weight = np.full(len(target), 1 / len(target))
    assert fit_temperature(2 * logits, target, weight, 0.0) == pytest.approx(2.0, rel=0.05)
    score = probabilities(2 * logits, 2.0).max(1)
    is_right = logits.argmax(1) == target
    assert calibration_error(score, is_right, weight) < 0.02
    assert calibration_error(probabilities(2 * logits).max(1), is_right, weight) > 0.1


def test_doubt_keeps_scores_below_what_few_people_can_show() -> None:
    logits, target, weight = np.array([[5.0, 0.0], [0.0, 5.0]]), np.array([0, 1]), np.array([0.5, 0.5])
    temperature = fit_temperature(logits, target, weight, 0.1)
    assert probabilities(logits, temperature).max() == pytest.approx(0.9, abs=0.01)
    assert log_loss(logits, target, weight, temperature, 0.1) == pytest.approx(0.325, abs=0.001)  # entropy of 0.1


def test_the_threshold_is_reached_by_the_share_that_was_asked_for() -> None:
    score = np.array([0.9, 0.5, 0.7, 0.6])
    assert threshold_for(score, np.full(4, 0.25), 0.5) == 0.7
    assert threshold_for(score, np.full(4, 0.25), 1.0) == 0.5
    assert threshold_for(score, np.array([0.7, 0.1, 0.1, 0.1]), 0.5) == 0.9


def test_calibration_error_is_the_distance_of_score_and_accuracy() -> None:
    score = np.array([0.95, 0.95, 0.55, 0.55])
    assert calibration_error(score, np.array([True, True, True, False]), np.full(4, 0.25)) == pytest.approx(0.05)
