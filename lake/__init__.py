"""Where it rests: object storage, tars, Parquet parts, commits, runs and the ledger.

No audio, no engine, no decision.
"""
