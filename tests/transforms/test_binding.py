"""Whose voice an utterance is, and when the list may be called complete."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from schemas.catalogue import CatalogueRow, Role, Span, Subject
from schemas.consent import Binding
from schemas.errors import Reason, Rejected
from schemas.sound import Region, Turn
from tests.transforms.builders import recording_of, track_of
from transforms import binding
from transforms.items import Recording

RATE = 16_000


def person(name: str, role: Role = Role.SPEAKER, channel: int | None = None) -> Subject:
    return Subject(subject_id=name, role=role, channel=channel)


def heard(
    folder: Path, row: CatalogueRow, voices: int | None = 1, tracks: int = 1, extra: float | None = 0.0
) -> Recording:
    made = [track_of(folder, np.zeros(10 * RATE, np.float32), channel=n) for n in range(tracks)]
    recording = recording_of(made[0], catalogue=row)
    decoded = replace(recording.decoded, tracks=tuple(made), downmix="split" if tracks > 1 else "mono")
    whole = tuple((Region(0, 10 * RATE),) for _ in made)
    return replace(recording, decoded=decoded, speech=whole, voices=voices, extra_voice_s=extra)


def ask(recording: Recording, start_s: float, end_s: float, channel: int = 0, speaker: str | None = None):
    return binding.attribute(recording, channel, Region(round(start_s * RATE), round(end_s * RATE)), speaker)


def test_one_subject_and_one_voice_is_sole(tmp_path):
    row = CatalogueRow(subjects=(person("anna"),), complete=True)
    assert ask(heard(tmp_path, row), 0, 5) == binding.Attribution(("anna",), Binding.SOLE)


@pytest.mark.parametrize("voices", [2, None])
def test_one_subject_but_more_voices_or_nobody_listening_is_the_recording(tmp_path, voices):
    row = CatalogueRow(subjects=(person("anna"),), complete=True)
    assert ask(heard(tmp_path, row, voices), 0, 5).binding is Binding.RECORDING


def test_two_subjects_without_more_knowledge_are_on_every_utterance(tmp_path):
    row = CatalogueRow(subjects=(person("bert"), person("anna")))
    assert ask(heard(tmp_path, row, 2), 0, 5) == binding.Attribution(("anna", "bert"), Binding.RECORDING)


def test_a_channel_per_person(tmp_path):
    row = CatalogueRow(subjects=(person("anna", channel=0), person("bert", channel=1), person("tv", Role.BACKGROUND)))
    recording = heard(tmp_path, row, 2, tracks=2)
    assert ask(recording, 0, 5, channel=1) == binding.Attribution(("bert", "tv"), Binding.CHANNEL)


def test_a_channel_of_nobody_is_not_published(tmp_path):
    row = CatalogueRow(subjects=(person("anna", channel=0),))
    with pytest.raises(Rejected) as caught:
        ask(heard(tmp_path, row, 2, tracks=2), 0, 5, channel=1)
    assert caught.value.reason is Reason.NO_SUBJECT


def test_spans_become_turns_and_an_overlap_asks_both(tmp_path):
    spans = (Span(subject_id="anna", start_s=0, end_s=4), Span(subject_id="bert", start_s=3, end_s=8))
    row = CatalogueRow(subjects=(person("anna"), person("bert")), spans=spans)
    recording = binding.with_span_turns(heard(tmp_path, row, 2))
    assert recording.turns == ((Turn(Region(0, 4 * RATE), "spk00"), Turn(Region(3 * RATE, 8 * RATE), "spk01")),)
    assert ask(recording, 0, 2.5, speaker="spk00") == binding.Attribution(("anna",), Binding.SPANS)
    assert ask(recording, 0, 4, speaker="spk00").subject_ids == ("anna", "bert")
    assert binding.unattributed_s(recording) == 2.0


def test_complete_needs_the_catalogues_word_and_an_ear(tmp_path):
    says, silent = CatalogueRow(subjects=(person("anna"),), complete=True), CatalogueRow(subjects=(person("anna"),))
    assert binding.is_complete(heard(tmp_path, says), 2.0)
    assert not binding.is_complete(heard(tmp_path, silent), 2.0)
    assert not binding.is_complete(heard(tmp_path, says, extra=None), 2.0)
    assert not binding.is_complete(heard(tmp_path, says, extra=2.0), 2.0)
    assert not binding.is_complete(heard(tmp_path, CatalogueRow(complete=True)), 2.0)
