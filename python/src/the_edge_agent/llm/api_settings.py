"""Which API a call asks: what it says itself, and ``settings.llm``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

API = ("provider", "api_base", "api_key", "model")
_SAME = (("default_model", "model"), ("deployment", "model"), ("endpoint", "api_base"))


def api_settings(params: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``settings.llm`` with what the call says of the API over it, one name for each.

    A key is not sent to another provider than the one that it was written beside.
    """
    own = _one_name({key: params.get(key) for key in (*API, "deployment")})
    merged = _one_name(settings)
    if "provider" in own and own["provider"] != merged.get("provider", "openai"):
        merged = {key: merged[key] for key in merged if key not in ("api_base", "api_key")}
    return {**merged, **own}


def _one_name(given: Mapping[str, Any]) -> dict[str, Any]:
    found = {key: value for key, value in given.items() if key not in API or value is not None}
    for name, first in _SAME:
        value = found.pop(name, None)
        if value is not None and (first not in found or name == "deployment"):
            found[first] = value
    if found.get("provider") == "azure_openai":
        found["provider"] = "azure"
    return found
