"""What things cost: a table that a person keeps, every price with its date and where it was read."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
from pydantic import Field, field_validator

from pipelines.forecast.settings import ClusterConfig
from pipelines.forecast.totals import interval
from schemas.errors import ConfigError
from schemas.forecast import Cost
from schemas.model import Frozen, nearest, parse

SHIPPED = Path(__file__).resolve().parents[2] / "configs" / "prices"
_GIB = 1 << 30


class Price(Frozen):
    """One price, when it was read, and where."""

    amount: float = Field(ge=0)
    read: date
    source: str

    @field_validator("source")
    @classmethod
    def _is_a_place(cls, source: str) -> str:
        if not source.startswith("https://"):
            raise ValueError("needs the https:// address where the price stands")
        return source


class PriceTable(Frozen):
    """`configs/prices/*.yaml`. A price that a cluster needs and that is not there is an error, never 0."""

    name: str
    is_example: bool
    currency: str
    core_hour: Price | None = None
    core_hour_spot: Price | None = None
    memory_gib_hour: Price | None = None
    memory_gib_hour_spot: Price | None = None
    gpu_hour: Price | None = None
    gpu_hour_spot: Price | None = None
    storage_gib_month: Price | None = None
    write_requests_1000: Price | None = None
    read_requests_1000: Price | None = None


def load_prices(name: str) -> PriceTable:
    """The table in a file, or one that comes with provoice. Raises ConfigError naming file and key."""
    import yaml

    path = next((p for p in (Path(name), SHIPPED.parents[1] / name) if p.is_file()), None)
    if path is None:
        shipped = sorted(f"configs/prices/{p.name}" for p in SHIPPED.glob("*.yaml"))
        raise ConfigError(f"no price table {name}{nearest(name, shipped)}; shipped are {', '.join(shipped)}")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{name} cannot be read as a price table: {' '.join(str(error).split())}") from None
    return parse(PriceTable, values, name)


def cost(
    table: PriceTable, cluster: ClusterConfig, duration: np.ndarray, storage: np.ndarray, reads: np.ndarray,
    writes: np.ndarray,
) -> Cost:  # fmt: skip
    """What all of it costs; the arrays are in draws (see `Totals`). Machines are billed from start to end, idle or not.

    Raises ConfigError where the table lacks a price that is needed.
    """
    asked = _Asked(table)
    compute = duration / 3600 * asked.machine_hour(cluster) * cluster.machines
    requests = reads / 1000 * asked("read_requests_1000") + writes / 1000 * asked("write_requests_1000")
    stored = storage / _GIB * asked("storage_gib_month")
    return Cost(
        prices=table.name,
        is_example=table.is_example,
        oldest=min(asked.dates).isoformat(),
        currency=table.currency,
        compute=interval(compute),
        requests=interval(requests),
        storage_month=interval(stored),
        total=interval(compute + requests + stored),
    )


class _Asked:
    """A table that remembers which of its prices were used."""

    def __init__(self, table: PriceTable) -> None:
        self._table = table
        self.dates: list[date] = []

    def __call__(self, name: str) -> float:
        price: Price | None = getattr(self._table, name)
        if price is None:
            raise ConfigError(f"the price table {self._table.name} has no `{name}`, which this plan needs; add it")
        self.dates.append(price.read)
        return price.amount

    def machine_hour(self, cluster: ClusterConfig) -> float:
        ending = "_spot" if cluster.spot else ""
        total = cluster.cores * self(f"core_hour{ending}")
        if cluster.memory_gib:
            total += cluster.memory_gib * self(f"memory_gib_hour{ending}")
        if cluster.gpus:
            total += cluster.gpus * self(f"gpu_hour{ending}")
        return total
