"""The command line: one module a command. ``main`` is the only place that prints errors."""
