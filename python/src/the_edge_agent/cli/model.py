"""``tea model``: which model would be used, and what it is."""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import Callable
from typing import Any

from the_edge_agent.cli import output, streams
from the_edge_agent.errors import ModelError
from the_edge_agent.llm import bindings, gguf, memory, model_file, model_path, repack, verify
from the_edge_agent.llm.backend import NO_MODEL, NO_MODEL_HINT
from the_edge_agent.llm.local import LocalOptions, context_size
from the_edge_agent.llm.threads import default_threads


def model_command(options: Namespace) -> int:
    """Print the facts of the model that would be used; nothing of it is loaded.

    Raises:
        ModelError: there is none, or it is not usable; with ``--verify``: it is damaged, or
            nothing is known of what it should be.
    """
    found = model_path.find(options.gguf, os.environ, None, model_file.extent())
    if found is None:
        raise ModelError(NO_MODEL, hint=NO_MODEL_HINT)
    if options.verify:
        facts: dict[str, Any] = {"path": str(found.path), "sha256": verify.verify(found)}
    else:
        local = LocalOptions.from_settings({}, low_memory=options.low_memory)
        facts = model_facts(found, local, streams.log if options.verbose else None)
    if options.json:
        streams.answer(output.to_json(facts, indent=2) + "\n")
        return 0
    width = max(map(len, facts))
    for key, value in facts.items():
        shown = "none" if value is None else f"{value:,}" if isinstance(value, int) else value
        streams.answer(f"{key.replace('_', ' '):{width}}  {shown}\n")
    return 0


def model_facts(
    found: model_path.Found, options: LocalOptions, log: Callable[[str], None] | None = None
) -> dict[str, Any]:
    """Return what ``tea model`` prints. Sizes in bytes, contexts in tokens.

    Raises:
        ModelError: the file is not a usable model.
    """
    head = gguf.read(found.path, found.extent)
    n_ctx = context_size(found, options, head.context_length)
    try:
        llama = bindings.load(log)
        backend = llama.cpu_backend()
        repacked = repack.Repacker(llama).repacked(memory.multiplied(head))
    except ModelError as error:
        backend, repacked = f"none: {error.message}", 0
    return {
        "path": str(found.path),
        "found_by": found.source,
        "read": "as a file" if found.extent is None else "in place",
        "offset": found.extent and found.extent.offset,
        "name": head.name,
        "architecture": head.architecture or None,
        "parameters": head.parameters,
        "size": head.size,
        "trained_context": head.context_length,
        "context": n_ctx,
        "chat_template": _template(head, found),
        "threads": default_threads(),
        "cpu_backend": backend,
        **_memory(head, options, n_ctx, repacked),
    }


def _memory(
    head: gguf.Gguf, options: LocalOptions, n_ctx: int, repacked: int
) -> dict[str, int | str | None]:
    needed = memory.need(head, n_ctx, repacked=repacked, cache_type=options.cache_type)
    free = memory.available()
    fits: int | None = None
    weights = "as they are" if options.low_memory is True or not repacked else "repacked"
    if needed is not None and free is not None:
        if needed.most > free.memory:
            weights = "as they are"
        fits = memory.largest_context(needed, free, n_ctx, repack=weights == "repacked")
    return {
        "weights": weights,
        "memory_repacked": None if needed is None else needed.repacked,
        "memory_cache": None if needed is None else needed.cache,
        "memory_compute": None if needed is None else needed.compute,
        "memory_program": None if needed is None else needed.program,
        "memory_free": None if free is None else free.memory,
        "context_that_fits": fits,
    }


def _template(head: gguf.Gguf, found: model_path.Found) -> str | None:
    if head.chat_template is not None:
        return "its own"
    return "the bundle's" if found.chat_template is not None else None
