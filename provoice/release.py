"""What `provoice release create`, `list` and `show` print."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Sequence

import pyarrow.compute as pc

from lake.lake import Lake
from lake.releases import list_releases, read_release
from pipelines.release.account import allowed, share
from pipelines.release.create import Chosen, Wanted, create, preview
from pipelines.uses import read_use
from provoice.lineage import lineage, of_release
from provoice.words import hours, several
from schemas.consent import TERMS, Use
from schemas.errors import ConfigError
from schemas.instants import to_text
from schemas.model import parse
from schemas.releases import SMALLEST_GROUP, Attrition, Demands, ReleaseRecord, Share

_WIDTH = 78


def create_release(
    lake_uri: str, name: str, use_file: str, where: str | None, *, dry_run: bool, max_ledger_age_s: float | None,
    record_openings: bool, if_changed: bool = False, as_json: bool,
) -> tuple[str, bool]:  # fmt: skip
    """What is said at the end, and whether nothing is left because people do not allow it."""
    lake = Lake.open(lake_uri)
    demands = _demands(max_ledger_age_s, record_openings)
    wanted = Wanted(_checked(name), read_use(use_file), where, demands, if_changed=if_changed)
    if dry_run:
        chosen, record = preview(lake, wanted), None
        text = json.dumps(_funnel_object(chosen)) + "\n" if as_json else funnel(chosen, wanted.use)
        return text, False
    with lineage("release") as told:
        told.start(lambda: of_release(lake, None))
        chosen, record = create(lake, wanted)
        told.know(lambda: of_release(lake, record))
    if record is not None:
        return (record.model_dump_json() + "\n" if as_json else shown(record)), False
    if not chosen.after(chosen.last).utterances:
        raise ConfigError("nothing matches, so no release was made; --dry-run shows which clause leaves nothing")
    return "nothing that matches is allowed, so no release was made\n\n" + funnel(chosen, wanted.use), True


def list_text(lake_uri: str, as_json: bool) -> str:
    """Each release in a line."""
    found = list_releases(Lake.open(lake_uri))
    if as_json:
        return "".join(one.model_dump_json(exclude={"index", "attrition"}) + "\n" for one in found)
    if not found:
        return f"{lake_uri} has no release yet; `provoice release create` makes one\n"
    names = [f"{one.name}@{one.version}" for one in found]
    width = max(map(len, names))
    return "".join(
        f"{name:<{width}}  {to_text(one.decided_at)[:10]}  {one.use.action:<12}  {_figures(one.chosen)}"
        f"{_replacement(one)}\n"
        for name, one in zip(names, found, strict=True)
    )


def show_text(lake_uri: str, name: str, version: int | None, *, as_json: bool) -> str:
    """A release as a person reads it, or as it is stored."""
    record = read_release(Lake.open(lake_uri), name, version)
    return record.model_dump_json() + "\n" if as_json else shown(record)


def shown(record: ReleaseRecord) -> str:
    """A release on one screen: what for, what is in it, what was left out, how groups fared."""
    vocabulary = f", vocabulary {record.vocabulary_version}" if record.vocabulary_version else ""
    snapshot = f", snapshot {record.snapshot}" if record.snapshot is not None else ""
    lines = [
        f"release {record.name}@{record.version}: {_figures(record.chosen)}{_replacement(record)}",
        *(
            _wrapped(
                "  replaces  ",
                f"version {record.replaces.version} ({record.replaces.sha256[:16]}…), of which "
                f"{_figures(record.replaces.left_out)} were erased",
            )
            if record.replaces
            else ()
        ),
        *_wrapped("  for       ", said(record.use)),
        *_wrapped("  where     ", record.where or "every utterance"),
        *_wrapped(
            "  decided   ",
            f"{to_text(record.decided_at)}, ledger position {record.ledger_position}{vocabulary}{snapshot}",
        ),
        f"  demands   the ledger seen within {record.demands.max_ledger_age_s:g} s"
        + ("; every opening recorded" if record.demands.record_openings else ""),
        f"  digest    {record.sha256}",
        "",
        *_table(_steps_of(record)),
    ]
    for name, groups in record.attrition.items():
        if any(not one.is_suppressed and one.value is not None for one in groups):
            name = "people, by how much of theirs is in it" if name == "subject" else name
            lines += ["", *_table([(name, None), *(_fared(one) for one in groups)], ("there", "chosen"))]
    return "\n".join(lines) + "\n"


def _replacement(record: ReleaseRecord) -> str:
    if record.replaced is None:
        return ""
    by = record.replaced.by
    return f"; replaced by {record.name}@{by}" if by is not None else "; gone, for all of it was erased"


def funnel(chosen: Chosen, use: Use) -> str:
    """What is left after each clause and each denial."""
    at = f"as of {to_text(chosen.considered.at)}, ledger position {chosen.considered.position}"
    return "\n".join([*_wrapped("for ", said(use)), at, "", *_table(list(_steps(chosen)))]) + "\n"


def said(use: Use) -> str:
    """A request in a line; terms that ask for everything are left to the end."""
    narrow = [f"{term} {getattr(use, term)}" for term in TERMS if getattr(use, term) != "any"]
    rest = "" if len(narrow) == len(TERMS) else "any other term" if narrow else "any term"
    return ", ".join([use.action.value, *narrow, *([rest] if rest else []), f"until {to_text(use.until)}"])


def _wrapped(head: str, text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent=head, subsequent_indent=" " * len(head), break_long_words=False)


def _steps(chosen: Chosen) -> Iterator[tuple[str, Share | None]]:
    yield "current utterances", chosen.after(0)
    for number, clause in enumerate(chosen.considered.where.clauses, 1):
        yield f"  {clause}", chosen.after(number)
    gone: list[str] = []
    for reason in chosen.denied:
        gone.append(reason)
        left = chosen.cells.filter(pc.invert(pc.fill_null(pc.is_in(chosen.cells["reason"], _strings(gone)), False)))
        yield f"  without what is denied: {reason}", share(left, chosen.last)
    yield "allowed", share(allowed(chosen.cells), chosen.last)


def _steps_of(record: ReleaseRecord) -> list[tuple[str, Share | None]]:
    denied = [(f"  denied: {reason}", one) for reason, one in record.denied.items()]
    return [("current utterances", record.candidates), ("matching", record.matching), *denied, ("in it", record.chosen)]


def _table(rows: Sequence[tuple[str, Share | None]] | Sequence[tuple[str, tuple[Share | None, Share | None] | None]],
           columns: Sequence[str] = ()) -> list[str]:  # fmt: skip
    """Names, and utterances, audio and people; or, with `columns`, audio and people of each."""
    titles = [t for one in columns for t in (one, "people")] if columns else ["utterances", "audio", "people"]
    cells = [[name, *_cells(figures, bool(columns), len(titles))] for name, figures in rows]
    first = _WIDTH - sum(_widths(cells, titles)) - 2 * len(titles)
    lines = [_line(["", *titles], first, _widths(cells, titles)), "─" * _WIDTH]
    return [*lines, *(_line(row, first, _widths(cells, titles)) for row in cells)]


def _cells(figures: object, is_pair: bool, count: int) -> list[str]:
    if figures is None:
        return [""] * count
    if is_pair and isinstance(figures, tuple):
        return [text for one in figures for text in (_audio(one), _people(one))]
    return [f"{figures.utterances:,}", _audio(figures), _people(figures)] if isinstance(figures, Share) else []


def _audio(one: Share | None) -> str:
    return "…" if one is None else hours(one.audio_s)


def _people(one: Share | None) -> str:
    return f"under {SMALLEST_GROUP}" if one is None else f"{one.people:,}"


def _widths(cells: Sequence[Sequence[str]], titles: Sequence[str]) -> list[int]:
    return [max(len(title), *(len(row[n + 1]) for row in cells)) for n, title in enumerate(titles)]


def _line(row: Sequence[str], first: int, widths: Sequence[int]) -> str:
    name = row[0] if len(row[0]) <= first else row[0][: first - 1] + "…"
    figures = "  ".join(f"{cell:>{width}}" for cell, width in zip(row[1:], widths, strict=True))
    return f"{name:<{first}}  {figures}".rstrip()


def _fared(one: Attrition) -> tuple[str, tuple[Share | None, Share | None]]:
    name = "  groups of few people" if one.is_suppressed else f"  {one.value or 'not known'}"
    return name, (one.candidates, one.chosen)


def _figures(one: Share) -> str:
    parts = several(one.utterances, "utterance"), hours(one.audio_s), several(one.people, "person", "people")
    return ", ".join(parts)


def _funnel_object(chosen: Chosen) -> dict[str, object]:
    steps = [{"step": name.strip(), **one.model_dump()} for name, one in _steps(chosen) if one is not None]
    at = {"ledger_position": chosen.considered.position, "decided_at": to_text(chosen.considered.at)}
    return {**at, "steps": steps, "denied": {reason: one.model_dump() for reason, one in chosen.denied.items()}}


def _strings(values: Sequence[str]) -> object:
    import pyarrow as pa

    return pa.array(list(values), pa.string())


def _demands(max_ledger_age_s: float | None, record_openings: bool) -> Demands:
    said = {} if max_ledger_age_s is None else {"max_ledger_age_s": max_ledger_age_s}
    return parse(Demands, {**said, "record_openings": record_openings}, "what the release demands")


def _checked(name: str) -> str:
    import re

    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name):
        raise ConfigError(f"release name {name!r}: 1 to 64 letters, digits, `.`, `_` and `-`, a letter or digit first")
    return name
