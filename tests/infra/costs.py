"""The table of costs in infra/terraform/README.md, computed from prices that say when and where they were read.

python -m tests.infra.costs     writes it; a test compares
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

from tests.infra.terraform import ROOT, TERRAFORM

PRICES = ROOT / "configs" / "prices" / "gcp-example.yaml"
README = TERRAFORM / "README.md"
START, END = "<!-- made: costs -->\n", "<!-- /made -->"

HOURS = 730
"""In a month."""
CLUSTER_HOUR = 0.10
KEY_VERSION_MONTH = 0.06
CPU_S_PER_AUDIO_HOUR = 32.26
"""docs/benchmarks.md: every measurement and the embedded diarizer, on the machine that it names."""
GIB_PER_CORE = 4
LAKE_GIB_PER_AUDIO_HOUR = 0.2
AUDIO_HOURS = 1000


def rows(keys: int = 10) -> Iterator[tuple[str, float | None, float | None, str]]:
    """(module, a month idle, 1,000 audio-hours, what of); None: no price of it was seen."""
    table: dict[str, Any] = yaml.safe_load(PRICES.read_text())
    price = {name: value["amount"] for name, value in table.items() if isinstance(value, dict) and "amount" in value}
    system = HOURS * (4 * price["core_hour"] + 16 * price["memory_gib_hour"])
    core_hours = AUDIO_HOURS * CPU_S_PER_AUDIO_HOUR / 3600
    spot = core_hours * (price["core_hour_spot"] + GIB_PER_CORE * price["memory_gib_hour_spot"])
    month = AUDIO_HOURS * LAKE_GIB_PER_AUDIO_HOUR * price["storage_gib_month"]
    yield "storage", 0.0, month, f"{LAKE_GIB_PER_AUDIO_HOUR} GiB an audio-hour in the lake, each month; raw beside it"
    yield "identity", keys * KEY_VERSION_MONTH, 0.0, f"{keys} keys of one version; each rotation adds a version"
    yield "registry", 3 * price["storage_gib_month"], 0.0, "3 GiB of images, as if at the price of a bucket"
    yield "network", 0.0, 0.0, "no NAT, unless `internet` is set"
    of_ray = f"one e2-standard-4, the cluster's fee; {core_hours:.1f} core-hours, spot"
    yield "ray", HOURS * CLUSTER_HOUR + system, spot, of_ray
    yield "dataflow", 0.0, None, "Dataflow bills its machines by prices of its own, which were not seen"
    yield "composer", None, 0.0, "the largest part of what is idle; its price was not seen"
    yield "warehouse", 0.0, 0.0, "tables rest in the lake; questions are billed by bytes read"
    yield "observability", 0.0, 0.0, "within what is free for logs and metrics, as far as one run writes them"


def written() -> str:
    """The table as Markdown."""
    head = "| module | idle, a month | 1,000 audio-hours | of what |\n| --- | ---: | ---: | --- |\n"
    return head + "".join(
        f"| `{name}` | {_said(idle)} | {_said(work)} | {what} |\n" for name, idle, work, what in rows()
    )


def in_readme(text: str) -> str:
    """The README with the table in its place."""
    before, _, rest = text.partition(START)
    return before + START + written() + END + rest.partition(END)[2]


def _said(amount: float | None) -> str:
    return "?" if amount is None else f"${amount:,.2f}"


if __name__ == "__main__":
    README.write_text(in_readme(README.read_text()))
