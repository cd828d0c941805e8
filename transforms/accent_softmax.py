"""The arithmetic of a linear head: multinomial logistic regression, one temperature, one threshold. Plain numpy, in
double precision, so that the same examples make the same head."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
Numbers = NDArray[np.float64]
Whole = NDArray[np.int64]

_SCALE_FLOOR = 1e-3
"""Dimensions of unit vectors that vary less than this are silent: they are not blown up."""
_STEPS = 100


@dataclass(frozen=True, slots=True)
class Linear:
    """Logits of a vector: `weights @ vector + bias`; shapes (labels, dimensions) and (labels,)."""

    weights: Numbers
    bias: Numbers

    def logits(self, vectors: Vectors | Numbers) -> Numbers:
        """Shape (n, labels)."""
        return np.asarray(vectors, np.float64) @ self.weights.T + self.bias


def probabilities(logits: Numbers, temperature: float = 1.0) -> Numbers:
    """Softmax over the last axis, after division by the temperature."""
    scaled = logits / temperature
    powers = np.exp(scaled - scaled.max(-1, keepdims=True))
    shares: Numbers = powers / powers.sum(-1, keepdims=True)
    return shares


def train(
    vectors: Vectors | Numbers, target: Whole, weight: Numbers, labels: int, strength: float,
    start: Linear | None = None,
) -> Linear:  # fmt: skip
    """The linear head with the least weighted cross-entropy plus `strength` / 2 times the squared norm of its weights
    over standardised dimensions. `weight` sums to 1. `start` only saves time: the optimum is one."""
    from scipy.optimize import minimize

    values = np.asarray(vectors, np.float64)
    mean = weight @ values
    scale = np.sqrt(weight @ np.square(values - mean)).clip(_SCALE_FLOOR)
    standard = (values - mean) / scale
    one_hot = np.eye(labels)[target]

    def loss(flat: Numbers) -> tuple[float, Numbers]:
        matrix, bias = flat[:-labels].reshape(labels, -1), flat[-labels:]
        logits = standard @ matrix.T + bias
        top = logits.max(1, keepdims=True)
        sums = np.exp(logits - top).sum(1)
        nll = float(weight @ (np.log(sums) + top[:, 0] - logits[np.arange(len(target)), target]))
        error = weight[:, None] * (probabilities(logits) - one_hot)
        slope = np.concatenate([(error.T @ standard + strength * matrix).ravel(), error.sum(0)])
        return nll + 0.5 * strength * float(np.square(matrix).sum()), slope

    flat = np.zeros(labels * (values.shape[1] + 1))
    if start is not None:
        flat = np.concatenate([(start.weights * scale).ravel(), start.bias + start.weights @ mean])
    found: Any = minimize(loss, flat, jac=True, method="L-BFGS-B", options={"maxiter": _STEPS})
    matrix, bias = found.x[:-labels].reshape(labels, -1) / scale, found.x[-labels:]
    return Linear(matrix, bias - matrix @ mean)


def log_loss(logits: Numbers, target: Whole, weight: Numbers, temperature: float, doubt: float = 0.0) -> float:
    """Weighted mean of the cross-entropy with what is true, of which a share `doubt` is given to the other labels."""
    logs = np.log(probabilities(logits, temperature).clip(1e-12))
    true = logs[np.arange(len(target)), target]
    others = (logs.sum(1) - true) / (logs.shape[1] - 1)
    return float(-(weight @ ((1 - doubt) * true + doubt * others)) / weight.sum())


def fit_temperature(logits: Numbers, target: Whole, weight: Numbers, doubt: float) -> float:
    """The temperature (0.02…50) at which held-out logits have the least log loss: C. Guo et al., On Calibration of
    Modern Neural Networks, 2017. `doubt` keeps scores below what so few people can show: J. Platt, Probabilistic
    Outputs for Support Vector Machines, 1999."""
    from scipy.optimize import minimize_scalar

    found: Any = minimize_scalar(
        lambda power: log_loss(logits, target, weight, float(np.exp(power)), doubt),
        bounds=(np.log(0.02), np.log(50.0)), method="bounded", options={"xatol": 1e-4},
    )  # fmt: skip
    return float(np.exp(found.x))


def threshold_for(score: Numbers, weight: Numbers, coverage: float) -> float:
    """The highest score that at least this share of `weight` reaches."""
    order = np.argsort(-score, kind="stable")
    reached = np.cumsum(weight[order]) / weight.sum()
    return float(score[order[min(len(order) - 1, int(np.searchsorted(reached, coverage - 1e-9)))]])


def calibration_error(score: Numbers, is_right: NDArray[np.bool_], weight: Numbers, bins: int = 10) -> float:
    """Expected calibration error: mean distance of score and accuracy over equal bins of score, by their weight."""
    which = np.minimum((score * bins).astype(int), bins - 1)
    total = 0.0
    for number in range(bins):
        inside = which == number
        if inside.any():
            total += abs(float(weight[inside] @ (score[inside] - is_right[inside])))
    return total / float(weight.sum())
