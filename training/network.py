"""The network: 40 mel bands in, what is speech in each frame and band, and four numbers with their spreads out.

Two thirds of a page of arithmetic, because it has to run at thousands of times real time on one core: one convolution
that halves the frame rate, dilated depthwise blocks that see 2.5 s to each side, and twice a mean over the whole
utterance, which tells every frame what the noise and the room are like.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.depthwise import Depthwise
from transforms.spectrum import MELS

CHANNELS = 128
DILATIONS = (1, 2, 4, 8, 16)
CONTEXT_AFTER = (1, 3)
POOLS = 2
MOMENTUM = 0.02
"""Of what batches are normalised by: the mean over the last fifty, for each is of one length and of few voices."""


Said = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]


class Block(nn.Module):
    """Depthwise over time, pointwise over channels, added to what came in."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.over_time = nn.Conv1d(channels, channels, 5, padding=2 * dilation, dilation=dilation, groups=channels)
        self.norm = nn.BatchNorm1d(channels, momentum=MOMENTUM)
        self.across = nn.Conv1d(channels, channels, 1)
        self.after = nn.BatchNorm1d(channels, momentum=MOMENTUM)

    def forward(self, heard: Tensor) -> Tensor:
        made: Tensor = torch.relu(self.norm(self._shifted(heard)))
        return torch.relu(heard + self.after(self.across(made)))

    def _shifted(self, heard: Tensor) -> Tensor:
        if not self.training or heard.is_cuda:
            made: Tensor = self.over_time(heard)
            return made
        layer = self.over_time
        fast: Tensor = Depthwise.apply(heard, layer.weight, layer.bias, layer.dilation[0])  # type: ignore[no-untyped-call]
        return fast


class Context(nn.Module):
    """Mean over the utterance, through a narrow layer, added to every frame."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.narrow = nn.Linear(channels, channels // 2)
        self.wide = nn.Linear(channels // 2, channels)

    def forward(self, heard: Tensor) -> Tensor:
        return heard + self.told(heard)[:, :, None]

    def told(self, heard: Tensor) -> Tensor:
        """What is added to every frame, shape (n, channels), of (n, channels, steps) or one row of an image."""
        pool = functional.adaptive_avg_pool1d if heard.dim() == 3 else functional.adaptive_avg_pool2d
        told: Tensor = self.wide(torch.relu(self.narrow(pool(heard, 1).flatten(1))))
        return told


class Pooling(nn.Module):
    """Attention over time: means and deviations where learned scores say to look, flat."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.score = nn.Conv1d(channels, POOLS, 1)

    def forward(self, heard: Tensor) -> Tensor:
        share = torch.softmax(self.score(heard), dim=2)
        over_time = heard.transpose(1, 2)
        mean = share @ over_time
        square = share @ (over_time * over_time)
        return torch.cat([mean, torch.sqrt(torch.relu(square - mean * mean) + 1e-5)], dim=1).flatten(1)


class Network(nn.Module):
    """`forward(features, floor, power)` as `transforms.acoustics` feeds it, two frames to a step.

    Gives speech logits (n, steps), mask logits (n, steps, MELS), the power of speech and of noise per step (n, steps),
    and (n, 6): SNR, C50 in dB, ln of RT60 in seconds, then the logarithms of their Laplace scales.
    """

    start: Tensor

    def __init__(self, channels: int = CHANNELS) -> None:
        super().__init__()
        self.first = nn.Conv1d(MELS + 1, channels, 5, stride=2, padding=2)
        self.norm = nn.BatchNorm1d(channels, momentum=MOMENTUM)
        self.of_floor = nn.Linear(MELS, channels)
        self.blocks = nn.ModuleList(Block(channels, dilation) for dilation in DILATIONS)
        self.contexts = nn.ModuleList(Context(channels) for _ in CONTEXT_AFTER)
        self.speech = nn.Conv1d(channels, 1, 1)
        self.mask = nn.Conv1d(channels, MELS, 1)
        self.pooling = Pooling(channels)
        self.head = nn.Sequential(nn.Linear(2 * POOLS * channels + 1, 96), nn.ReLU(), nn.Linear(96, 6))
        # Where fitting starts: 10 dB of C50, half a second, spreads of some dB; each in a unit near its own spread.
        self.register_buffer("start", torch.tensor([0.0, 10.0, -0.7, 0.7, 0.7, -1.5]))
        self.register_buffer("unit", torch.tensor([10.0, 10.0, 1.0, 1.0, 1.0, 1.0]))

    unit: Tensor

    def forward(self, features: Tensor, floor: Tensor, power: Tensor) -> Said:
        return self.said(self.heard(features, floor), power)

    def heard(self, features: Tensor, floor: Tensor) -> Tensor:
        """What the network makes of each step, shape (n, channels, steps)."""
        heard = torch.relu(self.norm(self.first(features)) + self.of_floor(floor)[:, :, None])
        contexts = iter(self.contexts)
        for n, block in enumerate(self.blocks):
            heard = block(heard)
            if n in CONTEXT_AFTER:
                heard = next(contexts)(heard)
        return heard

    def said(self, heard: Tensor, power: Tensor) -> Said:
        """What `forward` gives, of `heard`."""
        speech, mask = self.speech(heard).flatten(1), self.mask(heard).transpose(1, 2)
        is_speech, of_speech = torch.sigmoid(speech), torch.sigmoid(mask) * power
        signal, noise = of_speech.sum(dim=2), (power - of_speech).sum(dim=2)
        summed = summed_snr_db(is_speech, signal, noise)
        told = self.head(torch.cat([self.pooling(heard), summed / 20], dim=1)) * self.unit + self.start
        numbers = torch.cat([summed + told[:, :1], told[:, 1:]], dim=1)
        return speech, mask, signal, noise, numbers


def summed_snr_db(is_speech: Tensor, signal: Tensor, noise: Tensor) -> Tensor:
    """SNR as energies, shape (n, 1): what the mask calls speech, over frames of speech, to what it calls noise, over
    all frames."""
    loud = (signal * is_speech).sum(dim=1, keepdim=True) / (is_speech.sum(dim=1, keepdim=True) + 0.1)
    return 10 * torch.log10((loud + 1e-9) / (noise.mean(dim=1, keepdim=True) + 1e-9))
