"""The settings of the engine `ray`."""

from __future__ import annotations

from pydantic import Field

from schemas.model import Frozen


class RayConfig(Frozen):
    """A small pool of actors, one unit in flight each."""

    address: str | None = Field(
        default=None, description="the cluster, as `ray.init` takes it; null starts a Ray of its own on this machine"
    )
    min_workers: int = Field(default=1, ge=1, description="actors that must be ready before the first unit goes out")
    max_workers: int | None = Field(
        default=None, ge=1, description="actors at most; null: as many as the cluster's CPUs allow"
    )
    cpus_per_worker: float = Field(default=1.0, gt=0, description="CPUs that an actor reserves; it uses one core")
    gpus_per_worker: float = Field(default=0.0, ge=0, description="GPUs that an actor reserves, or a share of one")
    memory_per_worker_bytes: int | None = Field(
        default=None, ge=1 << 28, description="memory that an actor reserves; null: limits.memory_bytes and 256 MiB"
    )
