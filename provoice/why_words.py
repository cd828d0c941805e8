"""The story of a recording or an utterance in plain words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime

from provoice.history import Row, SourceStory, Story
from provoice.reasons import help_for
from provoice.words import hours, several
from schemas.consent import Binding
from schemas.tables import MEASUREMENTS

_KEYS_SHOWN = 5
_WAITS = "nothing of it is published; it is planned again when the decision changes"
_BOUND = {
    Binding.SOLE: "bound as the only voice in it",
    Binding.CHANNEL: "bound by a channel of their own",
    Binding.SPANS: "bound by the catalogue's spans",
    Binding.ENROLLED: "bound by their enrolled voice",
    Binding.RECORDING: "bound as everybody in the recording is",
}


def told(story: Story) -> str:
    """The utterance first, where one was asked for, then its source."""
    parts = [] if story.utterance is None else [_utterance(story.utterance, story.standing)]
    parts += [_source(source, story) for source in story.sources]
    return "\n".join("\n".join(lines) + "\n" for lines in parts)


def _utterance(row: Row, standing: Mapping[str, Row]) -> list[str]:
    measured = [f"{name} {row[name]:g}" for name in MEASUREMENTS if row[name] is not None]
    missing = [name for name in MEASUREMENTS if row[name] is None]
    rate = row["sample_rate_hz"]
    lines = [
        f"utterance {row['key']}" + ("" if row["is_current"] else "  (superseded)"),
        f"  {row['start_sample'] / rate:.3f} s to {row['end_sample'] / rate:.3f} s of the recording: "
        f"{row['duration_s']:.2f} s, {rate} Hz, channel {row['channel']}"
        + (f", speaker {row['speaker']}" if row["speaker"] else ""),
        f"  measured: {', '.join(measured) or 'nothing'}",
    ]
    if missing:
        lines.append(f"  could not be measured: {', '.join(missing)}")
    lines += [f"  note: {flag}" for flag in row["quality_flags"] or ()]
    if row["accent"]:
        accent = row["accent"]
        score = "" if accent["score"] is None else f", score {accent['score']:.2f}"
        lines.append(f"  accent: {accent['label']} ({accent['origin']}, label set {accent['label_set']}{score})")
    if row["text"]:
        lines.append(f"  text: {row['text'] if len(row['text']) <= 200 else row['text'][:199] + '…'}")
    lines += _consent(row, standing, is_utterance=True)
    places = [_bytes(row, "audio", "audio"), _bytes(row, "json", "row as JSON"), _bytes(row, "text", "text")]
    return [*lines, f"  lies in {row['shard']}: {', '.join(place for place in places if place)}"]


def _bytes(row: Row, member: str, what: str) -> str:
    offset, size = row[f"{member}_offset"], row[f"{member}_size"]
    return "" if offset is None else f"{what} at byte {offset}, {size} bytes"


def _consent(row: Row, standing: Mapping[str, Row], *, is_utterance: bool = False) -> Iterator[str]:
    people = row["consent"] or ()
    state = "everybody heard is listed" if row["consent_complete"] else "perhaps not everybody: no release takes it"
    yield f"  consent: {several(len(people), 'person', 'people')}; {state}"
    for link in people:
        # A recording carries all its people; how each utterance came to hers stands on the utterance.
        how = f", {_BOUND.get(link['binding'], link['binding'])}" if is_utterance else ""
        grant = link["grant_id"]
        on = "taken in without a grant" if grant is None else f"taken in on grant {grant}, {_now(standing.get(grant))}"
        yield f"    {link['subject_id']} ({link['role']}{how}): {on}"


def _now(grant: Row | None) -> str:
    if grant is None:
        return "of which the ledger knows nothing"
    if grant["standing"] == "valid":
        return f"now valid until {grant['valid_until']:%Y-%m-%d}"
    return f"now {grant['standing'].replace('_', ' ')}"


def _source(source: SourceStory, story: Story) -> list[str]:
    if not source.rows and not source.waiting_in:
        return [f"source {source.path}  (root {source.root})", *_collected(source)]
    if not source.rows:
        waiting = source.waiting_in[0]
        state = "was closed before it was committed" if waiting["is_closed"] else "has not committed it yet"
        lines = [f"source {source.path}  (root {source.root})"]
        return [*lines, f"  planned by run {waiting['run_id']}, unit {waiting['unit_id']}, which {state}"]
    row = next((row for row in source.rows if row["is_current"]), source.rows[0])
    lines = [
        f"source {source.path}  (root {source.root}, version {row['source_version']})",
        f"  recording {row['recording_id']}, run {row['run_id']}, unit {row['unit_id']}",
        *_became(row),
        *_sound(row),
    ]
    if row["status"] == "emitted":
        lines += _consent(row, story.standing)
    if row["ledger_position"] is not None:
        lines.append(f"  decided at ledger position {row['ledger_position']}, {_instant(row['decided_at'])}")
    if story.utterance is None:
        lines += _keys(source)
    return [*lines, *_before(source, row)]


def _became(row: Row) -> Iterator[str]:
    if row["status"] == "emitted":
        voices = "" if row["voices"] is None else f" of {several(row['voices'], 'voice')}"
        yield (
            f"  emitted: {several(row['utterances'], 'utterance')}, {hours(row['utterance_s'])}, "
            f"from {hours(row['speech_s'] or 0)} of speech{voices}"
        )
    else:
        reason, detail = row["reason"], row["detail"] or ""
        # A denial's detail begins with its reason, for there may be several.
        said = detail if detail.startswith(f"{reason}:") else f"{reason}: {detail}"
        yield f"  {row['status']} at {row['stage']}: {said}"
        yield f"    {help_for(row['status'], row['reason'])}"
        if row["status"] == "held":
            yield f"    {_WAITS}"
        elif row["retriable"]:
            yield "    the next run plans it again"
    for entry in row["utterances_rejected"] or ():
        yield f"  cuts put aside: {entry['count']:,} {entry['reason']} ({help_for('rejected', entry['reason'])})"


def _sound(row: Row) -> Iterator[str]:
    if row["duration_s"] is not None:
        yield (
            f"  {row['container']}, {row['codec']}, read by {row['decoder']}: {hours(row['duration_s'])}, "
            f"{row['sample_rate_hz']} Hz, {several(row['channels'], 'channel')} ({row['downmix']})"
        )
    for note in row["notes"] or ():
        yield f"  note: {note}"


def _keys(source: SourceStory) -> Iterator[str]:
    for row in source.utterances[:_KEYS_SHOWN]:
        rate = row["sample_rate_hz"]
        yield f"  {row['key']}  {row['start_sample'] / rate:.2f}–{row['end_sample'] / rate:.2f} s"
    if len(source.utterances) > _KEYS_SHOWN:
        yield f"  … and {len(source.utterances) - _KEYS_SHOWN:,} more"


def _before(source: SourceStory, shown: Row) -> Iterator[str]:
    """What the other runs made of it, newest first."""
    others = [row for row in source.rows if row is not shown]
    if others or source.collected_in:
        yield "  other runs and versions:"
    for row in others:
        version = "" if row["source_version"] == shown["source_version"] else f", version {row['source_version']}"
        made = several(row["utterances"] or 0, "utterance")
        said = f"{row['status']} ({row['reason']})" if row["reason"] else f"emitted, {made}"
        yield f"    run {row['run_id']}{version}: {said}; {_why_not(row, shown)}"
    yield from _collected(source)


def _collected(source: SourceStory) -> Iterator[str]:
    for unit in source.collected_in:
        yield (
            f"    run {unit['run_id']}, unit {unit['unit_id']}: superseded, and removed by `provoice gc` on "
            f"{unit['collected_at']:%Y-%m-%d}"
        )


def _why_not(row: Row, shown: Row) -> str:
    if row["run_number"] < shown["run_number"]:
        return "superseded"
    if row["status"] == "rejected" and row["retriable"]:
        return "supersedes nothing, for it is tried again"
    return "supersedes nothing, for it only explored"


def _instant(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"
