"""Tries a bundle as a stranger's machine would."""
