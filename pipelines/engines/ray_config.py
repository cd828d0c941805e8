"""The settings of the engine `ray`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from schemas.model import Frozen


class RayConfig(Frozen):
    """A small pool of actors, one unit in flight each."""

    address: str | None = Field(
        default=None, description="the cluster, as `ray.init` takes it; null starts a Ray of its own on this machine"
    )
    min_workers: int = Field(default=1, ge=1, description="actors that must be ready before the first unit goes out")
    max_workers: int | None = Field(
        default=None, ge=1, description="actors at most; null: as many as the cluster's nodes hold at the time"
    )
    cpus_per_worker: float = Field(default=1.0, gt=0, description="CPUs that an actor reserves; it uses one core")
    gpus_per_worker: float = Field(default=0.0, ge=0, description="GPUs that an actor reserves, or a share of one")
    memory_per_worker_bytes: int | None = Field(
        default=None, ge=1 << 28, description="memory that an actor reserves; null: limits.memory_bytes and 256 MiB"
    )
    ready_s: float = Field(
        default=600.0, gt=0, description="seconds that a cluster has to bring up `min_workers` before the run stops"
    )
    packages: Literal["send", "image"] = Field(
        default="send", description="a named cluster gets provoice's own packages from here, or has them in its image"
    )
    py_modules: tuple[str, ...] = Field(
        default=(), description="folders, .py files or wheels of one's own that a named cluster gets: stages, mostly"
    )
    image_uri: str | None = Field(
        default=None, description="container image that Ray starts the actors in (with podman); it has provoice in it"
    )
    runtime_env: Mapping[str, Any] = Field(
        default={}, description="more of Ray's runtime environment for a named cluster: `pip`, `env_vars`, ..."
    )
    logs: bool = Field(default=False, description="show on the terminal what Ray and the actors log")

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if self.max_workers is not None and self.max_workers < self.min_workers:
            raise ValueError(f"max_workers {self.max_workers} is less than min_workers {self.min_workers}")
        if self.image_uri is not None and self.py_modules:
            raise ValueError("image_uri and py_modules exclude each other: Ray sends no modules into an image")
        return self
