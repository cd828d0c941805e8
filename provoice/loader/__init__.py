"""Releases as training code reads them: `from provoice import open_release`."""
