"""The configuration of a run: the stages' own configs assembled, split into recipe and settings.

The *recipe* is what changes the bytes of an utterance or its row; its digest names it. *Settings* say where, how fast
and how carefully it runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from pipelines.engines.beam_config import BeamConfig
from pipelines.engines.ray_config import RayConfig
from pipelines.forecast.settings import ClusterConfig
from pipelines.plan import PlanConfig
from pipelines.sources import SourcesConfig
from schemas.errors import ConfigError
from schemas.model import Frozen, nearest, parse
from transforms.accent import AccentConfig
from transforms.colour import ColourConfig
from transforms.cut import CutConfig
from transforms.decode import DecodeConfig
from transforms.diarize import DiarizeConfig
from transforms.encode import OutputConfig
from transforms.levels import LevelsConfig
from transforms.loudness import LoudnessConfig
from transforms.pitch import PitchConfig
from transforms.restore import RestoreConfig
from transforms.reverberation import ReverberationConfig
from transforms.snr import SnrConfig
from transforms.surroundings import SurroundingsConfig
from transforms.vad import VadConfig


class ConsentConfig(Frozen):
    """What is asked before a recording is prepared."""

    require_grants: bool = Field(
        default=True, description="hold what no grant permits; false skips grants, never withdrawals (explore)"
    )
    min_extra_voice_s: float = Field(
        default=1.8,
        gt=0,
        description="a voice beyond the catalogue's of at least this many seconds holds the recording; 2 s of somebody "
        "are measured as 1.8 to 2.2",
    )


class Limits(Frozen):
    """What one source may cost before it is put aside, and when the whole run stops."""

    memory_bytes: int = Field(default=3 << 29, ge=1 << 28, description="memory of one worker, bytes (1.5 GiB)")
    seconds_per_source: float = Field(default=120.0, gt=0, description="seconds that any source may take")
    seconds_per_audio_s: float = Field(
        default=0.5, gt=0, description="and this many more per estimated second of its audio"
    )
    tries: int = Field(default=2, ge=1, le=10, description="how often a source may fail alone before it is rejected")
    unit_tries: int = Field(
        default=3, ge=1, le=10, description="how often a unit is tried where the store fails, before the run stops"
    )
    breaker_share: float = Field(
        default=0.02,
        gt=0,
        le=1,
        description="share of sources that crash or fail at which the run stops: ours, not theirs",
    )
    breaker_min: int = Field(default=5, ge=1, description="and never before this many of them")
    batch_audio_s: float = Field(default=120.0, gt=0, description="seconds of audio that are measured together")


class Config(Frozen):
    """A whole configuration file."""

    decode: DecodeConfig = Field(default=DecodeConfig(), description="reading audio files")
    vad: VadConfig = Field(default=VadConfig(), description="where there is speech")
    diarize: DiarizeConfig = Field(default=DiarizeConfig(), description="who speaks when")
    cut: CutConfig = Field(default=CutConfig(), description="cutting turns into utterances")
    snr: SnrConfig | None = Field(default=SnrConfig(), description="speech to noise; null leaves it out")
    reverberation: ReverberationConfig | None = Field(
        default=ReverberationConfig(), description="C50 and RT60; null leaves them out"
    )
    loudness: LoudnessConfig | None = Field(default=LoudnessConfig(), description="loudness; null leaves it out")
    pitch: PitchConfig | None = Field(default=PitchConfig(), description="pitch; null leaves it out")
    colour: ColourConfig | None = Field(
        default=ColourConfig(), description="spectral tilt, distance to average speech; null leaves them out"
    )
    surroundings: SurroundingsConfig | None = Field(
        default=SurroundingsConfig(), description="voices behind the speaker; null leaves them out"
    )
    levels: LevelsConfig = Field(default=LevelsConfig(), description="levels and ratios per utterance")
    accent: AccentConfig | None = Field(default=AccentConfig(), description="accent labels; null leaves them out")
    stages: tuple[str, ...] = Field(default=(), description="stages of one's own, each `module:Class`, in order")
    restore: RestoreConfig | None = Field(default=None, description="repaired utterances; null makes none")
    output: OutputConfig = Field(default=OutputConfig(), description="how utterances are stored")
    consent: ConsentConfig = Field(default=ConsentConfig(), description="what is asked before preparing")

    sources: SourcesConfig = Field(default=SourcesConfig(), description="which files are sources")
    plan: PlanConfig = Field(default=PlanConfig(), description="how sources are grouped into units")
    limits: Limits = Field(default=Limits(), description="what one source may cost")
    engine: Literal["local", "ray", "beam"] = Field(default="local", description="what the units run on")
    workers: int | None = Field(default=None, ge=1, description="worker processes on each machine; null: one per core")
    decoders: int = Field(
        default=0,
        ge=0,
        le=256,
        description="processes beside each worker that decode ahead of it, for workers with a GPU; each may use "
        "limits.memory_bytes",
    )
    ray: RayConfig = Field(default=RayConfig(), description="the engine `ray`")
    beam: BeamConfig = Field(default=BeamConfig(), description="the engine `beam`")
    clusters: dict[str, ClusterConfig] = Field(
        default_factory=dict, description="clusters that `provoice plan --cluster` knows, by name (docs/planning.md)"
    )
    max_rejected_ratio: float = Field(
        default=1.0, ge=0, le=1, description="exit code 3 when a larger share of the sources is rejected"
    )

    def recipe_values(self) -> dict[str, Any]:
        """The part of the recipe that a configuration file can change, as plain values."""
        return self.model_dump(mode="json", include=set(RECIPE_KEYS))

    @property
    def is_explore(self) -> bool:
        return not self.consent.require_grants


RECIPE_KEYS = (
    "decode",
    "vad",
    "diarize",
    "cut",
    "snr",
    "reverberation",
    "loudness",
    "pitch",
    "colour",
    "surroundings",
    "levels",
    "accent",
    "stages",
    "restore",
    "output",
    "consent",
)
SETTING_KEYS = (
    "sources", "plan", "limits", "engine", "workers", "decoders", "ray", "beam", "clusters", "max_rejected_ratio",
)  # fmt: skip
"""`plan` decides which utterances share a tar, never an utterance's bytes; what is planned stays as planned."""


def recipe_difference(one: dict[str, Any], other: dict[str, Any], prefix: str = "") -> list[str]:
    """Dotted keys in which two recipes differ."""
    keys: list[str] = []
    for name in sorted({*one, *other}):
        left, right = one.get(name), other.get(name)
        if isinstance(left, dict) and isinstance(right, dict):
            keys += recipe_difference(left, right, f"{prefix}{name}.")
        elif left != right:
            keys.append(prefix + name)
    return keys


def find_config(name: str) -> Path:
    """The file called `name`: where the user stands, else among those that come with provoice."""
    for candidate in (Path(name), Path(__file__).resolve().parents[1] / name):
        if candidate.is_file():
            return candidate
    shipped = sorted(f"configs/{p.name}" for p in (Path(__file__).resolve().parents[1] / "configs").glob("*.yaml"))
    raise ConfigError(f"no configuration file {name}{nearest(name, shipped)}; shipped are {', '.join(shipped)}")


def load_config(name: str, overrides: Sequence[str] = ()) -> Config:
    """The configuration in `name`, with `a.b=value` overrides; the values are YAML."""
    import yaml

    path = find_config(name)
    try:
        values = _keys_once(path.read_text(encoding="utf-8")) or {}
    except OSError as error:
        raise ConfigError(f"{name} cannot be read: {error.strerror or error}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        said = " ".join(str(error).split()).replace('"<unicode string>", ', "")
        raise ConfigError(f"{name} is not YAML: {said}") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{name}: expected keys and values at the top, got {type(values).__name__}")
    for override in overrides:
        _override(values, override)
    return parse(Config, values, name if not overrides else f"{name} with --set")


def _keys_once(text: str) -> Any:
    """`text` as YAML, whose keys stand once each: PyYAML takes the last of two and drops the first."""
    import yaml

    class Once(yaml.SafeLoader):
        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
            seen: set[str] = set()
            for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"key `{key.value}` stands there twice", key.start_mark
                    )
                seen.add(key.value)
            return super().construct_mapping(node, deep)

    return yaml.load(text, Once)


def _override(values: dict[str, Any], override: str) -> None:
    import yaml

    key, equals, text = override.partition("=")
    if not equals or not key:
        raise ConfigError(f"--set {override}: expected key=value, as in --set cut.max_s=20")
    *parents, last = key.split(".")
    place = values
    for parent in parents:
        inner = place.setdefault(parent, {})
        if not isinstance(inner, dict):
            raise ConfigError(f"--set {override}: `{parent}` has no keys below it")
        place = inner
    try:
        place[last] = yaml.safe_load(text)
    except yaml.YAMLError:
        raise ConfigError(f"--set {override}: `{text}` is not a YAML value") from None
