"""Cuts each turn into utterances: apart at long pauses, together up to the longest length, never into a word where
there is a pause, and never into anybody else's speech."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import ceil, floor

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from schemas.errors import Reason
from schemas.ids import utterance_key
from schemas.model import Frozen
from schemas.sound import ANALYSIS_RATE_HZ, Region, Samples, merged, rescale
from transforms.items import Recording, Track, Utterance
from transforms.partition import Atom, partition, split
from transforms.pauses import pauses_near
from transforms.spans import common, remaining, within
from transforms.transcript import Transcript
from transforms.vad import EDGE_S


class CutConfig(Frozen):
    """How long utterances are and where they part."""

    min_s: float = Field(default=1.0, gt=0, le=600, description="shortest utterance, seconds; shorter ones are counted")
    max_s: float = Field(default=30.0, gt=0, le=3600, description="longest utterance, seconds")
    pad_s: float = Field(
        default=0.1,
        ge=0,
        le=2,
        description="silence taken along at both ends, where there is some beyond VAD's own, seconds",
    )
    max_pause_s: float = Field(
        default=0.8, ge=0, le=60, description="longest pause between speech regions within an utterance, seconds"
    )
    pause_probability: float = Field(
        default=0.15,
        ge=0,
        le=1,
        description="where speech without a silence is longer than max_s, it is cut at pauses under this probability",
    )
    keep_transcribed_whole: bool = Field(
        default=True,
        description="one speaker's recording for which the catalogue has one text, and no places in it, is not cut at "
        "long pauses if it fits max_s: its pieces would have no text",
    )

    @model_validator(mode="after")
    def _halves(self) -> CutConfig:
        # What is cut for its length must leave two pieces that are long enough.
        if self.max_s < 2 * self.min_s:
            raise ValueError(f"max_s ({self.max_s}) is under twice min_s ({self.min_s})")
        return self


@dataclass(frozen=True, slots=True)
class Cut:
    """An utterance to be: all but its samples. Spans are in samples of the recording's own rate, from its start."""

    track_index: int
    region: Region
    speaker: str | None
    speech: tuple[Region, ...]
    overlap: tuple[Region, ...] = ()
    """Where another speaker's turn on the same track overlaps."""
    text: str | None = None


class CutTurns:
    """Cuts recordings that have speech and turns; name and version land in the recipe, as a stage's do."""

    name, version = "cut_turns", 1

    def __init__(self, config: CutConfig) -> None:
        self.config = config

    def cuts(self, recording: Recording) -> tuple[list[Cut], dict[Reason, int]]:
        """The utterances, in order of track, place and speaker, and how many pieces were put aside by reason:
        TOO_SHORT counts pieces under `min_s`, NO_SPEECH turns in which VAD heard nothing."""
        if recording.decoded is None:
            raise RuntimeError("turns are cut in decoded recordings")
        found: list[Cut] = []
        refused: Counter[Reason] = Counter()
        for index, track in enumerate(recording.decoded.tracks):
            shortest = ceil(self.config.min_s * track.sample_rate_hz)
            for speaker in sorted({turn.speaker for turn in recording.turns[index]}):
                voice = _voice(recording, index, speaker)
                refused[Reason.NO_SPEECH] += voice.unheard_turns
                for cut in _cuts_of(voice, self.config):
                    if cut.region.n_samples < shortest:
                        refused[Reason.TOO_SHORT] += 1
                    else:
                        found.append(cut)
        found.sort(key=lambda cut: (cut.track_index, cut.region, cut.speaker or ""))
        transcript = Transcript(recording)
        told = [replace(cut, text=transcript.text_of(cut, len(found))) for cut in found]
        return told, {reason: count for reason, count in sorted(refused.items()) if count}


def utterance_of(recording: Recording, cut: Cut) -> Utterance:
    """The utterance with its 16 kHz samples, read from the spool; spans become 16 kHz samples from its start."""
    if recording.decoded is None:
        raise RuntimeError("turns are cut in decoded recordings")
    track = recording.decoded.tracks[cut.track_index]
    place = cut.region.rescaled(track.sample_rate_hz, ANALYSIS_RATE_HZ)
    samples = track.read_analysis(place.start_sample, place.end_sample)
    return Utterance(
        key=utterance_key(
            recording.recording_id, track.channel, cut.region.start_sample, cut.region.end_sample, cut.speaker
        ),
        recording_id=recording.recording_id,
        track=track,
        region=cut.region,
        speaker=cut.speaker,
        catalogue=recording.catalogue,
        samples=samples,
        speech=_from_start(cut.speech, place.start_sample, len(samples), track),
        overlap=_from_start(cut.overlap, place.start_sample, len(samples), track),
        text=cut.text,
        channel=recording.decoded.channel_measurements[cut.track_index],
        pauses=_pauses(recording, cut, track),
        models=recording.models,
    )


def _pauses(recording: Recording, cut: Cut, track: Track) -> Samples:
    return pauses_near(track, recording.speech[cut.track_index] if recording.speech else (), cut.region)


def _from_start(spans: Sequence[Region], start_16k: int, n_samples: int, track: Track) -> tuple[Region, ...]:
    """Native spans as 16 kHz samples from `start_16k`, within `n_samples`."""
    out: list[Region] = []
    for span in spans:
        start = rescale(span.start_sample, track.sample_rate_hz, ANALYSIS_RATE_HZ) - start_16k
        end = rescale(span.end_sample, track.sample_rate_hz, ANALYSIS_RATE_HZ) - start_16k
        if max(0, start) < min(n_samples, end):
            out.append(Region(max(0, start), min(n_samples, end)))
    return tuple(out)


@dataclass(frozen=True, slots=True)
class _Voice:
    """What one speaker says on one track, and what stands around it."""

    track_index: int
    track: Track
    speaker: str
    spoken: list[Region]
    """Speech within the speaker's turns."""
    others: list[Region]
    """Turns of other speakers."""
    foreign: list[Region]
    """What the speaker's utterances may not grow into: others' turns, and speech that is in no turn of theirs."""
    probability: NDArray[np.float32]
    unheard_turns: int
    is_one_text: bool


def _voice(recording: Recording, track_index: int, speaker: str) -> _Voice:
    decoded, turns = recording.decoded, recording.turns[track_index]
    if decoded is None:
        raise RuntimeError("turns are cut in decoded recordings")
    speech = recording.speech[track_index]
    own = merged(turn.region for turn in turns if turn.speaker == speaker)
    others = merged(turn.region for turn in turns if turn.speaker != speaker)
    foreign = merged([*others, *_unattributed(speech, own, EDGE_S * decoded.tracks[track_index].sample_rate_hz)])
    return _Voice(
        track_index=track_index,
        track=decoded.tracks[track_index],
        speaker=speaker,
        spoken=common(own, speech),
        others=others,
        foreign=foreign,
        probability=recording.speech_probability[track_index],
        unheard_turns=sum(1 for turn in own if not within(turn, speech)),
        is_one_text=_is_one_text(recording) and not foreign,
    )


def _is_one_text(recording: Recording) -> bool:
    """One speaker, and one text for all that is said."""
    row = recording.catalogue
    speakers = {turn.speaker for turns in recording.turns for turn in turns}
    return bool(row.text and row.text.strip()) and not row.text_spans and len(speakers) == 1


def _unattributed(speech: Sequence[Region], own: Sequence[Region], edge: float) -> list[Region]:
    """Speech outside the speaker's turns, but for what a turn leaves over at the edge of a speech region."""
    whole = set(speech)
    return [part for part in remaining(speech, own) if part in whole or part.n_samples > edge]


def _cuts_of(voice: _Voice, config: CutConfig) -> Iterator[Cut]:
    """Every piece of one speaker's speech in order, also those that are too short."""
    rate = voice.track.sample_rate_hz
    shortest, longest, pad = ceil(config.min_s * rate), floor(config.max_s * rate), round(config.pad_s * rate)
    atoms = _atoms(voice, pad)
    whole = bool(atoms) and atoms[-1].end_sample - atoms[0].start_sample <= longest
    max_pause = longest if voice.is_one_text and whole and config.keep_transcribed_whole else config.max_pause_s * rate
    for stretch in _stretches(atoms, voice.foreign, max_pause):
        parts = [
            part
            for atom in stretch
            for part in split(atom, voice.probability, rate, config.pause_probability, longest, shortest)
        ]
        for piece in partition(parts, shortest, longest):
            region = Region(piece[0].start_sample, piece[-1].end_sample)
            yield Cut(
                track_index=voice.track_index,
                region=region,
                speaker=voice.speaker or None,
                speech=tuple(merged(atom.speech for atom in piece)),
                overlap=tuple(within(region, voice.others)),
            )


def _atoms(voice: _Voice, pad: int) -> list[Atom]:
    """The speaker's speech, each part with up to `pad` samples of silence at either side: at most half of what lies
    between it and any other speech, so that no two utterances share a sample of silence."""
    occupied = merged([*voice.spoken, *voice.foreign])
    starts = [block.start_sample for block in occupied]
    atoms: list[Atom] = []
    for speech in voice.spoken:
        at = bisect_right(starts, speech.start_sample) - 1
        block = occupied[at]
        before = speech.start_sample if at == 0 else (speech.start_sample - occupied[at - 1].end_sample) // 2
        after = (
            voice.track.n_samples - speech.end_sample
            if at + 1 == len(occupied)
            else (starts[at + 1] - speech.end_sample) // 2
        )
        # A block that begins before this speech, or ends after it, is somebody else at its very edge.
        lead = min(pad, before) if block.start_sample == speech.start_sample else 0
        tail = min(pad, after) if block.end_sample == speech.end_sample else 0
        atoms.append(Atom(speech, lead, tail))
    return atoms


def _stretches(atoms: Sequence[Atom], foreign: Sequence[Region], max_pause: float) -> Iterator[list[Atom]]:
    """Runs of atoms with short pauses between them, in which nobody else is heard."""
    stretch: list[Atom] = []
    for atom in atoms:
        if stretch:
            end, start = stretch[-1].speech.end_sample, atom.speech.start_sample
            is_free = start <= end or not within(Region(end, start), foreign)
            if start - end > max_pause or not is_free:
                yield stretch
                stretch = []
            else:
                stretch[-1] = replace(stretch[-1], pause=start - end)
        stretch.append(atom)
    if stretch:
        yield stretch
