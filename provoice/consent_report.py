"""`provoice consent report`: what a person may ask for (GDPR, Article 15), as a page or as JSON."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lake.lake import Lake
from pipelines.notices.models import Model
from pipelines.person.report import HeldRecording, InRelease, PersonReport, report_on
from provoice.pages import as_html, as_markdown, as_text
from provoice.person_words import page_of
from schemas.errors import ConfigError
from schemas.instants import to_text

_FORMS = {".html": as_html, ".htm": as_html, ".md": as_markdown, ".txt": as_text}


def report(lake_uri: str, subject_id: str, *, out: str | None, as_json: bool) -> str:
    """What is printed; with `out`, the page is written there, in the form that its ending names."""
    if not subject_id.strip():
        raise ConfigError("--subject is empty: say of whom")
    form = _FORMS.get(Path(out).suffix.lower()) if out is not None else as_text
    if form is None:
        raise ConfigError(f"--out {out}: the file ends in {', '.join(sorted(_FORMS))}")
    found = report_on(Lake.open(lake_uri), subject_id, datetime.now(UTC))
    text = json.dumps(as_object(found)) + "\n" if as_json else ""
    if out is None:
        return text or form(page_of(found))
    _write(Path(out), form(page_of(found)))
    return text or f"written to {out}; it is about one person, so hand it to nobody else\n"


def _write(path: Path, text: str) -> None:
    try:
        with path.open("x", encoding="utf-8") as file:
            path.chmod(0o600)
            file.write(text)
    except FileExistsError:
        raise ConfigError(f"--out {path} is there already; nothing is overwritten") from None
    except OSError as error:
        raise ConfigError(f"--out {path} cannot be written: {error.strerror}") from None


def as_object(found: PersonReport) -> dict[str, Any]:
    """The report as JSON has it."""
    return {
        "subject_id": found.subject_id,
        "lake": found.lake,
        "at": to_text(found.at),
        "ledger_position": found.ledger_position,
        "permissions": [
            {
                **one.grant.model_dump(mode="json"),
                "standing": one.standing,
                "ended_at": None if one.ended is None else to_text(one.ended.at),
            }
            for one in found.permissions
        ],
        "recordings": [_recording_object(one) for one in found.recordings],
        "planned": [{"source_root": root, "source_path": path} for root, path in found.planned],
        "utterances": found.utterances,
        "audio_s": found.audio_s,
        "texts": found.texts,
        "accents": found.accents,
        "releases": [_release_object(one) for one in found.releases],
        "models": [_model_object(one) for one in found.models],
        "openings": [
            {"release": one.release, "owner": one.owner, "purpose": one.purpose, "at": to_text(one.at)}
            for one in found.openings
        ],
        "events": found.events,
        "erasures": [
            one.model_dump(mode="json", include={"number", "status", "clocks", "recordings", "utterances_erased",
                                                 "suppressed", "exceptions"})
            for one in found.certificates
        ],
    }  # fmt: skip


def _recording_object(one: HeldRecording) -> dict[str, Any]:
    at = one.collected_at
    same = ("source_root", "source_path", "status", "reason", "is_current", "others", "utterances", "audio_s")
    return {**{name: getattr(one, name) for name in same}, "collected_at": None if at is None else to_text(at)}


def _release_object(one: InRelease) -> dict[str, Any]:
    return {
        "release": one.record.name,
        "version": one.record.version,
        "use": one.record.use.model_dump(mode="json"),
        "is_replaced": one.record.replaced is not None,
        "grant_id": one.grant_id,
        "rule": one.rule,
        "utterances": one.utterances,
        "audio_s": one.audio_s,
        "allowed_until": to_text(one.allowed_until),
    }


def _model_object(one: Model) -> dict[str, Any]:
    return {
        "model": one.model, "owners": list(one.owners), "releases": list(one.releases), "state": one.state.value,
        "since": to_text(one.since), "reason": one.reason,
    }  # fmt: skip
