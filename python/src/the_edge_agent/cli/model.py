"""``tea model``: which model would be used, and what it is."""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import Callable
from typing import Any

from the_edge_agent.cli import output
from the_edge_agent.errors import ModelError
from the_edge_agent.llm import bindings, gguf, model_path
from the_edge_agent.llm.backend import NO_MODEL, NO_MODEL_HINT
from the_edge_agent.llm.local import LocalOptions, context_size
from the_edge_agent.llm.threads import default_threads


def model_command(options: Namespace) -> int:
    """Print the facts of the model that would be used; nothing of it is loaded.

    Raises:
        ModelError: there is none, or it is not usable.
    """
    found = model_path.find(options.gguf, os.environ, None)
    if found is None:
        raise ModelError(NO_MODEL, hint=NO_MODEL_HINT)
    facts = model_facts(found, output.log if options.verbose else None)
    if options.json:
        output.answer(output.to_json(facts, indent=2) + "\n")
        return 0
    width = max(map(len, facts))
    for key, value in facts.items():
        shown = "none" if value is None else f"{value:,}" if isinstance(value, int) else value
        output.answer(f"{key.replace('_', ' '):{width}}  {shown}\n")
    return 0


def model_facts(
    found: model_path.Found, log: Callable[[str], None] | None = None
) -> dict[str, Any]:
    """Return what ``tea model`` prints. Sizes in bytes, contexts in tokens.

    Raises:
        ModelError: the file is not a usable model.
    """
    head = gguf.read(found.path)
    return {
        "path": str(found.path),
        "found_by": found.source,
        "name": head.name,
        "architecture": head.architecture or None,
        "parameters": head.parameters,
        "size": head.size,
        "trained_context": head.context_length,
        "context": context_size(found, LocalOptions(), head.context_length),
        "chat_template": _template(head, found),
        "threads": default_threads(),
        "cpu_backend": _cpu_backend(log),
    }


def _template(head: gguf.Gguf, found: model_path.Found) -> str | None:
    if head.chat_template is not None:
        return "its own"
    return "the bundle's" if found.chat_template is not None else None


def _cpu_backend(log: Callable[[str], None] | None) -> str:
    try:
        return bindings.load(log).cpu_backend()
    except ModelError as error:
        return f"none: {error.message}"
