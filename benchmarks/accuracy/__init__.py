"""How well each measurement measures: real recordings with known answers, and only those that nothing was tuned on.

`python -m benchmarks.accuracy` prints a table per measurement; `docs/accuracy.md` holds them.
"""
