"""Fits a head to labelled utterances, and says how well it does on people it has not heard.

Everything that is chosen (columns, strength, temperature, threshold) is chosen on people who did not train, and
everything that is reported is of people for whom neither was done: folds by speaker within folds by speaker.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from schemas.errors import ConfigError
from transforms.accent_softmax import (
    Linear,
    Numbers,
    Vectors,
    Whole,
    calibration_error,
    fit_temperature,
    log_loss,
    probabilities,
    threshold_for,
    train,
)

MIN_SPEAKERS = 3
"""Of each label: one to report on, one to choose by, one to learn from."""
COVERAGES = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5)
_FOLDS = 5
_STRENGTHS = (1.0, 0.3, 0.1, 0.03)
_DRAWS = 1000


@dataclass(frozen=True, slots=True)
class Examples:
    """Utterances with known accents: vectors, shape (n, d); the place of each one's label; whose voice it is."""

    vectors: Vectors
    target: Whole
    speakers: tuple[str, ...]
    labels: tuple[str, ...]
    choices: tuple[slice, ...] = (slice(None),)
    """Columns of the vectors that a head may hear; which of these, is chosen with its strength."""

    def __getitem__(self, index: NDArray[np.bool_]) -> Examples:
        speakers = tuple(speaker for speaker, is_in in zip(self.speakers, index, strict=True) if is_in)
        return Examples(self.vectors[index], self.target[index], speakers, self.labels, self.choices)

    def weight(self) -> Numbers:
        """Every label counts the same, and within it every speaker; sums to 1."""
        cells = list(zip(self.target.tolist(), self.speakers, strict=True))
        per_cell = Counter(cells)
        people = np.bincount([label for label, _ in per_cell], minlength=len(self.labels))
        present = np.count_nonzero(people)
        return np.array([1 / (present * people[label] * per_cell[label, who]) for label, who in cells])

    def speakers_of(self) -> list[int]:
        """How many people each label has."""
        cells = set(zip(self.target.tolist(), self.speakers, strict=True))
        people = np.bincount([label for label, _ in cells], minlength=len(self.labels))
        return [int(count) for count in people]


@dataclass(frozen=True, slots=True)
class Calibrated:
    """A head with what was chosen for it on people who did not train it."""

    linear: Linear
    columns: slice
    strength: float
    temperature: float
    threshold: float

    def probabilities(self, vectors: Vectors) -> Numbers:
        return probabilities(self.linear.logits(vectors), self.temperature)


@dataclass(frozen=True, slots=True)
class Account:
    """What a head does with people whom it has not heard. Accuracy, coverage and calibration error count every label
    the same and within it every speaker; `confusion` counts utterances."""

    confusion: tuple[tuple[int, ...], ...]
    """Rows: what is declared; columns: what is predicted, and last: not sure."""
    accuracy: float
    """Of all, had it never abstained."""
    accuracy_from: float
    accuracy_to: float
    """Where 95 % of the accuracies lie when the speakers are drawn again, with an unknown one among each label's."""
    utterance_accuracy: float
    """The same, every utterance counting the same."""
    coverage: float
    accuracy_covered: float
    calibration_error: float
    calibration_error_uncalibrated: float
    curve: tuple[tuple[float, float], ...]
    """Coverage and the accuracy there."""


def fit(examples: Examples, coverage: float) -> tuple[Calibrated, Account]:
    """A head over all `examples`, and the account of heads like it on people left out. Raises ConfigError where there
    are too few labels or people."""
    check(examples)
    fold = folds(examples)
    held = np.zeros((len(examples.target), len(examples.labels)))
    plain, is_sure = np.zeros_like(held), np.zeros(len(held), np.bool_)
    for number in range(int(fold.max()) + 1):
        out = fold == number
        one = calibrated(examples[~out], coverage)
        held[out] = one.probabilities(examples.vectors[out])
        plain[out] = probabilities(one.linear.logits(examples.vectors[out]))
        is_sure[out] = held[out].max(1) >= one.threshold
    return calibrated(examples, coverage), _account(examples, held, plain, is_sure)


def check(examples: Examples) -> None:
    """Raises ConfigError, with the numbers, where no head can be fitted and judged."""
    if len(examples.labels) < 2:
        said = f"only `{examples.labels[0]}`" if examples.labels else "no label"
        raise ConfigError(f"a head tells labels apart, and there is {said}: it takes two or more")
    few = [
        f"{label} {people}" for label, people in zip(examples.labels, examples.speakers_of(), strict=True)
        if people < MIN_SPEAKERS
    ]  # fmt: skip
    if few:
        raise ConfigError(
            f"too few speakers: {', '.join(few)}; each label takes {MIN_SPEAKERS} or more, so that the head can be "
            "judged on people it has not heard"
        )


def folds(examples: Examples) -> Whole:
    """Which fold each utterance is in: people are dealt out label by label, so that a fold has some of each."""
    most = min(_FOLDS, *examples.speakers_of())
    first: dict[str, int] = {}
    for speaker, label in zip(examples.speakers, examples.target.tolist(), strict=True):
        first.setdefault(speaker, label)
    # By a digest of their pseudonym: in any order that says nothing, and in the same one every time.
    dealt = sorted(first, key=lambda who: (first[who], hashlib.sha256(who.encode()).digest()))
    place = {speaker: number % most for number, speaker in enumerate(dealt)}
    return np.array([place[speaker] for speaker in examples.speakers], np.int64)


def calibrated(examples: Examples, coverage: float) -> Calibrated:
    """The head over `examples`: columns, strength, temperature and threshold by folds of people within them."""
    weight, doubt = examples.weight(), 1 / (sum(examples.speakers_of()) + 2)
    tried = [(columns, strength) for columns in examples.choices for strength in _STRENGTHS]
    logits = _held_out(examples)
    temperatures = [fit_temperature(one, examples.target, weight, doubt) for one in logits]
    losses = [
        log_loss(one, examples.target, weight, temperature, doubt)
        for one, temperature in zip(logits, temperatures, strict=True)
    ]
    best = int(np.argmin(losses))
    columns, strength = tried[best]
    score = probabilities(logits[best], temperatures[best]).max(1)
    return Calibrated(
        _trained(examples, columns, strength),
        columns,
        strength,
        temperatures[best],
        threshold_for(score, weight, coverage),
    )


def _held_out(examples: Examples) -> list[Numbers]:
    """For each choice of columns and strength: the logits of people who were left out."""
    fold, labels = folds(examples), len(examples.labels)
    logits = [np.zeros((len(fold), labels)) for _ in examples.choices for _ in _STRENGTHS]
    for number in range(int(fold.max()) + 1):
        out, at = fold == number, 0
        inside = examples[~out]
        for columns in examples.choices:
            linear = None
            for strength in _STRENGTHS:
                linear = _trained(inside, columns, strength, linear)
                logits[at][out] = linear.logits(examples.vectors[out])
                at += 1
    return logits


def _trained(examples: Examples, columns: slice, strength: float, start: Linear | None = None) -> Linear:
    """A head that hears `columns` only: its other weights are 0."""
    labels = len(examples.labels)
    if start is not None:
        start = Linear(start.weights[:, columns], start.bias)
    found = train(
        examples.vectors[:, columns], examples.target, examples.weight(), labels, strength, start
    )  # fmt: skip
    weights = np.zeros((labels, examples.vectors.shape[1]))
    weights[:, columns] = found.weights
    return Linear(weights, found.bias)


def _account(examples: Examples, held: Numbers, plain: Numbers, is_sure: NDArray[np.bool_]) -> Account:
    weight, labels = examples.weight(), len(examples.labels)
    said, score = held.argmax(1), held.max(1)
    is_right = said == examples.target
    confusion = np.zeros((labels, labels + 1), np.int64)
    np.add.at(confusion, (examples.target, np.where(is_sure, said, labels)), 1)
    low, high = _interval(examples, is_right)
    return Account(
        confusion=tuple(tuple(row) for row in confusion.tolist()),
        accuracy=float(weight @ is_right),
        accuracy_from=low,
        accuracy_to=high,
        utterance_accuracy=float(is_right.mean()),
        coverage=float(weight @ is_sure),
        accuracy_covered=_share(is_right, weight * is_sure),
        calibration_error=calibration_error(score, is_right, weight),
        calibration_error_uncalibrated=calibration_error(plain.max(1), is_right, weight),
        curve=tuple((one, _covered(score, is_right, weight, one)) for one in COVERAGES),
    )


def _covered(score: Numbers, is_right: NDArray[np.bool_], weight: Numbers, coverage: float) -> float:
    return _share(is_right, weight * (score >= threshold_for(score, weight, coverage)))


def _share(is_right: NDArray[np.bool_], weight: Numbers) -> float:
    total = float(weight.sum())
    return float(weight @ is_right) / total if total else 0.0


def _interval(examples: Examples, is_right: NDArray[np.bool_]) -> tuple[float, float]:
    """Where 95 % of the accuracies lie, when people of each label are drawn again from those there are and one more, of
    whom nothing is known: else a few people who are all told right would leave no doubt."""
    drawn = np.random.default_rng(0)
    means = np.zeros(_DRAWS)
    for label in range(len(examples.labels)):
        people: dict[str, list[bool]] = {}
        for speaker, target, right in zip(examples.speakers, examples.target, is_right, strict=True):
            if target == label:
                people.setdefault(speaker, []).append(bool(right))
        each = np.tile([np.mean(answers) for _, answers in sorted(people.items())], (_DRAWS, 1))
        each = np.hstack([each, drawn.random((_DRAWS, 1))])
        again = drawn.integers(each.shape[1], size=each.shape)
        means += np.take_along_axis(each, again, 1).mean(1) / len(examples.labels)
    low, high = np.quantile(means, (0.025, 0.975))
    return float(low), float(high)


def indexed(labels: Sequence[str]) -> tuple[tuple[str, ...], Whole]:
    """The labels there are, in order, and the place of each one."""
    known = tuple(sorted(set(labels)))
    return known, np.array([known.index(label) for label in labels], np.int64)
