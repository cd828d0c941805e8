"""The settings of the engine `beam`; what the runner itself takes stands after `--` on the command line."""

from __future__ import annotations

from pydantic import Field

from schemas.model import Frozen


class BeamConfig(Frozen):
    """A transform that any Beam runner can run."""

    processes_per_machine: int | None = Field(
        default=None,
        ge=1,
        description="engine processes on one machine, which share its cores; null: as the runner's options say",
    )
    hangs_after_s: float = Field(
        default=3600.0, gt=0, description="seconds without a new commit after which a runner counts as hanging"
    )
    accelerator: str | None = Field(
        default=None,
        description="resource hint for runners that rent machines, say `type:nvidia-tesla-t4;count:1`",
    )
    min_ram: str | None = Field(
        default=None, description="resource hint for runners that rent machines: memory of a worker, say `16GB`"
    )
