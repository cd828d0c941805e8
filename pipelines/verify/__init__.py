"""The verifier that trusts nobody: looks through every byte for what should be gone, and knows no lineage.

`scan(root, needles)` in `pipelines.verify.scan` is the way in. Nothing here imports what erases, or what reads a lake
by its commits; it lists what the store holds and walks the bytes. docs/audit.md says what that proves, and what not.
"""
