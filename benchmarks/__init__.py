"""What provoice costs and how well it measures: each benchmark is one command, prints a table, and can be compared."""

import os

# A worker has one core. More of numpy's threads would wait for each other, and their waiting counts as CPU seconds.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
