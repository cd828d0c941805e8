"""What stood after `--`, as Beam's options; whatever is wrong with it is one ConfigError, and nothing has started."""

# mypy: disallow-untyped-calls=False
from __future__ import annotations

import argparse
import contextlib
import difflib
import io
import os
import re
from collections.abc import Iterator, Sequence

from apache_beam.options.pipeline_options import (
    DebugOptions,
    DirectOptions,
    GoogleCloudOptions,
    PipelineOptions,
    PortableOptions,
    PrismRunnerOptions,
    StandardOptions,
)
from apache_beam.runners.runner import PipelineRunner, create_runner

from pipelines.engines.beam_config import BeamConfig
from pipelines.engines.contract import Settings
from schemas.errors import ConfigError

_JOB_SERVER_S = 20.0
_LONGEST_JOB_S = 365 * 86_400


def parse_options(settings: Settings) -> PipelineOptions:
    """The options with our job's name where they give none. Raises ConfigError for what Beam does not know."""
    if {"-h", "--help"} & set(settings.options):
        raise ConfigError("Beam's options are not shown here; docs/beam.md has those that each runner needs")
    with as_config_error():
        options = PipelineOptions(list(settings.options))
        asked = options.view_as(PortableOptions).job_endpoint
        extra = _job_server_options(asked) if asked and asked != "embed" else None
        unknown = _unknown(options, settings.options, extra)
        options.get_all_options()
    if unknown:
        raise ConfigError(unknown)
    cloud = options.view_as(GoogleCloudOptions)
    cloud.job_name = cloud.job_name or _job_name(settings.name)
    portable = options.view_as(PortableOptions)
    if portable.job_server_timeout == PipelineOptions([]).view_as(PortableOptions).job_server_timeout:
        # Beam 2.77 puts it on the stream of a job's states as well: on Prism, a job of more than 300 s would fail.
        portable.job_server_timeout = _LONGEST_JOB_S
    return options


def runner_of(options: PipelineOptions) -> tuple[str, PipelineRunner]:
    """The runner's name and the runner. DirectRunner is the one in this process: Beam's own choice by that name tries
    Prism first, and fetches it."""
    name = options.view_as(StandardOptions).runner or "DirectRunner"
    if name.lower() in ("directrunner", "direct", "fnapirunner"):
        return "DirectRunner", _direct(options)
    _check_prism(name, options)
    with as_config_error():
        runner = create_runner(name)
    return type(runner).__name__, runner


def engine_processes(name: str, options: PipelineOptions, config: BeamConfig) -> int | None:
    """How many processes of the engine share one machine; None: one per core."""
    if config.processes_per_machine is not None:
        return config.processes_per_machine
    if name == "DirectRunner":
        direct = options.view_as(DirectOptions)
        return (direct.direct_num_workers or None) if direct.direct_running_mode == "multi_processing" else 1
    if name == "DataflowRunner":
        return 1 if "no_use_multiple_sdk_containers" in (options.view_as(DebugOptions).experiments or []) else None
    portable = options.view_as(PortableOptions)
    if name == "PrismRunner" or portable.environment_type == "LOOPBACK":
        return 1
    return int(portable.sdk_worker_parallelism) or None


def has_job_server(options: PipelineOptions) -> bool:
    """Whether the job runs on a server that was there before, and would go on without us."""
    endpoint = options.view_as(PortableOptions).job_endpoint
    return bool(endpoint) and endpoint != "embed"


def resource_hints(config: BeamConfig) -> dict[str, str]:
    """The hints that are set, as Beam takes them."""
    from apache_beam.transforms.resources import parse_resource_hints

    hints = {"accelerator": config.accelerator, "min_ram": config.min_ram}
    found = {name: value for name, value in hints.items() if value is not None}
    with as_config_error("beam.accelerator, beam.min_ram"):
        parse_resource_hints(found)
    return found


def _direct(options: PipelineOptions) -> PipelineRunner:
    from apache_beam.portability.api import beam_provision_api_pb2
    from apache_beam.runners.portability.fn_api_runner import fn_runner
    from apache_beam.runners.portability.portable_runner import JobServiceHandle

    # As Beam's own DirectRunner does it: processes of their own read the options from here.
    encoded = JobServiceHandle.encode_pipeline_options(options.get_all_options())
    provision = beam_provision_api_pb2.ProvisionInfo(pipeline_options=encoded)
    return fn_runner.FnApiRunner(provision_info=fn_runner.ExtendedProvisionInfo(provision))


def _check_prism(name: str, options: PipelineOptions) -> None:
    location = options.view_as(PrismRunnerOptions).prism_location
    if name.lower() in ("prismrunner", "prism") and location and "://" not in location and not os.path.isfile(location):
        raise ConfigError(f"--prism_location={location}: there is no such file; `go install` of Prism: docs/beam.md")


def _unknown(options: PipelineOptions, flags: Sequence[str], extra: set[str] | None) -> str | None:
    """A complaint about the first flag that neither Beam nor the job server knows; Beam would only ignore it."""
    seen: list[argparse.ArgumentParser] = []
    options.get_all_options(add_extra_args_fn=seen.append)
    known = {name for action in seen[0]._actions for name in action.option_strings} | (extra or set())
    for flag in _flags(flags, seen[0], extra or set()):
        if flag not in known:
            close = difflib.get_close_matches(flag, sorted(known), 1)
            return f"`{flag}` is no option of Beam's" + (f"; did you mean {close[0]}?" if close else "")
    return None


def _flags(words: Sequence[str], parser: argparse.ArgumentParser, extra: set[str]) -> Iterator[str]:
    """The names of the flags among `words`; also a word that belongs to none of them, as it is."""
    _, left = parser.parse_known_args(list(words))
    is_value = False
    for word in left:
        name, equals, _ = word.partition("=")
        if word.startswith("-"):
            yield name
            is_value = not equals and name in extra
        elif is_value:
            is_value = False
        else:
            yield word


def _job_server_options(endpoint: str) -> set[str]:
    """What the job server at `endpoint` takes besides Beam's own options. Raises ConfigError where none answers."""
    import grpc  # type: ignore[import-untyped]
    from apache_beam.portability.api import beam_job_api_pb2, beam_job_api_pb2_grpc

    with grpc.insecure_channel(endpoint) as channel:
        try:
            grpc.channel_ready_future(channel).result(timeout=_JOB_SERVER_S)
            service = beam_job_api_pb2_grpc.JobServiceStub(channel)
            said = service.DescribePipelineOptions(
                beam_job_api_pb2.DescribePipelineOptionsRequest(), timeout=_JOB_SERVER_S
            )
        except grpc.FutureTimeoutError:
            raise ConfigError(f"--job_endpoint={endpoint}: no job server answers there") from None
        except grpc.RpcError as error:
            if error.code() == grpc.StatusCode.UNIMPLEMENTED:
                return set()
            raise ConfigError(f"--job_endpoint={endpoint}: {error.details()}") from None
    return {f"--{option.name}" for option in said.options}


def _job_name(name: str) -> str:
    """As Dataflow takes it: lower case letters, digits, `-`, a letter first."""
    return re.sub(r"[^a-z0-9-]+", "-", name.lower()).strip("-") or "provoice"


@contextlib.contextmanager
def as_config_error(what: str = "the options after `--`") -> Iterator[None]:
    """What Beam and argparse raise, print or exit with, as one line."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
            yield
    except SystemExit:
        lines = [line for line in said.getvalue().splitlines() if line.strip()]
        last = lines[-1].rpartition("error: ")[2] if lines else "they cannot be read"
        raise ConfigError(f"{what}: {last}") from None
    except (ValueError, ImportError, AttributeError, TypeError, RuntimeError, KeyError) as error:
        raise ConfigError(f"{what}: {one_line(error)}") from None


def one_line(error: object) -> str:
    return " ".join(str(error).split()) or type(error).__name__
