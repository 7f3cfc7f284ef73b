"""Whether the bundle's model is what it was when the bundle was made."""

from __future__ import annotations

import hashlib
import os

from the_edge_agent.errors import ModelError
from the_edge_agent.llm.model_file import Extent
from the_edge_agent.llm.model_path import Found

_CHUNK = 1 << 20


def verify(found: Found) -> str:
    """Read the whole model; return its sha256, which is the bundle's.

    Raises:
        ModelError: it is another, it cannot be read, or it is not the bundle's own model.
    """
    if found.sha256 is None:
        raise ModelError(
            f"{found.path} has no digest to be compared with",
            hint="only the model of a bundle has one",
        )
    try:
        if found.extent is not None:
            digest = _digest(found.extent)
        else:
            with found.path.open("rb") as file:
                digest = _digest(Extent(file.fileno(), 0, os.fstat(file.fileno()).st_size))
    except OSError as error:
        raise ModelError(f"model file {found.path} cannot be read: {error.strerror}") from error
    if digest != found.sha256:
        raise ModelError(
            f"{found.path} is damaged: its model's sha256 is {digest},"
            f" and was {found.sha256} when the bundle was made",
            hint="download it again",
        )
    return digest


def _digest(extent: Extent) -> str:
    digest = hashlib.sha256()
    position, end = extent.offset, extent.offset + extent.size
    while position < end:
        data = os.pread(extent.descriptor, min(_CHUNK, end - position), position)
        if not data:
            break
        digest.update(data)
        position += len(data)
    return digest.hexdigest()
