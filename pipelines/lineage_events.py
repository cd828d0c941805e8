"""OpenLineage events of what provoice does: which datasets went in, which came out, how much, and on which consent.

They hold counts, the ledger's position and the names of runs and releases; no source, key, condition or person. The
shapes follow OpenLineage 2-0-2 and the facets named in `_SCHEMAS`; a test holds each event against the classes that the
project generates from its schema. `schemas/provoice-run-facet.json` describes the facet that is ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, version
from typing import Any
from uuid import UUID

from schemas.instants import to_text

_SPEC = "https://openlineage.io/spec"
_SCHEMAS = {
    "jobType": f"{_SPEC}/facets/2-0-4/JobTypeJobFacet.json#/$defs/JobTypeJobFacet",
    "errorMessage": f"{_SPEC}/facets/1-0-1/ErrorMessageRunFacet.json#/$defs/ErrorMessageRunFacet",
    "parent": f"{_SPEC}/facets/1-2-0/ParentRunFacet.json#/$defs/ParentRunFacet",
    "version": f"{_SPEC}/facets/1-0-1/DatasetVersionDatasetFacet.json#/$defs/DatasetVersionDatasetFacet",
    "inputStatistics": (
        f"{_SPEC}/facets/1-0-0/InputStatisticsInputDatasetFacet.json#/$defs/InputStatisticsInputDatasetFacet"
    ),
    "outputStatistics": (
        f"{_SPEC}/facets/1-0-2/OutputStatisticsOutputDatasetFacet.json#/$defs/OutputStatisticsOutputDatasetFacet"
    ),
}  # fmt: skip


class Kind(StrEnum):
    """What happened to a run of a job."""

    START = "START"
    COMPLETE = "COMPLETE"
    FAIL = "FAIL"
    ABORT = "ABORT"


@dataclass(frozen=True, slots=True)
class Dataset:
    """Something that was read or written, and how much of it."""

    uri: str
    rows: int | None = None
    size_bytes: int | None = None
    files: int | None = None
    version: str | None = None

    @property
    def names(self) -> tuple[str, str]:
        """Namespace and name, as OpenLineage names them: `s3://bucket` and the rest, or `file` and a path."""
        scheme, found, rest = self.uri.partition("://")
        if not found or scheme == "file":
            return "file", "/" + (rest if found else self.uri).strip("/")
        bucket, _, path = rest.strip("/").partition("/")
        return f"{scheme}://{bucket}", path or "/"


@dataclass(frozen=True, slots=True)
class Done:
    """What is said of it: datasets, and the facet that is ours."""

    inputs: Sequence[Dataset] = ()
    outputs: Sequence[Dataset] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    """Of the facet `provoice`, by the names that its schema gives them."""


@dataclass(frozen=True, slots=True)
class Job:
    """One run of `provoice run`, `release` or `erase`, and what it is a part of."""

    name: str
    run: UUID
    namespace: str = "provoice"
    parent: tuple[str, str, str] | None = None
    """Namespace, job and run of whatever called us."""

    def event(self, kind: Kind, at: datetime, done: Done, error: str | None = None) -> dict[str, Any]:
        """The event as JSON has it. `error`: the class of what stopped it; its text may name people, and stays here."""
        run_facets: dict[str, Any] = {"provoice": _own(done.facts)}
        if self.parent is not None:
            namespace, job, run = self.parent
            run_facets["parent"] = _facet("parent", run={"runId": run}, job={"namespace": namespace, "name": job})
        if error is not None:
            run_facets["errorMessage"] = _facet("errorMessage", message=error, programmingLanguage="PYTHON")
        kinds = {"processingType": "BATCH", "integration": "PROVOICE", "jobType": self.name.upper()}
        return {
            "eventType": str(kind),
            "eventTime": to_text(at),
            "producer": producer(),
            "schemaURL": f"{_SPEC}/2-0-2/OpenLineage.json#/$defs/RunEvent",
            "run": {"runId": str(self.run), "facets": run_facets},
            "job": {
                "namespace": self.namespace,
                "name": f"provoice.{self.name}",
                "facets": {"jobType": _facet("jobType", **kinds)},
            },
            "inputs": [_dataset(one, "inputFacets", "inputStatistics") for one in done.inputs],
            "outputs": [_dataset(one, "outputFacets", "outputStatistics") for one in done.outputs],
        }


def producer() -> str:
    """This version of provoice, as a package URL."""
    try:
        return f"pkg:pypi/provoice@{version('provoice')}"
    except PackageNotFoundError:
        return "pkg:pypi/provoice"


def _own(facts: Mapping[str, Any]) -> dict[str, Any]:
    schema = f"{producer()}#schemas/provoice-run-facet.json"
    return {"_producer": producer(), "_schemaURL": schema, **facts}


def _facet(name: str, **fields: Any) -> dict[str, Any]:
    return {"_producer": producer(), "_schemaURL": _SCHEMAS[name], **fields}


def _dataset(one: Dataset, group: str, statistics: str) -> dict[str, Any]:
    namespace, name = one.names
    numbers = {"rowCount": one.rows, "size": one.size_bytes, "fileCount": one.files}
    known = {key: value for key, value in numbers.items() if value is not None}
    return {
        "namespace": namespace,
        "name": name,
        "facets": {} if one.version is None else {"version": _facet("version", datasetVersion=one.version)},
        group: {statistics: _facet(statistics, **known)} if known else {},
    }
