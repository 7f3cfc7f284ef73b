"""Which certificates an API is trusted by."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from pathlib import Path

from the_edge_agent.errors import ApiError

BUNDLED = "usr/share/tea/cacert.pem"


def context(env: Mapping[str, str]) -> ssl.SSLContext:
    """Return a client's TLS with the user's certificates, else the bundle's, else certifi's.

    A bundle has its modules in one archive, from which OpenSSL cannot read; so it has the
    certificates beside them.

    Raises:
        ApiError: the file that SSL_CERT_FILE names cannot be read, or holds no certificates.
    """
    file, folder = env.get("SSL_CERT_FILE"), env.get("SSL_CERT_DIR")
    if file or folder:
        try:
            return ssl.create_default_context(cafile=file or None, capath=folder or None)
        except OSError as error:  # also one of OpenSSL: there are no certificates in it
            why = "no certificates in it" if isinstance(error, ssl.SSLError) else error.strerror
            named = f"SSL_CERT_FILE {file}" if file else f"SSL_CERT_DIR {folder}"
            raise ApiError(f"{named} cannot be used: {why}") from error
    bundled = Path(env["APPDIR"], BUNDLED) if env.get("APPDIR") else None
    if bundled is not None and bundled.is_file():
        return ssl.create_default_context(cafile=bundled)
    import certifi

    return ssl.create_default_context(cafile=certifi.where())
