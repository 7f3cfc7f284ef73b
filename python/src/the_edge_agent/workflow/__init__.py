"""A workflow file: read, checked, and kept as data."""
