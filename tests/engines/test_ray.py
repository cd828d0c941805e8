"""The engine `ray` on a cluster: the same lake as here, errors of ours as they are, and what it is asked for."""

from __future__ import annotations

import importlib
import json
import re
import shlex
import threading
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import ray
import yaml

from pipelines.config import load_config
from pipelines.engines import ray_pool
from pipelines.engines.contract import Settings
from pipelines.engines.ray import run as ray_run
from pipelines.engines.ray_cluster import PACKAGES, runtime_env
from pipelines.engines.ray_config import RayConfig
from pipelines.engines.ray_pool import TRIES, resources_of, room_for
from pipelines.run import execute, start
from provoice.cli.run import command
from schemas.errors import ConfigError, ConsentError, LakeError, RunStopped
from schemas.model import parse
from tests.engines.rays import cluster, on_cluster
from tests.engines.works import Acts, tasks
from tests.runs import QUICK, digests, request_for, rows, run
from tests.speech import folder_of_clips

pytestmark = [
    # Ray leaves sockets and log files to the collector, and warns of what later versions of itself will do.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning:ray.*"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray.*"),
]
CLIPS = 8
SETTINGS = (*QUICK, "plan.unit_max_sources=1")


@pytest.fixture(scope="module")
def a_cluster():
    with cluster(cpus=2, gpus=2) as made:
        yield made.address
        ray.shutdown()


@pytest.fixture
def there(a_cluster):
    """The address of a cluster that this process is not connected to."""
    ray.shutdown()
    return a_cluster


@pytest.fixture
def pool(a_cluster):
    """Runs tasks of `Acts` on the cluster, to which the process is connected already: joining costs two seconds."""
    if not ray.is_initialized():
        ray.init(a_cluster, log_to_driver=False, logging_level="ERROR")

    def running(names: str, work: Acts, **config: object) -> list[str]:
        return list(ray_run(tasks(*names.split()), work, on(a_cluster, **{"max_workers": 1, **config})))

    yield running
    assert ray.is_initialized(), "a connection that was there stays"


@pytest.fixture
def acts(tmp_path):
    """Work whose tasks do as told."""
    return partial(Acts, str(tmp_path / "notes"))


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    return folder_of_clips(tmp_path_factory.mktemp("ray") / "raw", CLIPS, seconds=3)


def on(address: str, **config: object) -> Settings:
    return Settings(ray=RayConfig(address=address, memory_per_worker_bytes=1 << 28, **config))


def test_the_lake_is_the_one_that_this_machine_makes(raw, there, tmp_path):
    assert run(raw, tmp_path / "here", settings=SETTINGS).units == CLIPS
    seen = []
    request = request_for(raw, tmp_path / "there", settings=(*SETTINGS, *on_cluster(there)))
    account = execute(request, start(request), lambda progress: seen.append(progress.committed))
    assert seen == list(range(1, CLIPS + 1)), "each commit is told as it comes"
    assert account.counts.sources == CLIPS
    assert digests(tmp_path / "there") == digests(tmp_path / "here")


def test_a_source_that_kills_its_decoder_costs_itself_and_no_worker(raw, there, tmp_path):
    catalogue = tmp_path / "c.jsonl"
    catalogue.write_text(json.dumps({"path": "clip002.wav", "extra.poison": "abort"}))
    settings = (*QUICK, 'stages=["tests.poison:Poison"]', "limits.breaker_min=50", *on_cluster(there))
    counts = run(raw, tmp_path / "lake", settings=settings, catalogue=catalogue).counts
    assert (counts.emitted, counts.rejected, counts.is_conserved) == (CLIPS - 1, {"decoder_crashed": 1}, True)


@pytest.mark.parametrize("kind", [ConfigError, ConsentError, LakeError, RunStopped])
def test_an_error_of_ours_arrives_as_it_is(pool, acts, kind):
    work = acts({"b": kind("one line, and the next step")})
    with pytest.raises(kind, match=r"^one line, and the next step$") as caught:
        pool("a b c", work)
    assert type(caught.value) is kind
    assert work.attempts() == ["a", "b"], "the run ends at once"


def test_an_error_while_the_work_is_opened_arrives_as_it_is(pool, acts):
    with pytest.raises(ConsentError, match=r"^no ledger$"):
        pool("a", acts(at_opening=ConsentError("no ledger")))


@pytest.mark.parametrize(
    ("act", "said"), [(ValueError("two\nlines"), "ValueError: two lines"), ("unpicklable", "Unpicklable: this error")]
)
def test_a_fault_of_the_code_stops_the_run_in_one_line(pool, acts, act, said):
    with pytest.raises(RunStopped, match=f"^a Ray worker failed on unit b with {said}$"):
        pool("a b", acts({"b": act}))


def test_a_dead_worker_is_replaced_and_its_task_done(pool, acts, tmp_path):
    work = acts({"b": f"die once {tmp_path / 'died'}"})
    assert sorted(pool("a b c d", work, max_workers=2)) == ["a", "b", "c", "d"]
    assert sorted(work.attempts()) == ["a", "b", "b", "c", "d"]


def test_a_task_whose_workers_always_die_stops_the_run_by_name(pool, acts):
    work = acts({"b": "die"})
    with pytest.raises(RunStopped, match=f"^unit b: its worker died {TRIES} times"):
        pool("a b c", work)
    assert work.attempts().count("b") == TRIES


def test_workers_that_die_while_they_open_stop_the_run(pool, acts):
    with pytest.raises(RunStopped, match="workers die before they are ready"):
        pool("a", acts(at_opening="die"))


def test_workers_that_lack_our_packages_are_a_wrong_request(pool, acts, tmp_path, monkeypatch):
    (tmp_path / "only_here.py").write_text("class UnitActor:\n    def open(self, work): ...\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(ray_pool, "UnitActor", importlib.import_module("only_here").UnitActor)
    with pytest.raises(ConfigError, match=r"lack a package: .*No module named 'only_here'.*docs/ray.md") as caught:
        pool("a", acts())
    assert "\n" not in str(caught.value)


def test_what_does_not_fit_yet_is_not_waited_for(pool, acts):
    names = " ".join(f"t{n:02d}" for n in range(12))
    assert sorted(pool(names, acts(), max_workers=9)) == names.split()


def test_what_never_fits_ends_in_words(pool, acts):
    with pytest.raises(RunStopped, match=r"0 of 1 Ray workers were ready.* 7 GPU.* the nodes have .* 2 GPU"):
        pool("a", acts(), gpus_per_worker=7, ready_s=1)


def test_nothing_goes_out_before_the_first_workers_are_ready(pool, acts):
    work = acts()
    with pytest.raises(RunStopped, match=r"[012] of 3 Ray workers were ready"):
        pool("a b c", work, min_workers=3, max_workers=3, ready_s=4)
    assert work.attempts() == []


def test_gpus_reach_the_child_and_each_has_one_thread(raw, there, tmp_path):
    settings = (
        *SETTINGS, *on_cluster(there), "ray.gpus_per_worker=1", "ray.cpus_per_worker=2", "ray.max_workers=1",
        'stages=["tests.engines.stages:Whereabouts"]',
    )  # fmt: skip
    assert run(raw, tmp_path / "lake", settings=settings).units == CLIPS
    [(gpus, threads, has_ray)] = rows(tmp_path / "lake", "select distinct gpus, threads, has_ray from utterances")
    assert gpus in {"0", "1"}
    assert (threads, has_ray) == ("1", False)


STAGE = """
from dataclasses import replace

class Mine:
    name, version = "mine", 1
    columns = {"mine": "int"}
    def open(self): ...
    def __call__(self, batch):
        return [replace(u, columns={**u.columns, "mine": 7}) for u in batch]
"""


def test_a_stage_of_the_users_own_is_sent_along(raw, there, tmp_path, monkeypatch):
    (tmp_path / "far").mkdir()
    module = tmp_path / "far" / "sent_along.py"
    module.write_text(STAGE)
    monkeypatch.syspath_prepend(str(module.parent))
    settings = (*SETTINGS, *on_cluster(there), 'stages=["sent_along:Mine"]')
    with pytest.raises(ConfigError, match="stages: cannot make `sent_along:Mine`"):
        run(raw, tmp_path / "lake", settings=settings)
    assert run(raw, tmp_path / "lake", settings=(*settings, f'ray.py_modules=["{module}"]')).units == CLIPS
    assert rows(tmp_path / "lake", "select distinct mine from utterances") == [(7,)]


@pytest.mark.usefixtures("there")
@pytest.mark.parametrize("address", ["127.0.0.1:9", "ray://127.0.0.1:9", "nowhere.invalid:6379"])
def test_a_wrong_address_is_a_wrong_request(address, acts):
    with pytest.raises(ConfigError, match=f"cannot work on the cluster `ray.address` {address}: ") as caught:
        list(ray_run(tasks("a"), acts(), on(address)))
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("there")
def test_a_port_that_is_not_rays_is_a_wrong_request(acts):
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with pytest.raises(ConfigError, match="what answers there is not Ray; its port is 6379"):
            list(ray_run(tasks("a"), acts(), on(f"127.0.0.1:{server.server_port}")))
        server.shutdown()


def test_a_folder_that_would_hide_ours_is_named(there, acts, tmp_path, monkeypatch):
    (tmp_path / "lake").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=f"{tmp_path / 'lake'} would hide provoice's own package `lake`"):
        list(ray_run(tasks("a"), acts(), on(there)))


def test_what_a_cluster_is_sent(tmp_path):
    (tmp_path / "mine.py").touch()
    config = RayConfig(py_modules=(str(tmp_path / "mine.py"),), runtime_env={"pip": ["x"], "excludes": ["*.bin"]})
    sent = runtime_env(config)
    assert [module.rpartition("/")[2] for module in sent["py_modules"]] == [*PACKAGES, "mine.py"]
    assert (sent["pip"], sent["excludes"]) == (["x"], ["*.bin", "__pycache__/"])
    assert runtime_env(RayConfig(packages="image")) == {}
    assert runtime_env(RayConfig(image_uri="registry/provoice:1")) == {"image_uri": "registry/provoice:1"}
    with pytest.raises(ConfigError, match="there is no nowhere/at/all"):
        runtime_env(RayConfig(py_modules=("nowhere/at/all",)))


@pytest.mark.parametrize(
    "values", [{"min_workers": 3, "max_workers": 2}, {"image_uri": "a", "py_modules": ["b"]}, {"ready_s": 0}]
)
def test_settings_that_contradict_each_other(values):
    with pytest.raises(ConfigError):
        parse(RayConfig, values, "ray")


def test_a_worker_reserves_what_it_may_take():
    there, here = Settings(ray=RayConfig(address="a:1"), worker_memory_bytes=1 << 30), Settings(worker_memory_bytes=9)
    assert resources_of(there) == {"CPU": 1.0, "memory": (1 << 30) + (256 << 20)}
    assert resources_of(here) == {"CPU": 1.0}
    asked = {"CPU": 1.0, "GPU": 0.5}
    assert room_for(asked, [{"CPU": 8, "GPU": 1}, {"CPU": 1, "GPU": 4}, {"CPU": 64}]) == 3


# The fields of KubeRay's ray.io/v1 types (ray-operator/apis/ray/v1/rayjob_types.go, raycluster_types.go).
JOB_FIELDS = {
    "activeDeadlineSeconds", "backoffLimit", "clusterSelector", "entrypoint", "metadata", "rayClusterSpec",
    "runtimeEnvYAML", "shutdownAfterJobFinishes", "submissionMode", "submitterPodTemplate", "suspend",
    "ttlSecondsAfterFinished",
}  # fmt: skip
CLUSTER_FIELDS = {"autoscalerOptions", "enableInTreeAutoscaling", "headGroupSpec", "rayVersion", "workerGroupSpecs"}
AUTOSCALER_FIELDS = {"idleTimeoutSeconds", "upscalingMode", "resources", "image", "env"}
HEAD_FIELDS = {"rayStartParams", "serviceType", "template"}
WORKER_FIELDS = {"groupName", "maxReplicas", "minReplicas", "numOfHosts", "rayStartParams", "replicas", "template"}


def test_the_manifest_on_the_page_is_a_ray_job():
    page = Path("docs/ray.md").read_text()
    job = yaml.safe_load(re.search(r"```yaml\n(apiVersion.*?)```", page, re.DOTALL)[1])
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    spec = job["spec"]["rayClusterSpec"]
    workers = spec["workerGroupSpecs"]
    assert set(job["spec"]) <= JOB_FIELDS
    assert set(spec) <= CLUSTER_FIELDS
    assert set(spec["autoscalerOptions"]) <= AUTOSCALER_FIELDS
    assert set(spec["headGroupSpec"]) <= HEAD_FIELDS
    assert all(set(group) <= WORKER_FIELDS and group["minReplicas"] <= group["maxReplicas"] for group in workers)
    pods = [group["template"]["spec"] for group in (spec["headGroupSpec"], *workers)]
    assert len({pod["containers"][0]["image"] for pod in pods}) == 1, "one Ray, one Python, one provoice"
    assert all(isinstance(value, str) for value in spec["headGroupSpec"]["rayStartParams"].values())
    assert f"FROM rayproject/ray:{spec['rayVersion']}-" in page, "the image is made from this version"
    [words] = [shlex.split(job["spec"]["entrypoint"])]
    made = command.make_context("provoice run", words[2:]).params
    assert words[:2] == ["provoice", "run"]
    settings = load_config("configs/default.yaml", [*made["overrides"], f"engine={made['engine']}"]).ray
    assert (settings.packages, settings.max_workers) == ("image", 8 * workers[0]["maxReplicas"])
