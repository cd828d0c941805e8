"""Fits the network: Laplace likelihoods, so that it says how far it may be off, and what it should see on the way."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from training.examples import Batches
from training.network import Network
from training.pool import Pool

Numbers = NDArray[np.float32]
UNITS = (4.0, 4.0, 0.3)
"""What an error is counted in: dB of SNR, dB of C50, ln of RT60."""
LEAST_SPREAD = (0.9, 0.9, 0.07)
"""What a spread is at least, in those. Of dry speech only a bound is known, past which nothing is wrong: there the
network learns to be sure, and a room that it takes for dry would get a spread of nothing."""
KEPT = 100
"""Batches to draw from a second time."""


@dataclass(frozen=True, slots=True)
class Fit:
    """How long and how fast."""

    steps: int = 9000
    passes: int = 2
    batch: int = 32
    rate: float = 2.5e-3
    seed: int = 1
    valid_batches: int = 24
    loaders: int = 1
    threads: int = 1


@dataclass(frozen=True, slots=True)
class Scores:
    """On stretches, rooms and noises kept out of the fit: predictions and truth, shape (n, 6) and (n, 3), and which
    were dry."""

    told: Numbers
    true: Numbers
    is_dry: NDArray[np.bool_]

    def mean_errors(self) -> dict[str, float]:
        error = np.abs(self.told[:, :3] - self.true)
        is_wet = ~self.is_dry & (self.true[:, 0] > 0)
        factor = np.exp(error[is_wet & (np.exp(self.true[:, 2]) < 3), 2])
        return {
            "snr_db": float(error[:, 0].mean()),
            "c50_db": float(error[is_wet, 1].mean()),
            "rt60_within_1.5": float(np.mean(factor < 1.5)),
        }


def fitted(pool: Pool, how: Fit, log: Any = print) -> Network:
    """A network after `how.steps` batches; the same on the same kind of machine with the same number of threads."""
    torch.manual_seed(how.seed)
    torch.set_num_threads(how.threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = Network().to(device)
    optimiser = torch.optim.AdamW(network.parameters(), lr=how.rate, weight_decay=1e-4)
    plan = torch.optim.lr_scheduler.OneCycleLR(optimiser, how.rate, total_steps=how.steps, pct_start=0.15)
    began, running = time.monotonic(), np.zeros(5)
    made = batches(Batches(pool, -(-how.steps // how.passes), how.batch, how.seed), how.loaders)
    for step, batch in enumerate(again(made, how)):
        seen = {name: value.to(device) for name, value in batch.items()}
        parts = losses(network, seen)
        optimiser.zero_grad()
        parts.sum().backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        plan.step()
        running += parts.detach().cpu().numpy()
        if (step + 1) % 100 == 0:
            log(f"step {step + 1}/{how.steps}, {time.monotonic() - began:.0f} s, losses {np.round(running / 100, 3)}")
            running[:] = 0
    return network.cpu().eval()


def again(made: Iterator[dict[str, Tensor]], how: Fit) -> Iterator[dict[str, Tensor]]:
    """`how.steps` batches, each about `how.passes` times: making one costs more than learning from it.

    A new one and then one of the last `KEPT`, drawn, so that two steps in a row seldom learn from the same.
    """
    rng = np.random.default_rng([how.seed, 6])
    kept: list[dict[str, Tensor]] = []
    for step in range(how.steps):
        if step % how.passes == 0:
            kept = [*kept[-KEPT + 1 :], next(made)]
            yield kept[-1]
        else:
            yield kept[int(rng.integers(len(kept)))]


def batches(data: Batches, loaders: int) -> Iterator[dict[str, Tensor]]:
    """Batches in order, made ahead in so many processes."""
    # A data set is whatever has a length and items.
    yield from DataLoader(
        cast("Dataset[Any]", data), batch_size=None, num_workers=loaders, prefetch_factor=4 if loaders else None
    )


def losses(network: Network, seen: dict[str, Tensor]) -> Tensor:
    """SNR, C50, ln RT60, speech, mask; shape (5,)."""
    speech, mask, _, _, numbers = network(seen["features"], seen["floor"], seen["power"])
    true = truth(seen)
    numbers_loss = [laplace(numbers[:, k], true[:, k], numbers[:, 3 + k], UNITS[k], None) for k in range(3)]
    # Dry speech only says what its room is at least: past that nothing is wrong.
    is_dry = seen["is_dry"] > 0.5
    numbers_loss[1] = laplace(numbers[:, 1], true[:, 1], numbers[:, 4], UNITS[1], is_dry & (numbers[:, 1] > true[:, 1]))
    numbers_loss[2] = laplace(numbers[:, 2], true[:, 2], numbers[:, 5], UNITS[2], is_dry & (numbers[:, 2] < true[:, 2]))
    heard = functional.binary_cross_entropy_with_logits(speech, seen["speech"])
    local = functional.l1_loss(torch.clamp(mask * (10 / math.log(10)), -30, 30), seen["local_db"]) / 10
    return torch.stack([numbers_loss[0], 0.7 * numbers_loss[1], 0.7 * numbers_loss[2], 0.5 * heard, local])


def truth(seen: dict[str, Tensor]) -> Tensor:
    return torch.stack([seen["snr_db"], seen["c50_db"], torch.log(seen["rt60_s"])], dim=1)


def laplace(told: Tensor, true: Tensor, log_scale: Tensor, unit: float, is_free: Tensor | None) -> Tensor:
    """Negative log likelihood of a Laplace distribution in `unit`s; nothing for those that are free."""
    error = (told - true).abs()
    if is_free is not None:
        error = torch.where(is_free, torch.zeros_like(error), error)
    # The floor keeps a few easy examples from ruling all others.
    log_scale = torch.clamp(log_scale, min=math.log(unit) - 3.5, max=math.log(unit) + 2.5)
    return (error * torch.exp(-log_scale) + log_scale - math.log(unit)).mean()


def validated(network: Network, pool: Pool, how: Fit) -> Scores:
    """What the network makes of the validating share of the pool."""
    told, true, is_dry = [], [], []
    with torch.no_grad():
        for seen in batches(Batches(pool, how.valid_batches, how.batch, how.seed, validates=True), how.loaders):
            told.append(network(seen["features"], seen["floor"], seen["power"])[4].numpy())
            true.append(truth(seen).numpy())
            is_dry.append(seen["is_dry"].numpy() > 0.5)
    return Scores(np.concatenate(told), np.concatenate(true), np.concatenate(is_dry))
