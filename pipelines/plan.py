"""The plan: which sources form which unit, written before anything is decoded, in bounded memory.

It depends on what is planned and on `PlanConfig`, never on the order of a listing, the engine or the number of workers.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby, islice
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from pydantic import Field, field_validator

from pipelines.ahead import ahead
from pipelines.catalogue import Catalogue
from pipelines.forecast.settings import SampleConfig
from pipelines.inventory import ListedColumns, columns_of
from pipelines.plan_done import Done
from pipelines.plan_intake import Intake, Totals
from pipelines.plan_stage import Stage
from pipelines.plan_units import UnitLimits, write_units
from pipelines.sources import Ignored, SourceRoot, SourcesConfig, list_columns
from schemas.catalogue import CatalogueRow
from schemas.errors import ConfigError
from schemas.model import Frozen
from schemas.source import Source

if TYPE_CHECKING:
    import pyarrow as pa

_LISTING_BATCH = 20_000


class PlanConfig(Frozen):
    """How sources are grouped into units. It decides which utterances share a tar, and no utterance's bytes."""

    unit_audio_s: float = Field(
        default=120_000.0,
        gt=0,
        description="estimated seconds of audio in a unit: 33 hours are 10 minutes of a worker at 200 times real time, "
        "5 at 400; set it to 600 times the speed of slower stages",
    )
    unit_max_sources: int = Field(default=4096, ge=1, description="sources in a unit, at most")
    unit_max_bytes: int = Field(default=16 << 30, ge=1, description="bytes of sources in a unit, at most")
    units_at_least: int = Field(
        default=256,
        ge=1,
        description="a small plan is cut into about so many units, so that every worker has several",
    )
    unit_min_audio_s: float = Field(
        default=120.0, gt=0, description="but never into units of fewer estimated seconds of audio than this"
    )
    deadline_base_s: float = Field(
        default=3600.0, gt=0, description="seconds a worker may take for any unit before it may no longer commit it"
    )
    deadline_s_per_audio_s: float = Field(
        default=0.15,
        gt=0,
        description="and so many more per estimated second of its audio: 30 times what 200 times real time needs, for "
        "an estimate can be 10 times too short",
    )
    subject_buckets: int = Field(
        default=4096,
        ge=1,
        description="groups of people that sources are sorted by, so that one person lies in few shards",
    )
    bytes_per_s: dict[str, float] = Field(
        default_factory=dict,
        description="bytes per second of audio by file extension, where yours differ from the usual",
    )
    sort_memory_bytes: int = Field(
        default=256 << 20, ge=16 << 20, description="memory for sorting, bytes; what does not fit goes through the disk"
    )
    sample: SampleConfig = Field(default=SampleConfig(), description="what `provoice plan` measures")

    @field_validator("bytes_per_s")
    @classmethod
    def _are_rates(cls, rates: dict[str, float]) -> dict[str, float]:
        for extension, rate in rates.items():
            if rate <= 0 or extension != extension.lower().lstrip("."):
                raise ValueError(
                    f"needs extensions in lower case without a dot, and rates above 0, not {extension}: {rate}"
                )
        return rates


@dataclass(frozen=True, slots=True)
class PlannedSource:
    """A source of a unit, with its catalogue row as it was when the plan was made."""

    source: Source
    catalogue: CatalogueRow | None
    catalogue_row_sha256: str | None
    estimated_s: float


@dataclass(frozen=True, slots=True)
class Unit:
    """A fixed list of sources that one worker turns into tars and their manifest parts."""

    index: int
    unit_id: str
    sources: tuple[PlannedSource, ...]
    estimated_s: float
    deadline_s: float
    erased: int = 0
    """Sources that it was planned with and that were erased before it was committed."""

    @classmethod
    def from_table(cls, rows: pa.Table) -> Unit:
        """The unit whose plan rows these are, all of them and in order."""
        values = rows.to_pylist()
        if len({row["unit_id"] for row in values}) != 1:
            raise ValueError(f"plan rows of one unit are needed, not of {len({row['unit_id'] for row in values})}")
        sources = tuple(planned_source(row) for row in values if row.get("erased") is None)
        total_s = round(sum(source.estimated_s for source in sources), 3)
        erased = sum(row.get("erased") or 0 for row in values)
        return cls(values[0]["unit_index"], values[0]["unit_id"], sources, total_s, values[0]["deadline_s"], erased)


def planned_source(row: Mapping[str, object]) -> PlannedSource:
    """One row of a plan as a value."""
    source = Source(
        str(row["source_root"]), str(row["source_path"]), str(row["source_version"]), int(str(row["source_size_bytes"]))
    )
    said, sha256 = row["catalogue_row"], row["catalogue_row_sha256"]
    catalogue = CatalogueRow.model_validate_json(str(said)) if said is not None else None
    return PlannedSource(source, catalogue, str(sha256) if sha256 is not None else None, float(str(row["estimated_s"])))


@dataclass(frozen=True, slots=True)
class PlanSummary:
    """What a plan holds, and what it left out."""

    units: int
    sources: int
    estimated_s: float
    size_bytes: int
    longest_unit_s: float
    longest_deadline_s: float
    listed: int
    done: int
    """Listed, and left out because earlier runs have dealt with them."""
    catalogue_changed: int
    """Planned again because their catalogue row is another now."""
    without_row: int
    """Planned sources of which the catalogue says nothing."""
    ignored: int = 0
    ignored_by_cause: dict[str, int] = field(default_factory=dict)
    ignored_examples: dict[str, list[str]] = field(default_factory=dict)
    unmatched_rows: int = 0
    """Catalogue rows that speak of no source that was listed."""
    unmatched_examples: tuple[str, ...] = ()


def write_plan(
    roots: Sequence[SourceRoot],
    catalogue: Catalogue | None,
    sources: SourcesConfig,
    config: PlanConfig,
    out_path: Path,
    *,
    done: pa.Table | Path | None = None,
    outside: str | Sequence[str] = (),
    on_listing: Callable[[int], None] | None = None,
    is_suppressed: Callable[[str, str], bool] | None = None,
) -> PlanSummary:
    """Lists `roots` and writes their plan to `out_path` (PLAN_SCHEMA, sorted by unit, row groups of whole units).

    `done` is a table, or a Parquet file of one, with `recording_id` and, where it matters, `catalogue_row_sha256`, one
    row per recording: these are left out unless their catalogue row is another now. What lies under `outside` (URIs of
    lake and ledger) is no source, nor what `is_suppressed` (of root name and path): these are counted and nowhere
    named. `on_listing` is called with the number listed so far. Raises ConfigError for a root
    that cannot be read or whose name stands twice, and for a source that is listed twice.
    """
    names = [root.name for root in roots]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ConfigError(f"two source roots are called `{twice}`; give one of them another name: --source NAME=URI")
    ignored = Ignored()
    skip = (outside,) if isinstance(outside, str) else outside
    several = len(roots) > 1
    listed = (
        (root.name, piece)
        for root in roots
        for piece in list_columns(root, sources, ignored, skip, is_one_of_several=several)
    )
    uris = {root.name: root.uri for root in roots}
    summary = _plan(listed, catalogue, config, out_path, done, uris, on_listing, is_suppressed)
    suppressed = summary.ignored
    counts = {**ignored.counts, **({"suppressed": suppressed} if suppressed else {})}
    return replace(
        summary,
        ignored=ignored.total + suppressed,
        ignored_by_cause=dict(sorted(counts.items())),
        ignored_examples=dict(sorted(ignored.examples.items())),
    )


def plan_sources(
    sources: Iterable[Source],
    catalogue: Catalogue | None,
    config: PlanConfig,
    out_path: Path,
    *,
    done: pa.Table | Path | None = None,
    root_uris: Mapping[str, str] = MappingProxyType({}),
    on_listing: Callable[[int], None] | None = None,
) -> PlanSummary:
    """As `write_plan`, for sources that are listed already; `root_uris` lets catalogue rows that name URIs count."""
    return _plan(_in_columns(sources), catalogue, config, out_path, done, root_uris, on_listing)


def _in_columns(sources: Iterable[Source]) -> Iterator[tuple[str, ListedColumns]]:
    rest = iter(sources)
    while batch := list(islice(rest, _LISTING_BATCH)):
        for root, group in groupby(batch, key=lambda source: source.root):
            of_root = list(group)
            columns = ([s.path for s in of_root], [s.version for s in of_root], [s.size_bytes for s in of_root])
            yield root, columns_of(*columns)


def _plan(
    listed: Iterable[tuple[str, ListedColumns]],
    catalogue: Catalogue | None,
    config: PlanConfig,
    out_path: Path,
    done: pa.Table | Path | None,
    root_uris: Mapping[str, str],
    on_listing: Callable[[int], None] | None,
    is_suppressed: Callable[[str, str], bool] | None = None,
) -> PlanSummary:
    """`ignored` of the summary: sources that are suppressed."""
    import pyarrow as pa

    with tempfile.TemporaryDirectory(dir=out_path.parent, prefix="planning-") as folder:
        stage = Stage(Path(folder), config.sort_memory_bytes)
        intake = Intake(
            stage, catalogue, Done(done), config.subject_buckets, config.bytes_per_s, root_uris, is_suppressed
        )
        for root, piece in ahead(listed):
            intake.add(root, piece)
            if on_listing is not None:
                on_listing(intake.listed)
        del intake.done
        pa.default_memory_pool().release_unused()
        totals = intake.totals
        written = write_units(ahead(intake.in_order()), _limits(config, totals), out_path)
    return PlanSummary(
        units=written.units,
        sources=written.sources,
        estimated_s=totals.estimated_ms / 1000,
        size_bytes=totals.size_bytes,
        longest_unit_s=written.longest_unit_s,
        longest_deadline_s=written.longest_deadline_s,
        listed=intake.listed,
        done=intake.listed - written.sources - intake.suppressed,
        catalogue_changed=totals.catalogue_changed,
        without_row=written.without_row,
        ignored=intake.suppressed,
        unmatched_rows=catalogue.unmatched if catalogue else 0,
        unmatched_examples=catalogue.unmatched_examples() if catalogue else (),
    )


def _limits(config: PlanConfig, totals: Totals) -> UnitLimits:
    share_s = totals.estimated_ms / 1000 / config.units_at_least
    audio_s = min(config.unit_audio_s, max(config.unit_min_audio_s, share_s))
    return UnitLimits(
        audio_ms=round(audio_s * 1000),
        sources=config.unit_max_sources,
        size_bytes=config.unit_max_bytes,
        deadline_base_s=config.deadline_base_s,
        deadline_s_per_audio_s=config.deadline_s_per_audio_s,
    )
