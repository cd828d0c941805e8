"""The network as it runs says what it said while it learnt."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

from training.export import Planar  # noqa: E402
from training.network import Network  # noqa: E402
from transforms.spectrum import MELS  # noqa: E402


def test_a_network_of_images_says_the_same() -> None:
    torch.manual_seed(1)
    network = Network()
    given = torch.randn(4, MELS + 1, 60), torch.randn(4, MELS), torch.rand(4, 30, MELS)
    for _ in range(3):
        # Batches leave means and deviations to fold.
        network(*given)
    network.eval()
    planar = Planar(network).eval()
    for one, other in zip(network(*given), planar(*given), strict=True):
        assert torch.allclose(one, other, atol=2e-4)


def test_only_a_convolution_and_its_normalisation_are_folded() -> None:
    network = Network()
    network.norm = torch.nn.Identity()
    with pytest.raises(TypeError, match="cannot fold Identity"):
        Planar(network)
