"""Which certificates an API is trusted by."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from pathlib import Path

BUNDLED = "usr/share/tea/cacert.pem"


def context(env: Mapping[str, str]) -> ssl.SSLContext:
    """Return a client's TLS with the user's certificates, else the bundle's, else certifi's.

    A bundle has its modules in one archive, from which OpenSSL cannot read; so it has the
    certificates beside them.

    Raises:
        OSError: the file that SSL_CERT_FILE names cannot be read.
        ssl.SSLError: it holds no certificates.
    """
    file, folder = env.get("SSL_CERT_FILE"), env.get("SSL_CERT_DIR")
    if file or folder:
        return ssl.create_default_context(cafile=file or None, capath=folder or None)
    bundled = Path(env["APPDIR"], BUNDLED) if env.get("APPDIR") else None
    if bundled is not None and bundled.is_file():
        return ssl.create_default_context(cafile=bundled)
    import certifi

    return ssl.create_default_context(cafile=certifi.where())
