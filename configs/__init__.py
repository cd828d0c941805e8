"""Configurations that come with provoice: YAML only."""
