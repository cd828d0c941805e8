"""The demo: sources with known answers, a run over them, and the answers beside what was measured."""
