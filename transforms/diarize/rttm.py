"""RTTM, the field's text format for who speaks when (NIST RT-09, appendix A): one `SPEAKER` line per turn."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import isfinite

from schemas.errors import ConfigError


@dataclass(frozen=True, slots=True, order=True)
class RttmTurn:
    """One line: `speaker` is heard in `uri` from `start_s` to `end_s`. Channels count from 0, in the text from 1."""

    uri: str
    start_s: float
    end_s: float
    speaker: str
    channel: int = 0


def parse_rttm(text: str, where: str = "RTTM") -> list[RttmTurn]:
    """The turns of `text`, in its order. Lines of other types, comments (`;;`) and empty turns are passed over.

    Raises ConfigError that names `where` and the line.

    >>> parse_rttm("SPEAKER talk 1 0.500 1.250 <NA> <NA> anna <NA> <NA>")
    [RttmTurn(uri='talk', start_s=0.5, end_s=1.75, speaker='anna', channel=0)]
    """
    turns = []
    for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), 1):
        fields = line.split()
        if not fields or fields[0] != "SPEAKER":
            continue
        if (turn := _turn(fields, f"{where}, line {number}")).end_s > turn.start_s:
            turns.append(turn)
    return turns


def _turn(fields: Sequence[str], where: str) -> RttmTurn:
    if len(fields) < 8:
        raise ConfigError(f"{where}: a SPEAKER line has at least 8 fields, this one has {len(fields)}")
    try:
        channel, start_s, duration_s = int(fields[2]), float(fields[3]), float(fields[4])
    except ValueError:
        raise ConfigError(f"{where}: channel, start and duration are numbers, not {' '.join(fields[2:5])}") from None
    if not (isfinite(start_s) and isfinite(duration_s)) or start_s < 0 or duration_s < 0:
        raise ConfigError(f"{where}: start and duration are not negative, got {fields[3]} and {fields[4]}")
    # Some writers count channels from 0: both 0 and 1 are the first.
    return RttmTurn(fields[1], start_s, start_s + duration_s, fields[7], max(0, channel - 1))


def format_rttm(uri: str, turns: Iterable[tuple[int, float, float, str]]) -> str:
    """RTTM of `turns` (channel from 0, start and end in seconds, speaker), in order of time, to the millisecond.

    Fields are separated by blanks, so blanks in names become underscores.

    >>> format_rttm("my talk", [(0, 0.5, 1.75, "spk00")])
    'SPEAKER my_talk 1 0.500 1.250 <NA> <NA> spk00 <NA> <NA>\\n'
    """
    name = "_".join(uri.split())
    lines = []
    for channel, start_s, end_s, speaker in sorted(turns, key=lambda turn: (turn[1], turn[0], turn[2], turn[3])):
        start_ms, end_ms = round(start_s * 1000), round(end_s * 1000)
        # Both ends are rounded, not the length, so that turns that touch still touch.
        length_ms = end_ms - start_ms
        times = f"{start_ms / 1000:.3f} {length_ms / 1000:.3f}"
        lines.append(f"SPEAKER {name} {channel + 1} {times} <NA> <NA> {'_'.join(speaker.split())} <NA> <NA>\n")
    return "".join(lines)


def uri_forms(name: str) -> tuple[str, ...]:
    """The forms under which the same name may stand in an RTTM file, the most faithful first: as it is, composed
    (macOS decomposes the names of files), and without accents; each also with blanks as underscores.

    >>> uri_forms("café")
    ('café', 'cafe')
    """
    composed = unicodedata.normalize("NFC", name)
    plain = "".join(c for c in unicodedata.normalize("NFKD", name) if not unicodedata.combining(c))
    forms = [form for spelt in (composed, plain) for form in (spelt, "_".join(spelt.split()))]
    return tuple(dict.fromkeys(forms))


class RttmIndex:
    """Turns by recording, found under any spelling of its name."""

    def __init__(self, turns: Iterable[RttmTurn]) -> None:
        self._turns: dict[str, list[RttmTurn]] = {}
        for turn in turns:
            self._turns.setdefault(turn.uri, []).append(turn)
        self._spelt: dict[str, list[str]] = {}
        for uri in self._turns:
            for form in uri_forms(uri):
                self._spelt.setdefault(form, []).append(uri)

    def uris(self) -> list[str]:
        """The recordings it speaks of, in the order of the text."""
        return list(self._turns)

    def only(self) -> list[RttmTurn]:
        """The turns, where they are all of one recording; else none."""
        return next(iter(self._turns.values())) if len(self._turns) == 1 else []

    def of(self, names: Iterable[str]) -> list[RttmTurn]:
        """The turns of the recording that has one of these names, the first that is found; empty where none is.

        Another spelling is taken only where it means one recording: `trñ00` finds `trn00`, but not both `trn00` and
        `trń00`.
        """
        for name in names:
            if name in self._turns:
                return self._turns[name]
            for form in uri_forms(name):
                spelt = self._spelt.get(form, [])
                if len(spelt) == 1:
                    return self._turns[spelt[0]]
                if spelt:
                    break
        return []
