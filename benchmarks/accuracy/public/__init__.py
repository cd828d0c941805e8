"""Estimators that others published, written anew from their papers, to stand beside ours on the same clips."""
