"""The values of a workflow: what they are equal to, how they are written, how they are read."""
