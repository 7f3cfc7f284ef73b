"""The model table of the browser package, made from models.toml and models.lock.toml.

A page must know what the bytes are to be before it fetches them, so a model whose digest neither
file knows is left out until `nox -s pins` has written it down.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from tasks import catalog
from tasks.base import files
from tasks.base.paths import ROOT
from tasks.catalog import HubSource, Model, UrlSource
from tasks.fetch import lock
from tasks.fetch.lock import Entries

OUTPUT = ROOT / "web/ts/models.generated.ts"
_HEAD = """\
// Made by tasks/web/model_table.py from tasks/catalog/data; sizes in bytes, context in tokens.
import type { ModelRow } from './types.js';

export const ROWS: readonly ModelRow[] = """


def write(path: Path = OUTPUT) -> None:
    """Write the table as TypeScript, unless the file has it already.

    Raises:
        CatalogError: a row or the lock file is wrong.
        NotWritable: the file cannot be written.
    """
    text = typescript(catalog.models(), lock.read(lock.REPOSITORY_LOCK))
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        with files.disk_errors(path):
            files.write_text(path, text)


def typescript(models: Mapping[str, Model], lock: Entries) -> str:
    """The module that holds the rows of ``models``."""
    rows = list(_rows(models.values(), lock))
    return f"{_HEAD}{json.dumps(rows, indent=2, ensure_ascii=False)};\n"


def _rows(models: Iterable[Model], lock: Entries) -> Iterator[dict[str, object]]:
    for model in models:
        if found := _file(model, lock):
            url, size, sha256 = found
            row = {
                "id": model.id,
                "title": model.title,
                "architecture": model.architecture,
                "quantization": model.quantization,
                "context": model.context,
                "license": model.license,
                "licenseUrl": model.license_url,
                "file": model.file,
                "url": url,
                "size": size,
                "sha256": sha256,
                "chatTemplate": model.chat_template and model.chat_template.read_text("utf-8"),
                "chatSystem": model.chat_system,
            }
            yield {key: value for key, value in row.items() if value is not None}


def _file(model: Model, lock: Entries) -> tuple[str | None, int, str] | None:
    """Address, size and sha256 of the first source whose digest is known; None where none is.

    Python packages have no address that a page could fetch from: the file must be put beside it.
    """
    for source in model.sources:
        if isinstance(source, HubSource):
            locked = next((one for one in lock.get(model.id, ()) if one.is_for(source)), None)
            size = locked.size if locked else source.size
            sha256 = locked.sha256 if locked else source.sha256
            revision = locked.commit if locked else source.revision
            if size is not None and sha256 is not None:
                url = f"https://huggingface.co/{source.repo}/resolve/{revision}/{source.file}"
                return url, size, sha256
        elif isinstance(source, UrlSource):
            return source.url, source.size, source.sha256
        else:
            return None, source.size, source.sha256
    return None


if __name__ == "__main__":
    write()
