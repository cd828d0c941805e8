"""The same sources on every engine, in any order, with any number of workers: every tar and part the same to the byte.

Flink has a page of its own, `test_flink.py`: it needs Java. `pytest -s` shows the digests.
"""

from __future__ import annotations

import hashlib
import random
from dataclasses import replace

import pytest

from pipelines import run as running
from pipelines.run import execute, start
from tests.runs import digests, request_for
from tests.servers.go_build import go_binary
from tests.shared_audio import has_shared_audio, shared_audio
from tests.speech import folder_of_clips

SETTINGS = ("plan.unit_max_sources=2", "plan.units_at_least=1000")
PRISM = "github.com/apache/beam/sdks/v2/go/cmd/prism@v2.77.0"
IN_TWO = ("--direct_num_workers=2", "--direct_running_mode=multi_processing")
ENGINES = {
    "local, 1 process": (("workers=1",), ()),
    "local, 2 processes": (("workers=2",), ()),
    "ray": (("engine=ray", "workers=2"), ()),
    "beam direct": (("engine=beam", "workers=2"), ("--runner=DirectRunner",)),
    "beam direct, 2 processes": (("engine=beam",), ("--runner=DirectRunner", *IN_TWO)),
    "beam prism": (("engine=beam", "workers=2"), ("--runner=PrismRunner", "--environment_type=LOOPBACK")),
}
# The engines' own: sockets and loops that they leave to the end of the interpreter.
pytestmark = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::DeprecationWarning", "ignore::FutureWarning"
)


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    """Real recordings of several kinds where they are beside the checkout, else stretches of a real conversation."""
    folder = folder_of_clips(tmp_path_factory.mktemp("golden") / "raw", 8, seconds=5)
    if has_shared_audio():
        spoken = sorted(shared_audio("speakers").rglob("*.flac"))
        others = sorted(shared_audio("containers").iterdir())
        for n, path in enumerate([*spoken[:: max(1, len(spoken) // 8)][:8], *others]):
            (folder / f"{n:02d}-{path.name}").symlink_to(path)
    return folder


@pytest.fixture(scope="module")
def golden(raw, tmp_path_factory):
    """What one process made of it, in the order of the plan."""
    return made(raw, tmp_path_factory.mktemp("one") / "lake", (("workers=1",), ()))


def made(raw, lake, how) -> dict[str, str]:
    settings, options = how
    request = replace(request_for(raw, lake, settings=(*SETTINGS, *settings)), options=options)
    started = start(request)
    assert started is not None
    account = execute(request, started, lambda _: None)
    assert account.counts.is_conserved
    assert account.committed == account.units > 3
    return digests(lake)


@pytest.mark.parametrize("name", list(ENGINES))
def test_every_engine_makes_the_same_bytes(raw, golden, tmp_path, monkeypatch, name):
    settings, options = ENGINES[name]
    if name == "beam prism":
        options = (*options, f"--prism_location={go_binary(PRISM, 'prism')}")
    plan = running.read_plan_units

    def shuffled(lake, run):
        """Units in another order, and of other lengths than they have: no engine may care."""
        chance = random.Random(name)
        return [replace(unit, estimated_s=chance.random()) for unit in chance.sample(plan(lake, run), run.units)]

    monkeypatch.setattr(running, "read_plan_units", shuffled)
    found = made(raw, tmp_path / "lake", (settings, options))
    whole = hashlib.sha256("".join(f"{path} {found[path]}\n" for path in sorted(found)).encode()).hexdigest()
    print(f"{name}: {len(found)} objects, {whole}")
    assert found == golden
