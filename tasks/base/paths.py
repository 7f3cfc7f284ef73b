"""Where things are: the repository, what is built, what is published, the model store."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCKER = ROOT / "docker"
BUILD = ROOT / "build"
DIST = ROOT / "dist"


def store_root(environ: Mapping[str, str] = os.environ) -> Path:
    """``$TEA_BUNDLES_CACHE``, else tea-bundles below the user's cache; in it ``models``."""
    chosen = environ.get("TEA_BUNDLES_CACHE")
    if chosen:
        return Path(chosen).expanduser().absolute() / "models"
    cache = environ.get("XDG_CACHE_HOME")
    base = Path(cache) if cache and Path(cache).is_absolute() else Path.home() / ".cache"
    return base / "tea-bundles" / "models"
