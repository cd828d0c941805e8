"""`provoice audit`: look through every byte for what should be gone."""

from __future__ import annotations

import click

from provoice.cli.audit_proof import check_command, prove_command
from provoice.cli.errors import BROKEN, REFUSED


@click.group(name="audit")
def command() -> None:
    """Look through every byte of a lake for what should be gone."""


@command.command(name="seal")
@click.argument("lake_uri", metavar="LAKE")
@click.option("--subject", "subjects", metavar="ID", multiple=True, required=True, help="Whose; may be repeated.")
@click.option("--out", metavar="FILE", required=True, help="The seal, a new file outside the lake.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def seal_command(lake_uri: str, subjects: tuple[str, ...], out: str, as_json: bool) -> None:
    """Collect what a scan must look for, before it is erased: ids, paths, transcripts, fingerprints of voices.

    The file is as private as the lake, and readable by its owner only; `audit scan --finish` destroys it.

    \b
    provoice audit seal LAKE --subject p-1041 --out /secure/p-1041.seal
    """
    from provoice.audit import seal_text

    click.echo(seal_text(lake_uri, subjects, out, as_json=as_json), nl=False)


@command.command(name="scan")
@click.argument("lake_uri", metavar="LAKE")
@click.option(
    "--seal", "seal_uri", metavar="FILE", required=True, help="What to look for: a plain seal, or a keyed one."
)
@click.option(
    "--also", metavar="URI", multiple=True, help="Look there, too: an export, Ray's session folder; may be repeated."
)
@click.option(
    "--expect", metavar="URI", multiple=True, help="Pseudonyms and grants below here are expected; may be repeated."
)
@click.option("--engine", type=click.Choice(["local", "ray", "beam"]), default="local", help="Where the scan runs.")
@click.option(
    "--workers", type=click.IntRange(min=1), metavar="N", help="Processes on each machine; default: one per core."
)
@click.option(
    "--work", metavar="URI", help="Where receipts lie, so that a scan can go on; workers on other machines need it."
)
@click.option(
    "--finish",
    is_flag=True,
    help="Where nothing is found: make the certificate final, keep FILE.keyed for later scans, and destroy FILE.",
)
@click.option("--json", "as_json", is_flag=True, help="The report, as one JSON object.")
@click.argument("options", nargs=-1, type=click.UNPROCESSED, metavar="[-- OPTIONS]")
def scan_command(
    lake_uri: str, seal_uri: str, also: tuple[str, ...], expect: tuple[str, ...], engine: str, workers: int | None,
    work: str | None, finish: bool, as_json: bool, options: tuple[str, ...],
) -> None:  # fmt: skip
    """Look for what is sealed in every byte below LAKE and its ledger, without asking the lake what it holds.

    Exit code 4: something was found; 1: nothing, but not everything could be opened, or a certificate is not final yet.

    \b
    provoice audit scan LAKE --seal /secure/p-1041.seal --finish
    provoice audit scan LAKE --seal /secure/p-1041.seal.keyed --also /tmp/ray
    """
    from provoice.audit import Asked, scan_text

    asked = Asked(lake_uri, seal_uri, also, expect, engine, workers, work, finish, options)
    told = scan_text(asked, as_json=as_json)
    click.echo(told.text, nl=False)
    if not told.report.is_clean:
        raise SystemExit(REFUSED)
    if not told.report.is_complete or (told.finished is not None and not told.finished.is_destroyed):
        raise SystemExit(BROKEN)


@command.command(name="verify")
@click.argument("lake_uri", metavar="LAKE")
@click.option(
    "--certificate", metavar="NUMBER", type=click.IntRange(min=1), help="This certificate alone; default: all."
)
@click.option("--key", metavar="FILE", help="The public key (PEM, Ed25519) with which certificates must be signed.")
@click.option("--bytes", "reads_bytes", is_flag=True, help="Read every object that a certificate names, to the byte.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def verify_command(lake_uri: str, certificate: int | None, key: str | None, reads_bytes: bool, as_json: bool) -> None:
    """Say whether what was certified and recorded still holds. Exit code 1: something does not.

    \b
    provoice audit verify LAKE
    provoice audit verify LAKE --certificate 3 --key certificates.pub.pem
    """
    from provoice.audit_verify import Asked, verify_text

    text, holds = verify_text(Asked(lake_uri, certificate, key, reads_bytes), as_json=as_json)
    click.echo(text, nl=False)
    if not holds:
        raise SystemExit(BROKEN)


command.add_command(prove_command)
command.add_command(check_command)
