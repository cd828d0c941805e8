"""Lakes to release from: who speaks in which utterance, and who may not be heard, is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lake.lake import Lake
from pipelines.release.create import Chosen, Wanted, create
from schemas.consent import TERMS, Use
from schemas.ledger import Event
from schemas.releases import ReleaseRecord
from tests.builders import Made, key_of, write_run
from tests.consents import given, grant, rule
from transforms.items import Accent

AT = datetime(2026, 7, 1, tzinfo=UTC)
"""When releases are decided, unless told; grants last through 2026."""
UNTIL = datetime(2026, 9, 1, tzinfo=UTC)
ANY_USE = Use.model_validate({"action": "train_asr", "until": UNTIL, **dict.fromkeys(TERMS, "any")})
USE_YAML = "action: train_asr\n" + "".join(f"{term}: any\n" for term in TERMS) + 'until: "2099-01-01"\n'


@dataclass
class Crowd:
    """A lake of many people, each with sources of their own."""

    uri: str
    lake: Lake
    keys_of: Mapping[str, set[str]]
    """Keys of the utterances in which a person is heard."""

    def keys(self, *people: str) -> set[str]:
        return set().union(*(self.keys_of[one] for one in people))

    def record(self, *events: Event) -> int:
        return self.lake.ledger().append(events)

    def release(self, where: str | None = None, **fields: Any) -> ReleaseRecord:
        """The next version of `gold`, which must not be empty."""
        _, record = self.choose(where, **fields)
        assert record is not None
        return record

    def choose(self, where: str | None = None, **fields: Any) -> tuple[Chosen, ReleaseRecord | None]:
        return create(self.lake, Wanted(**{"name": "gold", "use": ANY_USE, "where": where, "at": AT, **fields}))


def person(n: int) -> str:
    return f"p{n:03d}"


def crowd(
    folder: Path, people: int = 4, *, sources: int = 2, utterances: int = 2, units: int = 2, granted: int | None = None,
    lasting: bool = False, accents: Sequence[str | None] = (), pairs: Sequence[tuple[int, int]] = (),
) -> Crowd:  # fmt: skip
    """Person n is alone in `sources` sources of `utterances` seconds each, with an SNR of n dB, and two of `pairs` are
    together in one more; the first `granted` people (all, unless told) allow everything through 2026, or, if `lasting`,
    until 2120."""
    lake = Lake.create_or_open(str(folder / "lake"))
    names = [person(n) for n in range(people)]
    late = datetime(2120, 1, 1, tzinfo=UTC)
    window: dict[str, Any] = {"valid_until": late, "rules": (rule(durable_until=late),)} if lasting else {}
    lake.ledger().append([given(grant(name, **window)) for name in names[:granted]])
    made = [
        Made(
            f"{name}/{source}.wav", {name: f"g-{name}"}, utterances, measured={"snr_db": float(n)}, text=f"said by {n}",
            accent=Accent(accents[n % len(accents)], "made-1", "declared") if accents and accents[n % len(accents)]
            else None,
        )
        for n, name in enumerate(names)
        for source in range(sources)
    ]  # fmt: skip
    made += [
        Made(f"pairs/{one}-{other}.wav", {person(one): None, person(other): None}, utterances)
        for one, other in pairs
    ]  # fmt: skip
    write_run(lake, folder, [made[unit::units] for unit in range(units)], run_id="first", ledger_position=1)
    keys_of: dict[str, set[str]] = {name: set() for name in names}
    for one in made:
        for name in one.people:
            keys_of[name] |= {key_of(one, n) for n in range(utterances)}
    return Crowd(lake.root.uri, lake, keys_of)
