"""`provoice accent`: fits a head of one's own, registers whose it is, writes it, and shows what it can do."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from lake.lake import Lake
from lake.releases import read_release
from lake.storage import Missing, Root
from provoice.accent_examples import check_use, hear
from provoice.release_use import register_use
from schemas.errors import AlreadyExists, ConfigError
from transforms.accent_labels import read_label_set

if TYPE_CHECKING:
    from transforms.accent_head import AccentHead

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def fit_head(
    lake_uri: str, name: str, version: int | None, out: str, *, labels: str, coverage: float, owner: str,
    head_name: str | None = None, skip_denied: bool = False,
) -> tuple[AccentHead, str]:  # fmt: skip
    """The head, as it now lies at `out`, and its SHA-256.

    It is registered as trained on the release before it is written: a head that nobody answers for never exists. Raises
    ConfigError where no head can be fitted, ConsentError where the release was made for something else, or may not be
    used any more.
    """
    called = _called(out, head_name)
    label_set = read_label_set(labels)
    release = read_release(Lake.open(lake_uri), name, version)
    check_use(lake_uri, release)
    _check_free(out, release.sha256)
    heard = hear(
        lake_uri, release, label_set, owner=owner, purpose=f"accent head {called}", skip_denied=skip_denied
    )  # fmt: skip
    from transforms.accent_fit import fit
    from transforms.accent_head import DataSheet, LabelCount, figures, made_head

    found, account = fit(heard.examples, coverage)
    speakers, examples = heard.examples.speakers_of(), heard.examples
    counts = {
        label: LabelCount(speakers=speakers[at], utterances=int((examples.target == at).sum()))
        for at, label in enumerate(examples.labels)
    }
    sheet = DataSheet.model_validate(
        {
            "release": release.name,
            "release_version": release.version,
            "release_sha256": release.sha256,
            "ledger_position": release.ledger_position,
            "owner": owner.strip(),
            "labels": counts,
            "people": len(set(examples.speakers)),
            "left_out": heard.left_out,
            "wanted_coverage": coverage,
            **figures(found, account, counts),
        }
    )
    head = made_head(called, f"{release.name}@{release.version}", label_set.name, examples.labels, found, sheet)
    data = head.to_bytes()
    sha256 = hashlib.sha256(data).hexdigest()
    register_use(lake_uri, release.name, release.version, model=f"accent head {called} sha256:{sha256}", owner=owner)
    _write(out, data)
    return head, sha256


def load_head(place: str) -> tuple[AccentHead, str]:
    """The head at `place`, and its SHA-256. Raises ConfigError where there is none."""
    from transforms.accent_head import read_head

    folder, file = _place(place)
    try:
        data = folder.read(file)
    except Missing:
        raise ConfigError(f"there is no head at {place}") from None
    return read_head(data, place), hashlib.sha256(data).hexdigest()


def as_json(head: AccentHead, sha256: str) -> str:
    """All that a head says of itself, without its weights, as one JSON object."""
    values: dict[str, Any] = head.model_dump(mode="json", exclude={"weights", "bias"})
    return json.dumps({"sha256": sha256, **values}, ensure_ascii=False) + "\n"


def _called(out: str, head_name: str | None) -> str:
    called = head_name or PurePath(out.rpartition("/")[2]).stem
    if not _NAME.fullmatch(called):
        raise ConfigError(f"`{called}` is no name for a head: letters, digits, `.`, `_`, `-`; say one with --name")
    return called


def _place(uri: str) -> tuple[Root, str]:
    folder, slash, file = uri.rpartition("/")
    if not file:
        raise ConfigError(f"{uri or 'an empty text'} names no file")
    return Root((folder or "/") if slash else "."), file


def _check_free(out: str, release_sha256: str) -> None:
    """Refuses before the work what would be refused after it: a head is never overwritten."""
    folder, file = _place(out)
    if not folder.exists(file):
        return
    from transforms.accent_head import read_head

    try:
        is_ours = read_head(folder.read(file), out).sheet.release_sha256 == release_sha256
    except ConfigError:
        is_ours = False
    if not is_ours:
        raise ConfigError(
            f"{out} exists already, and is another thing; nothing is overwritten: give --out another name"
        )


def _write(out: str, data: bytes) -> None:
    folder, file = _place(out)
    try:
        folder.create(file, data)
    except AlreadyExists:
        if folder.read(file) != data:
            raise ConfigError(f"{out} exists already, and is another head; give --out another name") from None
