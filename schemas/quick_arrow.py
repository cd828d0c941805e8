"""Keeps PyArrow from importing pandas for a question whose answer is always no."""

from __future__ import annotations

import sys


class _NotHere:
    """Answers the import of pandas, and of nothing else, with "not here"."""

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> None:  # noqa: ARG004  (Python names them)
        if name == "pandas":
            raise ModuleNotFoundError("pandas is not imported for a question", name=name)


def never_import_pandas_for_a_question() -> None:
    """PyArrow imports pandas (0.7 s, 60 MB) to ask whether a value is a Series; once told "not here", it stops asking.

    Whoever wants pandas may still import it afterwards.
    """
    import pyarrow as pa

    if "pandas" not in sys.modules:
        sys.meta_path.insert(0, _NotHere)
        try:
            pa.array([0])
        finally:
            sys.meta_path.remove(_NotHere)
