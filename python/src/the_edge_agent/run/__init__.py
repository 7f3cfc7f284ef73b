"""A run of a workflow: one node after another on one state."""
