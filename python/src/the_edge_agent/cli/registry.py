"""The actions and backends of this program, put together."""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from the_edge_agent.llm.backend import Backend, BackendFactory, Backends

if TYPE_CHECKING:
    from the_edge_agent.actions.registry import Registry


def backends(options: Namespace, log: Callable[[str], None] | None) -> Backends:
    """Return the ways to a model that the command line and the environment leave open."""
    return Backends(local=_local_factory(options, log), api=_api_factory(), choice=options.backend)


def registry(made: Backends, roots: Sequence[Path]) -> Registry:
    """Return every action of this program; files are in reach below ``roots``."""
    from the_edge_agent.actions.base import base_registry
    from the_edge_agent.actions.llm import llm_actions

    return {**base_registry(roots=roots), **llm_actions(made)}


def registry_to_check() -> Registry:
    """Return the same actions for checking files; none of them is ever run."""
    return registry(Backends(local=lambda _: None, api=lambda _: None), ())


def _local_factory(options: Namespace, log: Callable[[str], None] | None) -> BackendFactory:
    def make(settings: Mapping[str, Any]) -> Backend | None:
        from the_edge_agent.llm.local import local_factory  # ctypes only when a model is asked

        make_local = local_factory(options.gguf, os.environ, low_memory=options.low_memory, log=log)
        local = make_local(settings)
        asked = settings.get("provider") or settings.get("api_base")
        if local is not None and log is not None and asked and options.backend is None:
            log(f"the file names an API ({asked}); the local model answers\n")
        return local

    return make


def _api_factory() -> BackendFactory:
    def make(settings: Mapping[str, Any]) -> Backend | None:
        from the_edge_agent.llm.api import api_factory

        return api_factory(os.environ)(settings)

    return make
