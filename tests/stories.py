"""The worked stories of docs/consent.md: files that stand in the page, commands as typed, what a terminal shows.

`python -m tests.stories` types them again and writes what is shown into the page. A fenced block whose language is
followed by a name is a file; a `console` block holds commands after `$ ` and what they print. What differs from day to
day is written `…`.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from click.testing import CliRunner

from provoice.cli.main import cli
from tests.speech import conversation, voice, write

REPOSITORY = Path(__file__).resolve().parents[1]
PAGE = REPOSITORY / "docs" / "consent.md"
_STORY = re.compile(r"^## Story: (?P<name>.+)$", re.MULTILINE)
_BLOCK = re.compile(r"^```(?P<kind>\w+)(?: (?P<file>\S+))?\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
_CHANGING = (
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z"), "…"),
    (re.compile(r"\b[0-9a-f]{64}\b"), "…"),
    (re.compile(r"\b[0-9a-f]{32}\b"), "…"),
    (re.compile(r"\b(\d{6,7})-[0-9a-f]{8,12}\b"), r"\1-…"),
    (re.compile(r"\b\d{19}-\d+\b"), "…"),
    (re.compile(r" \d\d:\d\d(:\d\d)?\s+UTC"), ""),
    (re.compile(r"\b(in|about|cost +|pace +) ?\d[\d.,]* m?s\b"), r"\1 … s"),
)


def _stranger(folder: Path) -> None:
    """A reporter on a street; somebody who passes by says a few sentences."""
    reporter, passer_by = voice("speaker90", 14.0), voice("speaker91", 7.0)
    half = len(reporter) // 2
    write(folder / "street.wav", np.concatenate([reporter[:half], passer_by, reporter[half:]]))


def _narrator(folder: Path) -> None:
    write(folder / "dragons.wav", voice("speaker90", 14.0))


def _podcast(folder: Path) -> None:
    write(folder / "episode-12.wav", conversation())
    write(folder / "trailer.wav", voice("speaker90", 14.0))


RECORDINGS: dict[str, Callable[[Path], None]] = {
    "a narrator who allows one genre, until a date": _narrator,
    "a podcast guest who withdraws": _podcast,
    "a voice that nobody asked": _stranger,
}


def stories(text: str) -> Iterator[tuple[str, int, int]]:
    """Name, begin and end of every story in the page."""
    found = list(_STORY.finditer(text))
    for match, after in zip(found, [*found[1:], None], strict=True):
        end = re.search(r"^## ", text[match.end() :], re.MULTILINE)
        stop = match.end() + end.start() if end else len(text)
        yield match["name"], match.end(), min(stop, after.start() if after else len(text))


def told(name: str, text: str, folder: Path) -> str:
    """The story's text once more, with what the commands print now."""
    RECORDINGS[name](folder / "recordings")
    (folder / "configs").symlink_to(REPOSITORY / "configs")
    with _within(folder):
        return _BLOCK.sub(lambda block: _block(block, folder), text)


def _block(block: re.Match[str], folder: Path) -> str:
    if block["kind"] != "console":
        if block["file"]:
            (folder / block["file"]).write_text(block["body"], encoding="utf-8")
        return block[0]
    commands = re.findall(r"^\$ (.*(?:\\\n.*)*)", block["body"], re.MULTILINE)
    return "```console\n" + "".join(f"$ {command}\n{_steady(_typed(command), folder)}" for command in commands) + "```"


def _typed(command: str) -> str:
    """What the terminal shows; an exit code other than 0 is shown as a shell's prompt would."""
    program, *words = shlex.split(command.replace("\\\n", " "))
    if program == "provoice":
        result = CliRunner().invoke(cli, words)
        said, code = result.output, result.exit_code
    else:
        done = subprocess.run(
            [{"python": sys.executable}.get(program, program), *words],
            capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        )  # fmt: skip
        said, code = done.stdout + done.stderr, done.returncode
    return said + (f"[exit {code}]\n" if code else "")


def _steady(said: str, folder: Path) -> str:
    for pattern, instead in _CHANGING:
        said = pattern.sub(instead, said)
    said = said.replace(f"{folder}/", "").replace(f"{datetime.now(UTC):%Y-%m-%d}", "…")
    return "".join(f"{line.rstrip()}\n" for line in said.splitlines())


@contextmanager
def _within(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def main() -> None:
    """Types every story and rewrites the page."""
    text = PAGE.read_text(encoding="utf-8")
    for name, begin, end in reversed(list(stories(text))):
        with tempfile.TemporaryDirectory(prefix="story-") as folder:
            text = text[:begin] + told(name, text[begin:end], Path(folder).resolve()) + text[end:]
    PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
