"""The network's quicker twins, for fitting and for running, say what the plain one says."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

from training.depthwise import Depthwise  # noqa: E402
from training.export import Planar  # noqa: E402
from training.network import CHANNELS, Network  # noqa: E402
from transforms.spectrum import MELS  # noqa: E402


@pytest.mark.parametrize(("steps", "dilation"), [(40, 1), (40, 4), (40, 16), (12, 16), (1, 2)])
def test_sums_of_shifts_are_a_depthwise_convolution(steps: int, dilation: int) -> None:
    torch.manual_seed(steps + dilation)
    plain = torch.nn.Conv1d(6, 6, 5, padding=2 * dilation, dilation=dilation, groups=6)
    heard, weighed = torch.randn(3, 6, steps, requires_grad=True), torch.randn(3, 6, steps)
    found = []
    for made in (plain(heard), Depthwise.apply(heard, plain.weight, plain.bias, dilation)):
        of = torch.autograd.grad((made * weighed).sum(), [heard, plain.weight, plain.bias])
        found.append((made.detach(), *of))
    for one, other in zip(*found, strict=True):
        assert torch.allclose(one, other, atol=1e-4)


def test_a_network_learns_and_runs_alike() -> None:
    torch.manual_seed(1)
    network = Network()
    given = torch.randn(4, MELS + 1, 60), torch.randn(4, MELS), torch.rand(4, 30, MELS)
    for _ in range(3):
        network(*given)
    block, heard = network.blocks[3], torch.randn(2, CHANNELS, 20)
    fitting = block(heard)
    block.norm.eval(), block.after.eval()
    before = block(heard)
    assert not torch.allclose(fitting, before)
    network.eval()
    assert torch.allclose(before, block(heard), atol=1e-4)
    planar = Planar(network).eval()
    for one, other in zip(network(*given), planar(*given), strict=True):
        assert torch.allclose(one, other, atol=2e-4)
    with pytest.raises(TypeError, match="cannot fold"):
        Planar(torch.nn.ModuleDict({"first": torch.nn.Linear(1, 1), "norm": torch.nn.BatchNorm1d(1)}))
