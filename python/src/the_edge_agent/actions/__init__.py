"""Actions: what the ``uses`` of a node can name."""
