"""The way of each request for a model: through the proxy that curl would take, or directly."""

from __future__ import annotations

import ssl
from collections.abc import Mapping

import httpx2
from socksio import SOCKSError  # what httpx2 lets through

from tasks.base.errors import Unreachable
from the_edge_agent.errors import ApiError
from the_edge_agent.llm import tls
from the_edge_agent.llm.proxy import proxy_for, without_password


class Transport(httpx2.BaseTransport):
    """Chooses the way anew for each address that is asked, those of redirects too.

    httpx2's own reading of ``NO_PROXY`` knows no networks.
    """

    def __init__(self, env: Mapping[str, str]) -> None:
        self._env = env
        self._ways: dict[tuple[str | None, str], httpx2.HTTPTransport] = {}

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send the request and return the head of the response.

        Raises:
            Unreachable: the environment names a proxy or certificates that cannot be used.
            httpx2.TransportError: the exchange broke off.
        """
        try:
            proxy = proxy_for(str(request.url), self._env)
            way = self._way(proxy, request.url.scheme)
        except ApiError as error:
            raise Unreachable(error.message, hint=error.hint) from error
        if proxy is None:
            return way.handle_request(request)
        try:
            return way.handle_request(request)
        except (httpx2.TransportError, SOCKSError) as error:
            cause = str(error) or type(error).__name__
            raise httpx2.ProxyError(
                f"through the proxy {without_password(proxy)}: {cause}"
            ) from error

    def close(self) -> None:
        """Close all connections."""
        for way in self._ways.values():
            way.close()

    def _way(self, proxy: str | None, scheme: str) -> httpx2.HTTPTransport:
        if (proxy, scheme) not in self._ways:
            to_proxy = self._trusted() if proxy and proxy.startswith("https:") else None
            # Certificates are read where they are wanted, and not for plain HTTP.
            secure = scheme == "https"
            trusted = self._trusted() if secure else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            self._ways[proxy, scheme] = httpx2.HTTPTransport(
                verify=trusted, proxy=httpx2.Proxy(proxy, ssl_context=to_proxy) if proxy else None
            )
        return self._ways[proxy, scheme]

    def _trusted(self) -> ssl.SSLContext:
        if self._env.get("SSL_CERT_FILE") or self._env.get("SSL_CERT_DIR"):
            return tls.context(self._env)
        return httpx2.create_ssl_context()
