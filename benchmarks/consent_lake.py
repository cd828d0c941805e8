"""Consent columns and a ledger to decide on: made once per size, the same every time, kept in `.cache/bench`.

Utterances lie in files of a million rows as a snapshot merges them, sorted by subject and recording, and hold the
columns that a decision reads. Grants are of twenty kinds, some for listed recordings or a period, some ended.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks.corpus import CACHE
from schemas.consent import TERMS, Use
from schemas.consent_tables import EVENTS_SCHEMA, GRANT, RULE
from schemas.tables import INSTANT, UTTERANCE_FIELDS
from schemas.vocabulary import Facet, Term, Vocabulary

SEED = 20261121
ROWS_PER_FILE = 1_000_000
ROWS_PER_GROUP = 65_536
DAY = 86_400_000_000
BEGIN = 1_750_000_000_000_000
"""Microseconds since 1970; grants begin within half a year after it and last for one to five."""
AT = BEGIN + 400 * DAY
USE = Use(
    action="train_asr", medium="recorded", genre="FBA", series="any", role="reader", recipient="any", territory="DE",
    until="2026-12-01",
)  # fmt: skip
_COLUMNS = {field.name: field for field in UTTERANCE_FIELDS}
_LINEAGE = pa.struct([(name, pa.string()) for name in ("source_root", "source_path", "catalogue_row_sha256")])


def folder(rows: int) -> Path:
    """Folder of `utterances-*.parquet` and `events.parquet` for so many rows; made where it is not there."""
    found = CACHE / f"consent-{rows}"
    if not (found / "events.parquet").is_file():
        found.mkdir(parents=True, exist_ok=True)
        _Maker(rows).write(found)
    return found


def vocabulary() -> Vocabulary:
    """Two thousand genres by their beginning, territories by their dash, and a few words of the others."""
    letters = "ABCDEFGHKLMN"
    genres = {a: Term() for a in letters} | {a + b: Term() for a in letters for b in letters}
    genres |= {a + b + c: Term() for a in letters for b in letters for c in letters}
    lands = {"EU": Term(), **{land: Term(broader=("EU",)) for land in ("DE", "FR", "ES", "IT", "PL")}}
    mediums = {name: Term() for name in ("recorded", "broadcast", "telephone")}
    facets = {
        "medium": Facet(source="this benchmark", terms=mediums),
        "genre": Facet(source="this benchmark", narrower="prefix", terms=genres),
        "series": Facet(source="this benchmark", pattern="[0-9a-f]{32}"),
        "role": Facet(source="this benchmark", terms={"voice": Term(), "reader": Term(broader=("voice",))}),
        "recipient": Facet(source="this benchmark", pattern="[a-z]+"),
        "territory": Facet(source="this benchmark", narrower="dash", pattern="[A-Z]{2}-[A-Z]{2}", terms=lands),
    }
    return Vocabulary(version="benchmark", **facets)


class _Maker:
    def __init__(self, rows: int) -> None:
        self.chance = np.random.default_rng(SEED)
        self.rows, self.recordings, self.subjects, self.grants = rows, rows // 20, rows // 100, rows * 3 // 200
        self.subject_ids = self._names("s", self.subjects)
        self.grant_ids = self._names("g", self.grants)
        # The first grants are one per subject, the others are spread.
        more = self.chance.integers(0, self.subjects, self.grants - self.subjects)
        self.grant_of = np.concatenate([np.arange(self.subjects), more])
        self.subject_of = np.sort(self.chance.integers(0, self.subjects, self.recordings))
        self.people = self.chance.choice([1, 2, 3], self.recordings, p=[0.85, 0.1, 0.05])
        self.paths = np.array([f"series-{n % 997:03d}/episode-{n:07d}.mp3" for n in range(self.recordings)])
        digests = [hashlib.sha256(str(n).encode()).hexdigest() for n in range(self.recordings)]
        self.digests = np.array(digests)
        self.collected = BEGIN - self.chance.integers(0, 3_000, self.recordings) * DAY

    def _names(self, kind: str, count: int) -> Any:
        names = [f"{kind}-{hashlib.sha256(f'{kind}{n}'.encode()).hexdigest()[:16]}" for n in range(count)]
        return np.sort(np.array(names))

    def write(self, out: Path) -> None:
        recording = np.sort(self.chance.integers(0, self.recordings, self.rows))
        for number, begin in enumerate(range(0, self.rows, ROWS_PER_FILE)):
            table = self._utterances(recording[begin : begin + ROWS_PER_FILE])
            path = out / f"utterances-{number:03d}.parquet"
            pq.write_table(table, path, compression="zstd", version="2.6", row_group_size=ROWS_PER_GROUP)
        pq.write_table(self._events(), out / "events.parquet", compression="zstd")

    def _utterances(self, recording: Any) -> pa.Table:
        people = self.people[recording]
        ends = np.cumsum(people)
        row = np.repeat(np.arange(len(recording)), people)
        nth = np.arange(ends[-1]) - np.repeat(ends - people, people)
        # Guests are regulars: the same person's recordings have the same others.
        who = (self.subject_of[recording[row]] + nth * 7) % self.subjects
        kind = _COLUMNS["consent"].type
        links = pa.StructArray.from_arrays(
            [
                _texts(self.subject_ids[who]),
                _texts(self.grant_ids[who]),
                _texts(np.where(nth > 1, "background", "speaker")),
                _texts(np.where(people[row] > 1, "recording", "sole")),
            ],
            fields=list(kind.value_type),
        )
        lineage = [np.repeat("podcasts", len(recording)), self.paths[recording], self.digests[recording]]
        nothing = np.zeros(len(recording) + 1, np.int32)
        columns = {
            "collected_at": pa.array(self.collected[recording]).cast(INSTANT),
            "consent": pa.ListArray.from_arrays(pa.array(np.concatenate([[0], ends]), pa.int32()), links, type=kind),
            "grant_ids": pa.ListArray.from_arrays(pa.array(nothing), pa.array([], pa.string())),
            "consent_complete": pa.array(self.chance.random(self.recordings)[recording] > 0.001),
            "lineage": pa.StructArray.from_arrays([_texts(one) for one in lineage], fields=list(_LINEAGE)),
        }
        return pa.table(columns)

    def _events(self) -> pa.Table:
        ending = self.chance.choice(self.grants, self.grants // 20, replace=False)
        leaving = self.chance.choice(self.subjects, self.subjects // 100, replace=False)
        changed = self.chance.choice(self.recordings, self.recordings // 100, replace=False)
        # Half of them have been prepared again since.
        digests = self.digests[(changed + self.chance.integers(0, 2, len(changed))) % self.recordings]
        told = Vocabulary.model_dump_json(vocabulary())
        parts = [
            {"type": ["vocabulary"], "vocabulary": [told]},
            {
                "type": np.repeat("given", self.grants),
                "subject_id": self.subject_ids[self.grant_of],
                "grant_id": self.grant_ids,
                "grant": self._grants(),
            },
            {
                "type": self.chance.choice(["withdrawn", "refused", "invalidated"], len(ending)),
                "subject_id": self.subject_ids[self.grant_of[ending]],
                "grant_id": self.grant_ids[ending],
            },
            {"type": np.repeat("withdrawn", len(leaving)), "subject_id": self.subject_ids[leaving]},
            {
                "type": np.repeat("catalogue_changed", len(changed)),
                "source_root": np.repeat("podcasts", len(changed)),
                "source_path": self.paths[changed],
                "catalogue_row_sha256": digests,
            },
        ]
        table = pa.concat_tables([_events(part) for part in parts])
        position = np.arange(1, table.num_rows + 1)
        columns = {name: table[name] for name in EVENTS_SCHEMA.names}
        columns["position"] = pa.array(position)
        columns["event_id"] = pa.array([f"event-{n:012d}" for n in position])
        return pa.table(columns, schema=EVENTS_SCHEMA)

    def _grants(self) -> pa.Array:
        n = self.grants
        scope = self.chance.choice(["all", "recordings", "collected"], n, p=[0.8, 0.1, 0.1])
        begins = BEGIN + self.chance.integers(0, 180, n) * DAY
        # Recordings lie in order of their subjects, so one of theirs is found by looking the subject up.
        theirs = np.minimum(np.searchsorted(self.subject_of, self.grant_of), self.recordings - 1)
        refs = pa.StructArray.from_arrays(
            [_texts(np.repeat("podcasts", n)), _texts(self.paths[theirs])],
            fields=list(GRANT.field("recordings").type.value_type),
        )
        is_listing = scope == "recordings"
        starts = pa.array(np.concatenate([[0], np.cumsum(is_listing)]), pa.int32())
        is_period = pa.array(scope != "collected")
        columns = {
            "evidence_sha256": _texts(np.repeat("0" * 64, n)),
            "jurisdiction": _texts(np.repeat("EU", n)),
            "valid_from": pa.array(begins).cast(INSTANT),
            "valid_until": pa.array(begins + self.chance.integers(365, 5 * 365, n) * DAY).cast(INSTANT),
            "scope": _texts(scope),
            "recordings": pa.ListArray.from_arrays(starts, refs.filter(pa.array(is_listing))),
            "collected_from": pa.array(np.full(n, BEGIN - 2_500 * DAY), mask=~(scope == "collected")).cast(INSTANT),
            "collected_until": pc.if_else(is_period, None, pa.array(np.full(n, BEGIN)).cast(INSTANT)),
            "rules": _kinds_of_rules().take(pa.array(self.chance.integers(0, 20, n))),
        }
        return pa.StructArray.from_arrays([columns[field.name].cast(field.type) for field in GRANT], fields=list(GRANT))


def _kinds_of_rules() -> pa.Array:
    """Twenty lists of rules: broad ones, narrow ones, and some that prohibit."""
    kinds = []
    for n in range(20):
        narrow: dict[str, Any] = {
            "medium": [["any"], ["recorded", "broadcast"]][n % 2],
            "role": [["any"], ["voice"]][n % 2],
            "genre": [["any"], ["F", "G"], ["FB"], ["A", "B", "C"]][n % 4],
            "territory": [["any"], ["EU"]][n % 2],
        }
        rules = [_rule("permit", ["train_asr", "evaluate"], **narrow)]
        rules += [_rule("permit", ["retain", "annotate"])] if n % 2 else []
        rules += [_rule("prohibit", ["clone", "train_tts"])] if n % 3 else []
        rules += [_rule("prohibit", ["any"], genre=["FBA"])] if n == 19 else []
        kinds.append(rules)
    return pa.array(kinds, pa.list_(RULE))


def _rule(effect: str, action: list[str], **terms: list[str]) -> dict[str, Any]:
    until = np.datetime64(AT + 365 * DAY, "us").item()
    stated = {name: terms.get(name, ["any"]) for name in TERMS}
    return {"effect": effect, "action": action, "durable_until": until, **stated}


def _texts(values: Any) -> pa.Array:
    return pa.array(values.tolist() if isinstance(values, np.ndarray) else values, pa.string())


def _events(part: dict[str, Any]) -> pa.Table:
    """Some columns of events as a table with all of them."""
    count = len(part["type"])
    stated = {name: values if isinstance(values, pa.Array) else _texts(values) for name, values in part.items()}
    stated["recorded_at"] = pa.array(np.full(count, BEGIN)).cast(INSTANT)
    empty = {field.name: pa.nulls(count, field.type) for field in EVENTS_SCHEMA}
    return pa.table({**empty, **stated})


if __name__ == "__main__":
    folder(int(sys.argv[1]))
