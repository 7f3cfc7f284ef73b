"""How much memory a model needs to run, from what its file says."""

from __future__ import annotations

from tasks.fetch.gguf import GgufFacts

BATCH = 512  # tokens of a prompt that both programs work on at once
PROGRAM = 64_000_000  # bytes: interpreter or program, libraries, and the smaller buffers


def needed(facts: GgufFacts, context: int) -> dict[str, int] | None:
    """Bytes for ``context`` tokens by what takes them, at most; None where the file does not tell.

    ``model``: the weights, which are mapped from the bundle. ``cache``: keys and values of the
    whole context in 16-bit numbers; models with sliding windows take less. ``compute``: a batch's
    scores of every token of the vocabulary, which outweigh all other buffers, and the program.
    """
    if facts.cache is None or facts.vocabulary is None:
        return None
    return {
        "model": facts.size,
        "cache": facts.cache * context,
        "compute": BATCH * facts.vocabulary * 4 + PROGRAM,
    }
