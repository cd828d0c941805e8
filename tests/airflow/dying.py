"""Calls provoice; the first `run` is killed when its first unit is committed.

python dying.py MARK LAKE provoice's words…
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path


def main(mark: Path, lake: Path, words: list[str]) -> int:
    call = [sys.executable, "-m", "provoice", *words]
    if words[0] != "run" or mark.exists():
        return subprocess.run(call).returncode
    mark.touch()
    child = subprocess.Popen(call, start_new_session=True)
    run_id = words[words.index("--run-id") + 1]
    while child.poll() is None and not any(lake.glob(f"commits/{run_id}/*.json")):
        time.sleep(0.01)
    if child.poll() is None:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
    return 1  # killed, or quicker than that: Airflow must take it for a failure either way


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]))
