"""The recipe, small: it runs, exports what torch says, and the sheet that ships names what was heard."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.shared_audio import has_shared_audio
from training import split
from training.calibrate import Calibration, calibrated
from training.examples import CLEANER_DB, SNR_RANGE_DB, Batches, clean_enough
from training.pool import LENGTH, Pool, Size, made, training_items
from training.sheet import files_of, sheet
from transforms.acoustics import NETWORK, network_path
from transforms.models import onnx_session, sha256_of

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")

from training import export, fit  # noqa: E402
from training.network import Network  # noqa: E402

SHEET = network_path().with_suffix(".md")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:.*fork.*")


def small_pool(n: int = 24) -> Pool:
    """Bursts of tones for speech, half of them dry, and hiss."""
    rng = np.random.default_rng(0)
    t = np.arange(LENGTH) / 16_000
    speech = [
        8000 * np.sin(2 * np.pi * (150 + 20 * i) * t) * (np.sin(2 * np.pi * (2 + i / 9) * t) > 0) for i in range(n)
    ]
    facts = np.array([[10.0, 0.5, 60.0] if i % 2 else [np.nan, np.nan, 60.0] for i in range(n)], np.float32)
    noise = rng.standard_normal((n, LENGTH)) * 3000
    return Pool(np.array(speech, np.int16), facts, noise.astype(np.int16))


def test_batches_follow_from_their_seed_and_hold_what_the_network_takes() -> None:
    first, again, other = (Batches(small_pool(), 4, 3, seed)[2] for seed in (1, 1, 2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["snr_db"], other["snr_db"])
    steps = first["speech"].shape[1]
    assert first["features"].shape == (3, 41, 2 * steps)
    assert first["local_db"].shape == first["power"].shape == (3, steps, 40)
    assert bool((first["snr_db"] >= SNR_RANGE_DB[0]).all())
    with pytest.raises(IndexError):
        Batches(small_pool(), 4, 3, 1)[4]


def test_voices_are_cleaner_than_the_ratio_that_is_asked_of_them() -> None:
    pool = small_pool(40)
    pool.facts[:, 2] = np.arange(40)
    data = Batches(pool, 1, 1, 1)
    rng = np.random.default_rng(0)
    for snr_db in (-9.0, 4.0, 20.0):
        drawn = {int(clean_enough(rng, data.cleanness, snr_db)) for _ in range(400)}
        assert min(drawn) == max(0, snr_db + CLEANER_DB)
        assert max(drawn) == 37, "the last of a pool only validate"
    assert len({int(clean_enough(rng, data.cleanness, 60.0)) for _ in range(100)}) > 2


def test_a_batch_is_learnt_from_again_but_not_at_once() -> None:
    how = fit.Fit(steps=40, passes=2)
    made = [{"n": torch.tensor(float(i))} for i in range(20)]
    seen, other = ([int(one["n"]) for one in fit.again(iter(made), how)] for _ in range(2))
    assert seen == other
    assert len(seen) == 40
    assert seen[::2] == list(range(20))
    assert all(later <= new for new, later in zip(seen[::2], seen[1::2], strict=True))
    assert len(set(seen[1::2])) > 8


def test_a_few_steps_learn_and_what_is_exported_says_what_torch_says(tmp_path: Path) -> None:
    how = fit.Fit(steps=12, batch=4, valid_batches=2, loaders=0)
    batch = Batches(small_pool(), 1, 8, 5)[0]
    torch.manual_seed(how.seed)
    before = float(fit.losses(Network(), batch).detach().sum())
    network = fit.fitted(small_pool(), how, log=lambda _: None)
    assert float(fit.losses(network, batch).detach().sum()) < 0.8 * before
    calibration = calibrated(fit.validated(network, small_pool(), how))
    shipped = export.Shipped(network, calibration.offset, calibration.spread)
    sha256 = export.exported(shipped, tmp_path / "a.onnx")
    assert sha256 == export.exported(shipped, tmp_path / "b.onnx")
    assert export.disagreement(shipped, onnx_session(tmp_path / "a.onnx")) < 1e-3


def test_an_export_that_says_otherwise_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "disagreement", lambda *_: 0.5)
    with pytest.raises(ValueError, match="differs from torch"):
        export.exported(export.Shipped(Network(), (0, 0, 0), (1, 1, 1)), tmp_path / "a.onnx")
    monkeypatch.setattr(export, "MOST_BYTES", 1000)
    with pytest.raises(ValueError, match="more than 1000"):
        export.exported(export.Shipped(Network(), (0, 0, 0), (1, 1, 1)), tmp_path / "b.onnx")


def test_what_ships_is_never_surer_than_it_may_be() -> None:
    network = Network()
    with torch.no_grad():
        network.head[2].bias[3:] = -20.0
    shipped = export.Shipped(network.eval(), (0, 0, 0), (1, 1, 2)).eval()
    told = shipped(torch.randn(1, 41, 60), torch.randn(1, 40), torch.rand(1, 30, 40))[2]
    least = np.log(np.array(fit.LEAST_SPREAD) * (1, 1, 2))
    assert told.detach().numpy()[0, 3:] == pytest.approx(least, abs=1e-5)


def test_dry_speech_may_read_better_than_its_bound() -> None:
    told, scale = torch.tensor([40.0, 20.0]), torch.zeros(2)
    free = torch.tensor([True, False])
    assert float(fit.laplace(told, torch.tensor([26.0, 20.0]), scale, 1.0, free)) == pytest.approx(0.0)
    assert float(fit.laplace(told, torch.tensor([26.0, 20.0]), scale, 1.0, None)) == pytest.approx(7.0)


def test_calibration_takes_the_median_and_makes_spreads_cover() -> None:
    true = np.zeros((3, 3), np.float32)
    told = np.array([[1, 9, 0, 0, 0, 0], [3, 2, 0, 0, 0, 0], [2, 4, 0, 0, 0, 0]], np.float32)
    found = calibrated(fit.Scores(told, true, np.array([True, False, False])))
    assert found == Calibration((-2.0, -3.0, 0.0), (pytest.approx(2 / 3, abs=1e-3), 1.0, 0.0))


def test_one_that_was_sure_and_wrong_does_not_make_all_unsure() -> None:
    true, told = np.zeros((101, 3), np.float32), np.zeros((101, 6), np.float32)
    told[:100, :3] = np.where(np.arange(100) % 2, 1.0, -1.0)[:, None]
    told[100] = (50, 50, 50, -9, -9, -9)
    found = calibrated(fit.Scores(told, true, np.zeros(101, np.bool_)))
    assert all(1.4 < spread < 1.6 for spread in found.spread)


@pytest.mark.skipif(not has_shared_audio(), reason="real recordings are not beside the checkout")
def test_a_pool_follows_from_its_seed(tmp_path: Path) -> None:
    one, two = (made(tmp_path / name, Size(3, 3, 3), seed=4, processes=k) for name, k in (("a", 1), ("b", 2)))
    for name in ("speech", "facts", "noise"):
        assert np.array_equal(getattr(one, name), getattr(two, name), equal_nan=name == "facts")
    assert one.speech.shape == (3, LENGTH)
    assert np.abs(one.noise).max() > 20_000
    again = made(tmp_path / "a", Size(3, 3, 3), seed=5, processes=1)
    assert np.array_equal(again.noise, one.noise), "a pool that lies there is taken as it is"


@pytest.mark.long
@pytest.mark.skipif(not has_shared_audio(), reason="real recordings are not beside the checkout")
def test_one_command_makes_weights_and_their_sheet(tmp_path: Path) -> None:
    from training.__main__ import made as recipe

    recipe(tmp_path / "pool", tmp_path / "out", seed=3, is_small=True)
    facts = json.loads((tmp_path / "out" / "made.json").read_text())
    assert sha256_of(tmp_path / "out" / "acoustics.onnx") == facts["sha256"]
    assert facts["fit"]["seed"] == 3
    assert {row["condition"] for row in facts["rows"]} == {"dry", "measured", "simulated"}
    text = (tmp_path / "out" / "acoustics.md").read_text(encoding="utf-8")
    assert facts["sha256"] in text
    assert "which does not ship" in sheet(facts, facts)


def test_the_sheet_is_of_the_file_that_ships() -> None:
    text = SHEET.read_text(encoding="utf-8")
    assert NETWORK.sha256 in text
    assert network_path().stat().st_size <= export.MOST_BYTES
    assert f"{network_path().stat().st_size:,} bytes" in text
    for licence in ("CC BY 4.0", "Apache License 2.0", "LibriSpeech", "VCTK", "AMI"):
        assert licence in text
    assert len(files_of(text)) > 100


@pytest.mark.skipif(not has_shared_audio(), reason="real recordings are not beside the checkout")
def test_nothing_that_was_heard_in_training_reports() -> None:
    heard = files_of(SHEET.read_text(encoding="utf-8"))
    assert heard == {item.path: item.sha256 for item in training_items()}
    reports = {item.sha256 for item in split.items() if item.part == "report"}
    assert set(heard.values()) & reports == set()
