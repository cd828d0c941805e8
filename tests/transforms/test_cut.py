"""Cutting turns: laws over random conversations, and cases with known answers."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.catalogue import CatalogueRow
from schemas.errors import ConfigError, Reason
from schemas.model import parse
from schemas.sound import Region, Turn, merged, total_samples
from tests.transforms.builders import bare_track, noise, recording_of, track_of, voice
from transforms.cut import Cut, CutConfig, CutTurns, utterance_of
from transforms.items import Recording
from transforms.spans import common, remaining, within
from transforms.vad import EDGE_S, DetectSpeech, VadConfig

RATE = 16_000


def _region(start_s: float, end_s: float, rate: int = RATE) -> Region:
    return Region(round(start_s * rate), round(end_s * rate))


def _said(
    *turns: tuple[float, float, str],
    speech: list[tuple[float, float]] | None = None,
    length_s: float = 200.0,
    dips: list[tuple[float, float, float]] | None = None,
    catalogue: CatalogueRow | None = None,
) -> Recording:
    """A recording whose speech is its turns (or `speech`), in seconds; `dips` set the probability."""
    regions = [_region(*span) for span in speech] if speech is not None else [_region(a, b) for a, b, _ in turns]
    probability = np.full(-(-round(length_s * RATE) // 512), 0.9, np.float32)
    for start_s, end_s, value in dips or []:
        probability[round(start_s * RATE / 512) : round(end_s * RATE / 512)] = value
    return recording_of(
        bare_track(round(length_s * RATE)),
        catalogue,
        speech=[merged(regions)],
        turns=[[Turn(_region(a, b), who) for a, b, who in turns]],
        speech_probability=[probability],
    )


def _cut(recording: Recording, **config: float | bool) -> tuple[list[tuple[float, float]], dict[Reason, int]]:
    cuts, refused = CutTurns(parse(CutConfig, config, "cut")).cuts(recording)
    return [(round(c.region.start_sample / RATE, 3), round(c.region.end_sample / RATE, 3)) for c in cuts], refused


# -- cases ---------------------------------------------------------------------------------------------------------


def test_a_turn_is_padded_within_silence_and_within_the_recording() -> None:
    assert _cut(_said((5, 10, "a"))) == ([(4.9, 10.1)], {})
    assert _cut(_said((0.02, 9.97, "a"), length_s=10.0)) == ([(0.0, 10.0)], {})


def test_it_parts_at_long_pauses_and_not_at_short_ones() -> None:
    recording = _said((5, 10, "a"), (10.5, 15, "a"), (16, 20, "a"))
    assert _cut(recording)[0] == [(4.9, 15.1), (15.9, 20.1)]
    assert _cut(recording, max_pause_s=1.5)[0] == [(4.9, 20.1)]
    assert _cut(recording, max_pause_s=0.2)[0] == [(4.9, 10.1), (10.4, 15.1), (15.9, 20.1)]


def test_two_utterances_share_no_silence() -> None:
    assert _cut(_said((5, 10, "a"), (10.1, 15, "b")))[0] == [(4.9, 10.05), (10.05, 15.1)]


def test_short_pieces_are_joined_and_what_stays_short_is_counted() -> None:
    recording = _said((5, 5.6, "a"), (6, 6.5, "a"), (20, 20.7, "a"), (30, 33, "a"))
    assert _cut(recording) == ([(4.9, 6.6), (29.9, 33.1)], {Reason.TOO_SHORT: 1})


def test_a_pause_in_which_somebody_else_speaks_parts_it() -> None:
    recording = _said((5, 10, "a"), (10.2, 10.5, "b"), (10.7, 15, "a"))
    assert _cut(recording) == ([(4.9, 10.1), (10.6, 15.1)], {Reason.TOO_SHORT: 1})


def test_speech_that_is_in_nobodys_turn_is_not_published() -> None:
    recording = _said((5, 10, "a"), (10.7, 15, "a"), speech=[(5, 10), (10.2, 10.5), (10.7, 17)])
    assert _cut(recording)[0] == [(4.9, 10.1), (10.6, 15.0)]


def test_the_edge_that_vad_hears_beyond_a_tight_turn_does_not_part_it() -> None:
    recording = _said((5, 10, "a"), (10.6, 15, "a"), speech=[(4.9, 10.15), (10.5, 15.1)])
    assert _cut(recording)[0] == [(4.9, 15.1)]


def test_another_speakers_turn_within_ones_own_is_overlap() -> None:
    recording = _said((5, 15, "a"), (8, 9.5, "b"))
    cuts, _ = CutTurns(CutConfig()).cuts(recording)
    assert [(cut.speaker, cut.region) for cut in cuts] == [("a", _region(4.9, 15.1)), ("b", _region(8, 9.5))]
    assert cuts[0].overlap == (_region(8, 9.5),)
    assert cuts[1].overlap == (_region(8, 9.5),)


def test_a_long_stretch_parts_at_its_longest_pauses() -> None:
    recording = _said((0, 10, "a"), (10.3, 18, "a"), (18.7, 27, "a"), (27.2, 40, "a"))
    assert _cut(recording)[0] == [(0.0, 18.1), (18.6, 40.1)]


def test_speech_without_a_silence_parts_at_a_short_pause() -> None:
    recording = _said((0, 50, "a"), dips=[(10, 10.04, 0.05), (24, 24.13, 0.1), (26, 26.064, 0.3)])
    assert _cut(recording)[0] == [(0.0, 24.064), (24.064, 50.1)]


def test_speech_without_any_pause_parts_at_the_least_probable_frame() -> None:
    recording = _said((0, 50, "a"), dips=[(3, 3.1, 0.2), (26, 26.032, 0.3)])
    assert _cut(recording)[0] == [(0.0, 26.0), (26.0, 50.1)]


def test_never_into_a_word_where_there_is_a_pause() -> None:
    # The silence makes a piece of 29 s; the dips would make better halves.
    recording = _said((0, 2, "a"), (2.3, 31, "a"), dips=[(15, 15.13, 0.0), (20, 20.1, 0.0)])
    assert _cut(recording)[0] == [(0.0, 2.1), (2.2, 31.1)]


def test_speech_that_just_fits_takes_less_silence_along_and_is_not_cut() -> None:
    assert _cut(_said((5, 34.9, "a"))) == ([(4.95, 34.95)], {})
    assert _cut(_said((5, 35, "a"))) == ([(5.0, 35.0)], {})
    assert len(_cut(_said((5, 35.001, "a")))[0]) == 2


def test_turns_without_speech_are_counted() -> None:
    recording = _said((5, 10, "a"), (50, 60, "a"), (70, 71, "b"), speech=[(5, 10)])
    assert _cut(recording) == ([(4.9, 10.1)], {Reason.NO_SPEECH: 2})


def test_one_text_keeps_one_speakers_recording_whole() -> None:
    one_text = CatalogueRow(text="all of it")
    turns = ((1.0, 5.0, "a"), (8.0, 12.0, "a"))
    assert len(_cut(_said(*turns))[0]) == 2
    assert _cut(_said(*turns, catalogue=one_text))[0] == [(0.9, 12.1)]
    assert len(_cut(_said(*turns, catalogue=one_text), keep_transcribed_whole=False)[0]) == 2
    assert len(_cut(_said(*turns, (40, 45, "a"), catalogue=one_text))[0]) == 3
    assert len(_cut(_said((1, 5, "a"), (8, 12, "b"), catalogue=one_text))[0]) == 2
    assert len(_cut(_said(*turns, catalogue=CatalogueRow(text=" ")))[0]) == 2
    with_a_stranger = _said(*turns, speech=[(1, 5), (8, 12), (20, 22)], catalogue=one_text)
    assert len(_cut(with_a_stranger)[0]) == 2


def test_nonsense_is_refused() -> None:
    for wrong in ({"min_s": 0}, {"min_s": 20}, {"max_s": 1.9}, {"max_pause_s": -1}, {"longest": 3}):
        with pytest.raises(ConfigError):
            parse(CutConfig, wrong, "cut")


# -- laws ----------------------------------------------------------------------------------------------------------


@st.composite
def _conversations(draw: st.DrawFn) -> Recording:
    """Speech regions of all lengths; most lie in somebody's turn, some in parts of turns, some in several, some in
    none; turns reach beyond speech; some tracks are silent."""
    rate = draw(st.sampled_from([8_000, 11_025, 16_000, 44_100]))
    tracks, speech, turns, probability = [], [], [], []
    for channel in range(draw(st.integers(1, 2))):
        at, regions, found = draw(st.floats(0, 2)), [], []
        for _ in range(draw(st.integers(0, 12))):
            length = draw(st.one_of(st.floats(0.15, 3), st.floats(3, 20), st.floats(20, 80)))
            region = _region(at, at + length, rate)
            regions.append(region)
            for who in draw(st.lists(st.sampled_from("abc"), max_size=2)):
                start = region.start_sample + draw(st.integers(-rate, region.n_samples - 1))
                end = min(start + 1, region.end_sample) + draw(st.integers(1, region.n_samples + rate))
                if draw(st.booleans()):
                    start, end = region.start_sample, region.end_sample
                found.append(Turn(Region(max(0, start), max(1, end)), f"{who}{channel}"))
            at += length + draw(st.one_of(st.floats(0.02, 1.5), st.floats(1.5, 5)))
        n_samples = round((at + 1) * rate)
        tracks.append(bare_track(n_samples, rate, channel))
        speech.append(merged(regions))
        ends = [Turn(Region(t.region.start_sample, min(n_samples, t.region.end_sample)), t.speaker) for t in found]
        turns.append(ends)
        rng = np.random.default_rng(draw(st.integers(0, 99)))
        n_frames = -(-n_samples * 16_000 // rate // 512) + 1
        probability.append(rng.choice(np.array([0.05, 0.5, 0.95], np.float32), n_frames, p=[0.02, 0.08, 0.9]))
    return recording_of(tracks, speech=speech, turns=turns, speech_probability=probability)


CONFIGS = st.builds(
    CutConfig,
    min_s=st.sampled_from([0.5, 1.0, 2.0]),
    max_s=st.sampled_from([6.0, 15.0, 30.0]),
    pad_s=st.sampled_from([0.0, 0.1, 0.4]),
    max_pause_s=st.sampled_from([0.0, 0.3, 0.8, 3.0]),
)


def _own(recording: Recording, cut: Cut) -> tuple[list[Region], list[Region], list[Region]]:
    """The speaker's turns, the speech within them, and the turns of others on the track."""
    turns = recording.turns[cut.track_index]
    own = merged(turn.region for turn in turns if turn.speaker == cut.speaker)
    others = merged(turn.region for turn in turns if turn.speaker != cut.speaker)
    return own, common(own, recording.speech[cut.track_index]), others


@settings(max_examples=150, deadline=None)
@given(_conversations(), CONFIGS)
def test_cuts_are_long_enough_short_enough_and_in_order(recording: Recording, config: CutConfig) -> None:
    cuts, _ = CutTurns(config).cuts(recording)
    assert recording.decoded is not None
    rate = recording.decoded.sample_rate_hz
    for cut in cuts:
        assert config.min_s * rate <= cut.region.n_samples <= config.max_s * rate
        assert cut.region.end_sample <= recording.decoded.tracks[cut.track_index].n_samples
    assert cuts == sorted(cuts, key=lambda cut: (cut.track_index, cut.region, cut.speaker))
    for voice_of in {(cut.track_index, cut.speaker) for cut in cuts}:
        own = [cut.region for cut in cuts if (cut.track_index, cut.speaker) == voice_of]
        assert all(a.end_sample <= b.start_sample for a, b in pairwise(own))


@settings(max_examples=150, deadline=None)
@given(_conversations(), CONFIGS)
def test_cuts_hold_ones_own_speech_short_pauses_and_a_little_silence(recording: Recording, config: CutConfig) -> None:
    assert recording.decoded is not None
    rate = recording.decoded.sample_rate_hz
    for cut in CutTurns(config).cuts(recording)[0]:
        own, spoken, others = _own(recording, cut)
        assert list(cut.speech) == within(cut.region, spoken)
        assert list(cut.overlap) == within(cut.region, others)
        beyond = remaining([cut.region], spoken)
        for part in beyond:
            at_edge = part.start_sample == cut.region.start_sample or part.end_sample == cut.region.end_sample
            assert part.n_samples <= (config.pad_s if at_edge else config.max_pause_s) * rate + 1
            # Nobody else's turn, and no speech of nobody's but for what a tight turn leaves at an edge.
            assert not within(part, others)
            for stray in within(part, remaining(recording.speech[cut.track_index], own)):
                assert stray.n_samples <= EDGE_S * rate


@settings(max_examples=150, deadline=None)
@given(_conversations(), CONFIGS)
def test_all_speech_of_a_turn_is_in_a_cut_or_counted(recording: Recording, config: CutConfig) -> None:
    cuts, refused = CutTurns(config).cuts(recording)
    assert recording.decoded is not None
    shortest = config.min_s * recording.decoded.sample_rate_hz
    missing = unheard = 0
    for index, speech in enumerate(recording.speech):
        for speaker in {turn.speaker for turn in recording.turns[index]}:
            own = merged(turn.region for turn in recording.turns[index] if turn.speaker == speaker)
            unheard += sum(not within(turn, speech) for turn in own)
            taken = [part for cut in cuts if (cut.track_index, cut.speaker) == (index, speaker) for part in cut.speech]
            left = remaining(common(own, speech), merged(taken))
            assert all(part.n_samples < shortest for part in left)
            missing += total_samples(left)
    assert missing <= refused.get(Reason.TOO_SHORT, 0) * shortest
    assert (missing == 0) == (Reason.TOO_SHORT not in refused)
    assert refused.get(Reason.NO_SPEECH, 0) == unheard


@settings(max_examples=150, deadline=None)
@given(_conversations(), CONFIGS)
def test_no_cut_goes_through_speech_that_fits(recording: Recording, config: CutConfig) -> None:
    assert recording.decoded is not None
    rate = recording.decoded.sample_rate_hz
    for cut in CutTurns(config).cuts(recording)[0]:
        _, spoken, _ = _own(recording, cut)
        for part in spoken:
            through = any(
                part.start_sample < edge < part.end_sample for edge in (cut.region.start_sample, cut.region.end_sample)
            )
            assert not through or part.n_samples > int(config.max_s * rate)


@settings(max_examples=50, deadline=None)
@given(_conversations(), CONFIGS, st.randoms(use_true_random=False))
def test_the_order_of_turns_does_not_matter_and_keys_are_unique(
    recording: Recording, config: CutConfig, chance: object
) -> None:
    cuts, refused = CutTurns(config).cuts(recording)
    shuffled = tuple(tuple(sorted(turns, key=lambda _: chance.random())) for turns in recording.turns)  # type: ignore[attr-defined]
    assert CutTurns(config).cuts(replace(recording, turns=shuffled)) == (cuts, refused)
    names = [(cut.track_index, cut.region, cut.speaker) for cut in cuts]
    assert len(set(names)) == len(names)


# -- with samples --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100, 48_000])
def test_an_utterance_has_its_samples_and_its_spans_from_its_start(rate: int, tmp_path: Path) -> None:
    sound = np.arange(20 * RATE, dtype=np.float32) / (20 * RATE)
    track = track_of(tmp_path, sound, rate)
    recording = recording_of(
        track,
        speech=[[_region(3, 6, rate), _region(6.4, 9, rate)]],
        turns=[[Turn(_region(3, 9, rate), "spk00"), Turn(_region(8, 12, rate), "spk01")]],
        speech_probability=[np.full(625, 0.9, np.float32)],
    )
    cuts, _ = CutTurns(CutConfig()).cuts(recording)
    assert [cut.speaker for cut in cuts] == ["spk00", "spk01"]
    one = utterance_of(recording, cuts[0])
    assert one.region == _region(2.9, 9, rate)
    np.testing.assert_array_equal(one.samples, sound[round(2.9 * RATE) : 9 * RATE])
    assert one.speech == (_region(0.1, 3.1), _region(3.5, 6.1))
    assert one.overlap == (_region(5.1, 6.1),)
    assert one.key == f"{recording.recording_id}-c0-{one.region.start_sample:012d}-{one.region.end_sample:012d}-spk00"
    assert len(one.track.read(one.region)) == one.region.n_samples


def test_keys_are_unique_over_tracks_and_speakers(tmp_path: Path) -> None:
    tracks = [track_of(tmp_path, noise(30, -60, seed=n), channel=n) for n in (0, 1)]
    region = _region(5, 9)
    recording = recording_of(
        tracks,
        speech=[[region], [region]],
        turns=[[Turn(region, "spk00"), Turn(region, "spk01")], [Turn(region, "spk02")]],
        speech_probability=[np.full(938, 0.9, np.float32)] * 2,
    )
    cuts, _ = CutTurns(CutConfig()).cuts(recording)
    keys = [utterance_of(recording, cut).key for cut in cuts]
    assert len(keys) == len(set(keys)) == 3
    assert [key.split("-")[1] for key in keys] == ["c0", "c0", "c1"]


def test_a_turn_without_a_label_gives_a_key_without_one(tmp_path: Path) -> None:
    recording = recording_of(
        track_of(tmp_path, noise(30, -60)),
        speech=[[_region(5, 9)]],
        turns=[[Turn(_region(5, 9), "")]],
        speech_probability=[np.full(938, 0.9, np.float32)],
    )
    (cut,), _ = CutTurns(CutConfig()).cuts(recording)
    made = utterance_of(recording, cut)
    assert made.speaker is None
    assert made.key.endswith(f"{cut.region.end_sample:012d}")


def test_from_sound_to_utterances(tmp_path: Path) -> None:
    """VAD and cutting together, on a made voice whose pauses are known: 2 s apart, and 0.4 s within."""
    parts = []
    for n in range(4):
        parts += [voice(3, seed=n), noise(0.4, -70, n), voice(2, seed=9 + n), noise(2, -70, n)]
    detect = DetectSpeech(VadConfig())
    detect.open()
    (heard,) = detect([recording_of(track_of(tmp_path, np.concatenate(parts), 44_100))])
    assert isinstance(heard, Recording)
    spoken = replace(heard, turns=(tuple(Turn(region, "spk00") for region in heard.speech[0]),))
    cuts, refused = CutTurns(CutConfig()).cuts(spoken)
    assert refused == {}
    assert [round(cut.region.start_sample / 44_100 / 7.4, 1) for cut in cuts] == [0, 1, 2, 3]
    for cut in cuts:
        made = utterance_of(spoken, cut)
        assert made.duration_s == pytest.approx(5.4 + 2 * 0.1, abs=EDGE_S)
        assert len(made.samples) == pytest.approx(made.duration_s * RATE, abs=1)
