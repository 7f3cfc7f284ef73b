"""The table of the workflow format, and what is generated from it."""
