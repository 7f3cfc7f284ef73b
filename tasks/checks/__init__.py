"""Tests, lint and the proof that a commit gives the same bytes."""
