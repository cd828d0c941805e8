"""What docs/exports.md tells people to type works as it stands there, and names what an export holds."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import pytest

from pipelines.export.record import Form
from tests.exports import export_to, samples

PAGE = (Path(__file__).parents[2] / "docs/exports.md").read_text(encoding="utf-8")
SAMPLES = samples()

# What webdataset, rdflib and pandas say of themselves and each other.
pytestmark = [
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore:ConjunctiveGraph is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The inplace keyword:DeprecationWarning"),
]


def snippet(heading):
    """The Python below a heading."""
    below = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return re.search(r"```python\n(.*?)```", below, re.DOTALL)[1]


@pytest.mark.parametrize(
    ("heading", "form"),
    [("`webdataset`", Form.WEBDATASET), ("`lhotse`", Form.LHOTSE), ("`huggingface`", Form.HUGGINGFACE),
     ("Croissant", Form.HUGGINGFACE), ("Croissant", Form.NEMO), ("Croissant", Form.LHOTSE)],
)  # fmt: skip
def test_what_stands_there_can_be_typed(tmp_path, monkeypatch, heading, form):
    export_to(tmp_path / "OUT", form, SAMPLES)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    said = io.StringIO()
    code = snippet(heading).replace('load_dataset("OUT"', f'load_dataset("OUT", cache_dir="{tmp_path}/cache"')
    with contextlib.redirect_stdout(said):
        exec(compile(code, heading, "exec"), {})
    for one in SAMPLES:
        assert one.key in said.getvalue() or (
            heading == "`lhotse`" and f"(1, {8000 + SAMPLES.index(one)})" in said.getvalue()
        )


def test_every_form_and_promise_is_described():
    for form in Form:
        assert f"\n## `{form.value}`\n" in PAGE
    for word in ("export.json", "croissant.json", "--skip-denied", "--shard-size", "release_sha256", "allowed_until"):
        assert f"`{word}`" in PAGE
