"""That one utterance is in a release, on which permission: a proof that outlives the index, and audit rows checked."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from typing import TYPE_CHECKING

from lake import merkle
from lake.audit import read_rows, stored_rows
from lake.lake import Lake
from lake.releases import index_table, list_releases, read_release
from pipelines.findings import Finding
from pipelines.release.audit import audit_rows, keys_of_row
from schemas.errors import ConfigError, LakeError
from schemas.model import Frozen
from schemas.releases import ReleaseRecord

if TYPE_CHECKING:
    import pyarrow as pa

_NAMES = ("subject_id", "grant_id", "rule")
_SAID = ("utterances", "audio_s", "allowed_until", "root")
_SHOWN = 5
_Row = tuple[object, ...]


class Proof(Frozen):
    """An utterance's way up to the root of an audit row. Digests are SHA-256 in hex, hashed as RFC 6962 has it."""

    release: str
    version: int
    release_sha256: str
    subject_id: str
    grant_id: str
    rule: int
    key: str
    index: int
    """Its place among the row's sorted keys."""
    size: int
    """How many they are."""
    path: tuple[str, ...]
    """The neighbours on the way, from the bottom."""
    root: str


class Proofs(Frozen):
    """The file: one proof for everybody who is heard in the utterance."""

    proofs: tuple[Proof, ...]


def prove(lake: Lake, record: ReleaseRecord, key: str) -> Proofs:
    """A proof per person. Raises ConfigError where the utterance is not in the release, or its index is gone."""
    named = f"release {record.name}@{record.version}"
    if not record.index:
        raise ConfigError(f"the index of {named} was erased; only proofs that were made before can be checked")
    import pyarrow.compute as pc

    rows = index_table(lake, record, ["key", "justifications"])
    found = rows.filter(pc.equal(rows["key"], key)).to_pylist()
    if not found:
        raise ConfigError(f"{named} has no utterance {key}")
    return Proofs(proofs=tuple(_proof(lake, record, key, one) for one in found[0]["justifications"]))


def _proof(lake: Lake, record: ReleaseRecord, key: str, why: dict[str, object]) -> Proof:
    subject, grant, rule = str(why["subject_id"]), str(why["grant_id"]), int(str(why["rule"]))
    keys = keys_of_row(lake, record, subject, grant, rule)
    index = bisect_left(keys, key.encode())
    return Proof(
        release=record.name, version=record.version, release_sha256=record.sha256, subject_id=subject, grant_id=grant,
        rule=rule, key=key, index=index, size=len(keys), path=tuple(one.hex() for one in merkle.path(keys, index)),
        root=merkle.root(keys).hex(),
    )  # fmt: skip


def check_proof(lake: Lake, proof: Proof) -> Finding:
    """Whether the key leads to the root, and the root is the one that the release's audit rows hold."""
    about = f"{proof.key} in {proof.release}@{proof.version} for {proof.subject_id}"
    try:
        beside = [bytes.fromhex(one) for one in proof.path]
    except ValueError:
        return Finding(about, "its path is not written in hex", holds=False)
    reached = merkle.root_by(proof.key.encode(), proof.index, proof.size, beside)
    if reached is None or reached.hex() != proof.root:
        return Finding(about, "its path does not lead to its root", holds=False)
    record = read_release(lake, proof.release, proof.version)
    if record.sha256 != proof.release_sha256:
        return Finding(about, f"the release is another: its digest is {record.sha256}", holds=False)
    rows = rows_of(lake, record, with_roots=True)
    said = None if rows is None else _by_name(rows).get((proof.subject_id, proof.grant_id, proof.rule))
    if said is None:
        return Finding(about, f"no audit row is about {proof.grant_id}, rule {proof.rule}", holds=False)
    if (said[0], said[3]) != (proof.size, proof.root):
        return Finding(about, "the audit row has another root", holds=False)
    return Finding(about, f"was in it on {proof.grant_id}, rule {proof.rule}: one of {proof.size:,}")


def rows_of(lake: Lake, record: ReleaseRecord, *, with_roots: bool = False) -> pa.Table | None:
    """A release's audit rows as stored; made from its index where it has none, and where roots are asked for as long as
    that is there. None where it has none, and the index is gone, too."""
    stored = stored_rows(record)
    if stored is not None and not (with_roots and record.index):
        return read_rows(lake, stored)
    if not record.index:
        return None
    return audit_rows(lake, record.name, record.version, record.index, with_roots=with_roots)


def check_audit_rows(lake: Lake) -> Iterator[Finding]:
    """Every release's rows against its index, as far as that is there: counts, seconds, and roots that are stored."""
    for record in list_releases(lake):
        about = f"release {record.name}@{record.version}"
        try:
            yield _checked(lake, record, about)
        except LakeError as error:
            yield Finding(about, str(error), holds=False)


def _checked(lake: Lake, record: ReleaseRecord, about: str) -> Finding:
    stored = stored_rows(record)
    if stored is None:
        left = "they follow from its index" if record.index else "its index is gone, so nobody can tell who was in it"
        return Finding(about, f"was made before there were audit rows; {left}")
    rows = read_rows(lake, stored)
    if not record.index:
        return Finding(about, f"was erased from; its {rows.num_rows:,} audit rows are as they were written")
    differs = list(_differences(_by_name(rows), _by_name(audit_rows(lake, record.name, record.version, record.index))))
    if differs:
        more = f"; and {len(differs) - _SHOWN:,} more" if len(differs) > _SHOWN else ""
        said = f"audit rows say something else than the index: {'; '.join(differs[:_SHOWN])}{more}"
        return Finding(about, said, holds=False)
    return Finding(about, f"{rows.num_rows:,} audit rows are what follows from its index")


def _by_name(rows: pa.Table) -> dict[_Row, _Row]:
    columns = [rows[name].to_pylist() for name in (*_NAMES, *_SAID)]
    return {row[: len(_NAMES)]: row[len(_NAMES) :] for row in zip(*columns, strict=True)}


def _differences(stored: dict[_Row, _Row], made: dict[_Row, _Row]) -> Iterator[str]:
    for name in sorted(stored.keys() | made.keys(), key=repr):
        subject, grant, rule = name
        who = f"{subject} on {grant}, rule {rule}"
        if name not in made or name not in stored:
            yield f"{who}: only in the {'rows' if name in stored else 'index'}"
        else:
            pairs = zip(_SAID, stored[name], made[name], strict=True)
            others = [word for word, one, other in pairs if one != other and not (word == "root" and one is None)]
            if others:
                yield f"{who}: other {', '.join(others)}"
