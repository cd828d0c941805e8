"""Releases: choosing by quality and by consent, and saying what was chosen and why."""
