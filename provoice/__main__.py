"""Where both `provoice` and `python -m provoice` start."""

from __future__ import annotations

import sys

from provoice import shadow


def main() -> None:
    """Check that our packages are ours, then hand over to the command line. Exit code 2 where a folder hides one."""
    shadow.leave_working_folder()
    complaint = shadow.complaint()
    if complaint is not None:
        sys.stderr.write(complaint + "\n")
        raise SystemExit(2)
    # Imported only now: everything behind it imports `schemas`.
    from provoice.cli.main import cli

    cli()


if __name__ == "__main__":
    main()
