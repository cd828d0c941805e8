"""Whether provoice's packages are its own: their names are common, and a user's folder can bear one of them.

Only the standard library is imported here: this runs before the first import of `schemas`.
"""

from __future__ import annotations

import os
import sys
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path

PACKAGES = ("schemas", "transforms", "lake", "pipelines", "configs")
"""What must lie beside the package `provoice`."""

HOME = Path(__file__).resolve().parent.parent
"""The folder that holds `provoice` and the packages beside it."""


def leave_working_folder() -> None:
    """Take back the working folder that `python -m provoice` puts first on the path.

    The `provoice` script does not put it there, and the two must act alike: a folder `schemas/` of the user's own,
    where they happen to stand, breaks neither. What `PYTHONPATH` names stays: somebody asked for that.
    """
    # For the Python processes that this one starts: a fork server is `python -c`, which puts the folder first as well.
    os.environ.setdefault("PYTHONSAFEPATH", "1")
    if sys.flags.safe_path or not sys.path:
        return
    first = Path(sys.path[0] or ".").resolve()
    if first == Path.cwd() and first != HOME:
        del sys.path[0]


def shadowing_folder(name: str) -> Path | None:
    """Folder (or file) that Python takes for our package `name`, where that is not ours; None where all is well.

    The expected place of a package that is missing altogether counts as well: what is not there cannot be ours.
    """
    loaded = sys.modules.get(name)
    found = loaded.__spec__ if loaded is not None else find_spec(name)
    if found is None:
        return HOME / name
    place = _place(found)
    return None if place.resolve() == HOME / name else place


def _place(spec: ModuleSpec) -> Path:
    """The folder of a package (also of one without `__init__.py`), or the file of a plain module."""
    folders = list(spec.submodule_search_locations or ())
    return Path(folders[0]) if folders else Path(spec.origin or spec.name)


def complaint() -> str | None:
    """One line that names the first folder that stands in for a package of ours, and what to do; else None."""
    for name in PACKAGES:
        folder = shadowing_folder(name)
        if folder == HOME / name:
            return f"provoice: its package `{name}` is missing beside {HOME / 'provoice'}; install provoice again"
        if folder is not None:
            return (
                f"provoice: {folder} hides provoice's own package `{name}` ({HOME / name}); "
                f"rename that folder, or take {folder.parent} off PYTHONPATH"
            )
    return None
