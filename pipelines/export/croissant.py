"""Croissant: what a release, or an export of one, is and holds, as MLCommons' JSON-LD (version 1.1 with RAI 1.0).

What the people allow stands in `usageInfo` as an ODRL offer, as Croissant 1.1 recommends it for conditions of use.
Source: https://docs.mlcommons.org/croissant/docs/croissant-spec-1.1.html and croissant-rai-spec.html.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import Any

from lake import layout
from pipelines.export.croissant_files import Holding, context, holding_of_export, holding_of_release
from pipelines.export.record import Form
from schemas.consent import ANY, TERMS
from schemas.instants import to_text
from schemas.records import StoredObject
from schemas.releases import ReleaseRecord

FILE = "croissant.json"
_PERSONAL = (
    "Every record is a person's voice, which is personal data, and names its speakers by pseudonym. Where the "
    "catalogue has them, records also carry transcript, language, gender, age group and accent."
)
_LIMITS = (
    "Measurements of noise and reverberation are blind estimates. What was left out for want of permission need not be "
    "spread evenly over people; release.json counts it by reason."
)
_ODRL = {"territory": "odrl:spatial", "recipient": "odrl:recipient"}
"""Terms that ODRL has a word for; the others are our own."""
_NOT_NAMED = "not named here: whoever keeps the lake that the release lies in"


def croissant_of_release(release: ReleaseRecord, creator: str | None = None) -> bytes:
    """`croissant.json` beside `release.json`: the index's files, whose paths are taken relative to it."""
    folder = layout.release_folder(release.name, release.version)
    return _written(release, holding_of_release(release.index, f"{folder}/"), creator)


def croissant_of_export(release: ReleaseRecord, form: Form, files: Sequence[StoredObject], creator: str) -> bytes:
    """`croissant.json` of an export: its files with their digests, and how to read records out of them."""
    return _written(release, holding_of_export(form, files), creator)


def _written(release: ReleaseRecord, holding: Holding, creator: str | None) -> bytes:
    described = {
        **_about(release, creator),
        **_responsibly(release),
        "usageInfo": _offer(release),
        "distribution": holding.distribution,
        "recordSet": holding.record_sets,
    }
    return json.dumps(described, ensure_ascii=False, indent=1).encode() + b"\n"


def _about(release: ReleaseRecord, creator: str | None) -> dict[str, Any]:
    use = release.use
    digest = base64.urlsafe_b64encode(bytes.fromhex(release.sha256)).decode().rstrip("=")
    return {
        "@context": context(),
        "@type": "sc:Dataset",
        "conformsTo": ["http://mlcommons.org/croissant/1.1", "http://mlcommons.org/croissant/RAI/1.0"],
        "name": release.name,
        "version": f"{release.version}.0.0",
        "description": (
            f"{release.chosen.utterances} utterances of recorded speech, {release.chosen.audio_s / 3600:.2f} hours, by "
            f"{release.chosen.people} people, chosen for one use ({use.action.value}) by what these people allow."
        ),
        # RFC 6920: names the release by its digest, wherever it lies.
        "url": f"ni:///sha-256;{digest}",
        "creator": {"@type": "sc:Organization", "name": creator or _NOT_NAMED},
        "dateCreated": to_text(release.created_at),
        "datePublished": to_text(release.created_at),
        "license": "No licence to the public. What may be done with it is what `usageInfo` says, and no more.",
        "citeAs": f"{release.name}, version {release.version}, sha256 {release.sha256}",
        "isLiveDataset": False,
    }


def _responsibly(release: ReleaseRecord) -> dict[str, Any]:
    use = release.use
    chosen = f"of those that match `{release.where}`, " if release.where else ""
    how = (
        f"Chosen from the current utterances of one lake: {chosen}each that all of its data subjects permit for this "
        f"use, as of position {release.ledger_position} of the consent ledger and {to_text(release.decided_at)}."
    )
    return {
        "rai:personalSensitiveInformation": [_PERSONAL],
        "rai:dataPreprocessingProtocol": [how],
        "rai:dataUseCases": [f"{use.action.value}. Any other use needs a release, and so a decision, of its own."],
        "rai:dataLimitations": [_LIMITS],
        "rai:dataReleaseMaintenancePlan": (
            "People may withdraw at any time. No record may be used from its own `allowed_until` on, and none after "
            f"{to_text(use.until)}; the consent ledger is asked again whenever the release is opened or exported."
        ),
    }


def _offer(release: ReleaseRecord) -> dict[str, Any]:
    """The use that was decided, as an ODRL offer with one permission and a constraint for every term but `any`."""
    use = release.use
    terms = [(name, getattr(use, name)) for name in TERMS]
    return {
        "@type": ["CreativeWork", "odrl:Offer"],
        "name": "What the data subjects allow",
        "odrl:permission": {
            "@type": "odrl:Permission",
            "odrl:action": {
                "@id": f"provoice:action:{use.action.value}",
                "name": use.action.value,
                "odrl:includedIn": {"@id": "odrl:use"},
            },
            "odrl:constraint": [
                _constraint("odrl:dateTime", "until", "odrl:lt", to_text(use.until)),
                *(
                    _constraint(_ODRL.get(name, f"provoice:{name}"), name, "odrl:eq", term)
                    for name, term in terms
                    if term != ANY
                ),
            ],
        },
    }


def _constraint(left: str, name: str, operator: str, right: str) -> dict[str, Any]:
    return {
        "@type": "odrl:Constraint",
        "name": name,
        "odrl:leftOperand": {"@id": left},
        "odrl:operator": {"@id": operator},
        "odrl:rightOperand": right,
    }
