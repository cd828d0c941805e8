"""Depthwise convolution over time for fitting on a processor: what `torch.nn.Conv1d` says, in half of its time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor


class Depthwise(torch.autograd.Function):
    """`apply(heard, weight, bias, dilation)`: (n, channels, steps) with a (channels, 1, odd) kernel, zeros around.

    Sums of shifted copies. Torch's own kernels go through a general convolution, whose backward pass was half of a fit.
    """

    @staticmethod
    def forward(context: Any, heard: Tensor, weight: Tensor, bias: Tensor, dilation: int) -> Tensor:
        context.save_for_backward(heard, weight)
        context.dilation = dilation
        made = bias[:, None].expand(heard.shape).clone()
        for k, into, of in _shifts(heard.shape[2], weight.shape[2], dilation):
            made[:, :, into].addcmul_(heard[:, :, of], weight[:, 0, k, None])
        return made

    @staticmethod
    def backward(context: Any, *given: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        heard, weight = context.saved_tensors
        of_heard, of_weight, gradient = torch.zeros_like(heard), torch.zeros_like(weight), given[0]
        for k, into, of in _shifts(heard.shape[2], weight.shape[2], context.dilation):
            of_heard[:, :, of].addcmul_(gradient[:, :, into], weight[:, 0, k, None])
            of_weight[:, 0, k] = (gradient[:, :, into] * heard[:, :, of]).sum((0, 2))
        return of_heard, of_weight, gradient.sum((0, 2)), None


def _shifts(steps: int, width: int, dilation: int) -> Iterator[tuple[int, slice, slice]]:
    """For each place in the kernel, which steps it adds to, and of which."""
    for k in range(width):
        by = (k - width // 2) * dilation
        if abs(by) < steps:
            yield k, slice(max(0, -by), steps - max(0, by)), slice(max(0, by), steps - max(0, -by))
