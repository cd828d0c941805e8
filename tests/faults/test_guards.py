"""Every guard of the protocol is needed: without any one of them a named promise is broken, and with all it is kept."""

from __future__ import annotations

import pytest

from schemas.errors import ProvoiceError
from tests.faults.guards import GUARDS

EACH = pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard.name)


@pytest.mark.parametrize("scenario", sorted({guard.scenario for guard in GUARDS}, key=lambda one: one.__name__))
def test_the_promise_is_kept(scenario, tmp_path):
    scenario(tmp_path)


@EACH
def test_without_the_guard_the_promise_is_broken(guard, tmp_path, monkeypatch):
    guard.remove(monkeypatch)
    with pytest.raises((AssertionError, ProvoiceError)):
        guard.scenario(tmp_path)
