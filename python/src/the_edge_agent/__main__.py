"""Entry point of ``tea`` and of ``python -m the_edge_agent``.

The plain questions after version and implementation are answered here, before anything else is
imported: they are asked by scripts, and often.
"""

from __future__ import annotations

import sys

from the_edge_agent import __version__
from the_edge_agent.cli import signals, streams


def main() -> int:
    """Run the command line of this process and return its exit code."""
    streams.prepare()
    signals.install()
    arguments = sys.argv[1:]
    if arguments and not set(arguments) - {"--version", "--impl"}:
        version = f"tea {__version__}"
        if "--impl" in arguments:
            version = f"{version} (python)" if "--version" in arguments else "python"
        try:
            streams.answer(f"{version}\n")
        except KeyboardInterrupt:
            return signals.exit_code()
        return 0
    from the_edge_agent.cli.main import run

    return run(arguments)


if __name__ == "__main__":
    sys.exit(main())
