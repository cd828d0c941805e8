"""What every test starts from: one compute thread, no telemetry, no hub, and caches of the tests' own."""

from __future__ import annotations

import os
from pathlib import Path

_CACHE = Path(__file__).resolve().parents[1] / ".cache" / "tests"

# Before any test module imports numpy: thread pools are sized when their library is loaded. Child processes inherit it.
os.environ.update(
    dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"), "1")
)
os.environ.update(
    {
        "PYANNOTE_METRICS_ENABLED": "0",
        "RAY_USAGE_STATS_ENABLED": "0",
        "HF_HUB_OFFLINE": "1",
        # gcsfs reads it once, when whichever test comes first imports it; lake/clients.py says why.
        "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",
        "MPLBACKEND": "Agg",
        # Converted models and compiled fonts are kept between runs of the tests, and apart from the user's own.
        "XDG_CACHE_HOME": str(_CACHE),
        "MPLCONFIGDIR": str(_CACHE / "matplotlib"),
    }
)
# A variable of the machine's must not reach a test through a child process.
for _name in [name for name in os.environ if name.startswith("PROVOICE_") and name != "PROVOICE_AUDIO"]:
    del os.environ[_name]

from hypothesis import settings  # noqa: E402  (after the environment is set: it may import numpy)

# No deadline: the machine's two cores are shared. Derandomised: a failure here fails on every machine.
settings.register_profile("provoice", deadline=None, derandomize=True, database=None)
settings.load_profile("provoice")
