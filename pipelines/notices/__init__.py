"""Whoever trained on a release is told when somebody in it takes something back, and says what becomes of the model."""
