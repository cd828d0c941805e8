"""The settings of a forecast: how much is measured, and on which machines the run is going to be."""

from __future__ import annotations

from pydantic import Field

from schemas.model import Frozen


class SampleConfig(Frozen):
    """How many of the planned sources `provoice plan` prepares to see what they cost."""

    share: float = Field(default=0.05, gt=0, le=0.05, description="of the planned bytes, at most")
    min_sources: int = Field(
        default=16, ge=2, description="but so many sources where there are, for a few say nothing about the others"
    )
    max_audio_s: float = Field(
        default=7200.0,
        gt=0,
        description="estimated seconds of audio at which enough is measured, however much there is",
    )


class ClusterConfig(Frozen):
    """Machines that a run can be planned for, all alike; one worker to a core, or to a GPU where there are any."""

    machines: int = Field(default=1, ge=1, description="how many")
    cores: int = Field(ge=1, description="cores of each")
    memory_gib: float = Field(default=0.0, ge=0, description="memory of each, GiB; it is billed where it has a price")
    gpus: int = Field(default=0, ge=0, description="GPUs of each; then one worker to a GPU, not to a core")
    speed: float = Field(
        default=1.0, gt=0, description="speed of a core, as a multiple of one of the machine that plans"
    )
    spot: bool = Field(default=False, description="machines that may be taken away at any time")
    preemptions_per_hour: float = Field(
        default=0.05, ge=0, description="how often a spot machine is taken away and replaced, per machine and hour"
    )
    start_s: float = Field(default=60.0, ge=0, description="seconds from asking for a machine to its first unit")

    @property
    def workers(self) -> int:
        return self.machines * (self.gpus or self.cores)
