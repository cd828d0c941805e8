"""Erasure: what was made from a person's voice is found, rewritten without them, and removed. docs/erasure.md."""
