"""Measures against real peers."""
