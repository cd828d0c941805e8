"""Tells an OpenLineage endpoint what a command did, where the environment says so; nothing of it can fail the command.

`OPENLINEAGE_URL` turns it on: `http://HOST:PORT` for a server, `file:///…/events.jsonl` for a file. The variables are
OpenLineage's own.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit
from uuid import UUID, uuid4

from lake.lake import Lake
from pipelines.lineage_events import Dataset, Done, Job, Kind
from schemas.records import Counts, RunRecord
from schemas.releases import ReleaseRecord

if TYPE_CHECKING:
    from pipelines.erase.erase import Outcome

_LOG = logging.getLogger(__name__)
_TIMEOUT_S = 5.0
PATIENCE_S = 10.0
"""An endpoint that answers byte by byte is not waited for any longer, whatever a socket's own timeout says."""


class Lineage:
    """One command's events: a START, and then a COMPLETE, FAIL or ABORT."""

    def __init__(self, job: Job, url: str, headers: Mapping[str, str]) -> None:
        self._job, self._url, self._headers = job, url, headers
        self._done: Done | None = None
        self._is_lost = False

    def start(self, what: Callable[[], Done]) -> None:
        """It has begun; `what` says what is known by now. It is called only where somebody is told."""
        self.know(what)
        self._send(Kind.START)

    def know(self, what: Callable[[], Done]) -> None:
        """What the last event is to say."""
        try:
            self._done = what()
        except Exception as error:  # noqa: BLE001  (the ledger cannot be read, say: what is told stays as it was)
            _LOG.warning("OpenLineage is told less than there is: %s", type(error).__name__)

    def end(self, kind: Kind, error: BaseException | None = None) -> None:
        if self._done is not None:  # nothing was begun, nothing is told
            self._send(kind, None if error is None else type(error).__name__)

    def _send(self, kind: Kind, error: str | None = None) -> None:
        if self._is_lost or self._done is None:
            return
        body = json.dumps(self._job.event(kind, datetime.now(UTC), self._done, error))
        failed: list[str] = []
        thread = threading.Thread(target=self._deliver, args=(body, failed), daemon=True, name="lineage")
        thread.start()
        thread.join(PATIENCE_S)
        why = failed[0] if failed else f"no answer within {PATIENCE_S:g} s" if thread.is_alive() else None
        if why is not None:
            self._is_lost = True
            _LOG.warning("OpenLineage was not told, and is not tried again by this command: %s", why)

    def _deliver(self, body: str, failed: list[str]) -> None:
        try:
            _write(self._url, body) if self._url.startswith("file:") else _post(self._url, body, self._headers)
        except Exception as error:  # noqa: BLE001  (whatever an endpoint does must not fail what people wait for)
            failed.append(f"{type(error).__name__}: {' '.join(str(error).split())}"[:200])


class _Silent(Lineage):
    def __init__(self) -> None: ...

    def start(self, what: Callable[[], Done]) -> None: ...

    def know(self, what: Callable[[], Done]) -> None: ...

    def end(self, kind: Kind, error: BaseException | None = None) -> None: ...


@contextmanager
def lineage(name: str) -> Iterator[Lineage]:
    """The events of one command; silent where `OPENLINEAGE_URL` is not set."""
    told = _configured(name)
    try:
        yield told
    except (KeyboardInterrupt, GeneratorExit) as error:
        told.end(Kind.ABORT, error)
        raise
    except BaseException as error:
        told.end(Kind.FAIL, error)
        raise
    told.end(Kind.COMPLETE)


def _configured(name: str) -> Lineage:
    url = os.environ.get("OPENLINEAGE_URL", "")
    if not url or os.environ.get("OPENLINEAGE_DISABLED", "").lower() in ("1", "true"):
        return _Silent()
    if urlsplit(url).scheme not in ("http", "https", "file"):
        _LOG.warning("OPENLINEAGE_URL %s is neither http(s)://… nor file:///…; OpenLineage is not told", url)
        return _Silent()
    headers = {"Content-Type": "application/json"}
    if key := os.environ.get("OPENLINEAGE_API_KEY"):
        headers["Authorization"] = f"Bearer {key}"
    if not url.startswith("file:"):
        url = f"{url.rstrip('/')}/{os.environ.get('OPENLINEAGE_ENDPOINT', 'api/v1/lineage').lstrip('/')}"
    namespace = os.environ.get("OPENLINEAGE_NAMESPACE") or "provoice"
    return Lineage(Job(name, uuid4(), namespace, _parent(os.environ.get("OPENLINEAGE_PARENT_ID"))), url, headers)


def _parent(text: str | None) -> tuple[str, str, str] | None:
    """`NAMESPACE/JOB/RUN`, as Airflow's provider hands it to what it calls; a namespace may hold slashes."""
    parts = (text or "").rsplit("/", 2)
    try:
        return (parts[0], parts[1], str(UUID(parts[2]))) if len(parts) == 3 else None
    except ValueError:
        _LOG.warning("OPENLINEAGE_PARENT_ID %s is not NAMESPACE/JOB/RUN; it is left out", text)
        return None


def _post(url: str, body: str, headers: Mapping[str, str]) -> None:
    request = urllib.request.Request(url, body.encode(), dict(headers), method="POST")
    with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:
        answer.read(1)


def _write(url: str, body: str) -> None:
    with open(unquote(urlsplit(url).path), "a", encoding="utf-8") as file:
        file.write(body + "\n")


# --- what each command says -------------------------------------------------------------------------------------------


def of_run(lake: Lake, run: RunRecord, counts: Counts | None = None) -> Done:
    """A run as it begins, or, with its account, as it ended."""
    facts: dict[str, Any] = {"run_id": run.run_id, "run_number": run.number, "recipe_sha256": run.recipe_sha256}
    if counts is None:
        return Done([Dataset(uri) for uri in run.roots.values()], _tables(lake), {**facts, "sources": run.sources})
    facts |= {"sources": run.sources, "ledger_position": lake.ledger().head(), "counts": counts.model_dump(mode="json")}
    # How much came from each root no commit says; of one root it is all.
    whole = (counts.sources, counts.source_bytes) if len(run.roots) == 1 else (None, None)
    inputs = [Dataset(uri, *whole) for uri in run.roots.values()]
    return Done(inputs, _tables(lake, counts.utterances, counts.sources), facts)


def of_release(lake: Lake, record: ReleaseRecord | None) -> Done:
    """A release that was made, or is about to be."""
    tables = _tables(lake)[:1]
    if record is None:
        return Done(tables)
    facts = {"release": f"{record.name}@{record.version}", "ledger_position": record.ledger_position}
    made = Dataset(
        lake.root.uri_of(f"releases/{record.name}"), record.chosen.utterances,
        sum(part.size_bytes for part in record.index), len(record.index), str(record.version),
    )  # fmt: skip
    return Done(tables, [made], {**facts, "release_sha256": record.sha256})


def of_erasure(lake: Lake, outcome: Outcome | None = None) -> Done:
    """An erasure: how much went, never whose."""
    if outcome is None:
        return Done(outputs=_tables(lake))
    facts = {
        "erasure": outcome.erasure.number, "ledger_position": lake.ledger().head(), "people": len(
            outcome.erasure.started.subjects
        ), "units_rewritten": outcome.units, "objects_removed": outcome.removed, "bytes_removed": outcome.removed_bytes,
        "is_finished": outcome.is_finished,
    }  # fmt: skip
    return Done(outputs=_tables(lake), facts=facts)


def _tables(lake: Lake, utterances: int | None = None, recordings: int | None = None) -> list[Dataset]:
    counted = {"utterances": utterances, "recordings": recordings}
    return [Dataset(lake.root.uri_of(name), rows) for name, rows in counted.items()]
