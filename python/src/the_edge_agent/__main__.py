"""Entry point of ``tea`` and of ``python -m the_edge_agent``.

The plain questions after version and implementation are answered here, before anything else is
imported: they are asked by scripts, and often.
"""

from __future__ import annotations

import io
import os
import sys

from the_edge_agent import __version__
from the_edge_agent.cli import signals, streams


def main() -> int:
    """Run the command line of this process and return its exit code."""
    streams.prepare()
    signals.install()
    _restore_locale()
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
    _ignore_openssl_conf()
    from the_edge_agent.cli.main import run

    return run(arguments)


def _ignore_openssl_conf() -> None:
    """Set OpenSSL up without OPENSSL_CONF, which is for the host's own; children have it still."""
    came = os.environ.pop("OPENSSL_CONF", None)
    if came is None:
        return
    import ssl

    ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # the settings are read here, once
    os.environ["OPENSSL_CONF"] = came


def _restore_locale() -> None:
    """Hand the locale on as it came: where it was C, Python has set LC_CTYPE (PEP 538)."""
    if "LC_CTYPE" not in os.environ:
        return
    try:
        with io.FileIO("/proc/self/environ") as file:
            came = [each for each in file.readall().split(b"\0") if each.startswith(b"LC_CTYPE=")]
    except OSError:
        return
    del os.environ["LC_CTYPE"]
    for each in came:
        os.environb[b"LC_CTYPE"] = each.partition(b"=")[2]


if __name__ == "__main__":
    sys.exit(main())
