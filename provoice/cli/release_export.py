"""`provoice release export` and `provoice release use`: what leaves the lake, and what was made of it."""

from __future__ import annotations

import re
from typing import Any

import click

_FORMS = ("webdataset", "lhotse", "nemo", "huggingface")
_UNITS = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30}


class Size(click.ParamType[int]):
    """Bytes: `512MiB`, `2GB`, or a plain number."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]*)", str(value).strip().lower())
        if found is None or found[2] not in _UNITS or float(found[1]) * _UNITS[found[2]] < 1:
            self.fail(f"{value!r} is no size; say 512MiB, 2GB or a number of bytes", param, ctx)
        return int(float(found[1]) * _UNITS[found[2]])


class ReleaseName(click.ParamType[tuple[str, int | None]]):
    """`NAME`, or `NAME@VERSION`."""

    name = "name[@version]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, int | None]:
        if isinstance(value, tuple):
            return value
        name, at, version = str(value).partition("@")
        if not name or (at and not re.fullmatch(r"[1-9]\d*", version)):
            self.fail(f"{value!r} is no release; say NAME or NAME@VERSION, such as gold@2", param, ctx)
        return name, int(version) if at else None


@click.command(name="export")
@click.argument("lake_uri", metavar="LAKE")
@click.argument("release", metavar="NAME[@VERSION]", type=ReleaseName())
@click.argument("out", metavar="OUT")
@click.option("--format", "form", type=click.Choice(_FORMS), required=True, help="What to write.")
@click.option("--owner", required=True, help="Who answers for the export; recorded in the ledger.")
@click.option("--purpose", default="export", show_default=True, help="What it is for; recorded in the ledger.")
@click.option("--shard-size", type=Size(), default="512MiB", show_default=True, help="Of a tar or Parquet file.")
@click.option("--skip-denied", is_flag=True, help="Leave out what may no longer be used, instead of refusing.")
@click.option("--json", "as_json", is_flag=True, help="What export.json says, as one JSON object.")
def export_command(
    lake_uri: str, release: tuple[str, int | None], out: str, form: str, owner: str, purpose: str, shard_size: int,
    skip_denied: bool, as_json: bool,
) -> None:  # fmt: skip
    """Write a release to OUT, a folder or bucket prefix, in a form that other tools read.

    OUT must be empty or absent; an unfinished export of the same release is made again. Audio is not encoded anew.
    """
    from pipelines.export.record import Form
    from provoice.release_export import export_release, told

    name, version = release
    try:
        record = export_release(
            lake_uri, name, version, out, Form(form), owner=owner, purpose=purpose, skip_denied=skip_denied,
            shard_bytes=shard_size,
        )  # fmt: skip
    except KeyboardInterrupt:
        click.echo(f"\n{out} is unfinished; the same command line makes it again", err=True)
        raise
    click.echo(record.model_dump_json() + "\n" if as_json else told(record, out), nl=False)


@click.command(name="use")
@click.argument("lake_uri", metavar="LAKE")
@click.argument("release", metavar="NAME[@VERSION]", type=ReleaseName())
@click.option("--model", required=True, help="What was trained: a name that others will find it by.")
@click.option("--owner", required=True, help="Who answers for it.")
@click.option("--note", help="Anything else; goes into the ledger for ever, so no names of data subjects.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def use_command(
    lake_uri: str, release: tuple[str, int | None], model: str, owner: str, note: str | None, as_json: bool
) -> None:
    """Record what was trained on a release, so that withdrawals can be followed to it."""
    import json
    from dataclasses import asdict

    from provoice.release_use import register_use

    name, version = release
    found = register_use(lake_uri, name, version, model=model, owner=owner, note=note)
    if as_json:
        click.echo(json.dumps(asdict(found)))
    else:
        click.echo(f"recorded at ledger position {found.position}: {found.model} was trained on "
                   f"{found.release}@{found.version}, {found.owner} answers for it")  # fmt: skip
        if found.people_withdrawn:
            who = (
                "1 person in it has" if found.people_withdrawn == 1 else f"{found.people_withdrawn:,} people in it have"
            )
            click.echo(f"{who} taken that back: this use stands in the view `uses_after_withdrawal`")
