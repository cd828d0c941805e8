"""Where the real recordings lie, beside the checkout; tests that need them skip with a message elsewhere."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

_FOLDER = Path(os.environ.get("PROVOICE_AUDIO", Path(__file__).resolve().parents[2] / "shared" / "audio"))


def shared_audio(path: str = "") -> Path:
    """`path` within the folder of real recordings; skips the calling test where the folder is absent."""
    if not _FOLDER.is_dir():
        pytest.skip("real recordings are not beside the checkout (set PROVOICE_AUDIO to their folder)")
    return _FOLDER / path


def has_shared_audio() -> bool:
    return _FOLDER.is_dir()
