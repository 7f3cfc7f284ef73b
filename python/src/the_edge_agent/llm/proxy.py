"""Which proxy a request goes through, as curl documents the variables ``*_PROXY`` and NO_PROXY."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from urllib.parse import SplitResult, urlsplit

from the_edge_agent.errors import ApiError

DEFAULT_PORT = 1080  # as curl has it, whatever the scheme
# Which of them finds the host's address is the proxy's matter. GNOME writes socks for SOCKS 5.
_SCHEMES = dict.fromkeys(("socks", "socks5", "socks5h"), "socks5h") | {
    scheme: scheme for scheme in ("http", "https")
}


def proxy_for(address: str, env: Mapping[str, str]) -> str | None:
    """Return the address of the proxy for ``address``, None where a request goes there directly.

    Raises:
        ApiError: the proxy is none that can be used; going there directly would be no answer.
    """
    target = urlsplit(address)
    name = f"{target.scheme}_proxy"
    # HTTP_PROXY in capitals is what a web server makes of a header of its client.
    names = [name, *([name.upper()] if name != "http_proxy" else []), "all_proxy", "ALL_PROXY"]
    named = next((name for name in names if env.get(name)), None)
    if named is None or _is_exempt(target, env.get("no_proxy") or env.get("NO_PROXY") or ""):
        return None
    text = env[named] if "://" in env[named] else f"http://{env[named]}"
    try:
        proxy = urlsplit(text)
        port = proxy.port or DEFAULT_PORT
    except ValueError:
        proxy, port = urlsplit(""), 0
    if proxy.scheme in ("socks4", "socks4a"):
        raise ApiError(
            f"{named} names a proxy of SOCKS 4, which cannot be used here",
            hint="name one of SOCKS 5 or HTTP, or exempt the host with NO_PROXY",
        )
    scheme = _SCHEMES.get(proxy.scheme)
    if scheme is None or not proxy.hostname:
        raise ApiError(f"{named} is no address of a proxy", hint="write it like http://host:3128")
    user = proxy.netloc.rpartition("@")[0]
    host = f"[{proxy.hostname}]" if ":" in proxy.hostname else proxy.hostname
    return f"{scheme}://{user}{'@' if user else ''}{host}:{port}"


def without_password(address: str) -> str:
    """Return an address without the name and the password in it."""
    return re.sub(r"//[^/]*@", "//", address)


def _is_exempt(target: SplitResult, listed: str) -> bool:
    host = (target.hostname or "").rstrip(".")
    port = target.port or (443 if target.scheme == "https" else 80)
    return any(_matches(entry, host, port) for entry in re.split(r"[,\s]+", listed) if entry)


def _matches(entry: str, host: str, port: int) -> bool:
    """Return whether an entry of NO_PROXY is the host, a domain or a network that it is in."""
    if entry == "*":
        return True
    parts = re.fullmatch(r"\[([^\]]*)\](?::(\d+))?|([^:]*)(?::(\d+))?", entry)
    name = (parts[1] or parts[3] or "") if parts else entry  # an IPv6 address without brackets
    wanted = (parts[2] or parts[4]) if parts else None
    if wanted is not None and int(wanted) != port:
        return False
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(name, strict=False)
    except ValueError:
        domain = name.strip(".").lower()
        return bool(domain) and f".{host.lower()}".endswith(f".{domain}")
