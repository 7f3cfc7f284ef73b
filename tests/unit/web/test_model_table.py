"""The browser package's model table is the project's, less what no page could verify."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tasks import catalog
from tasks.base.errors import NotWritable
from tasks.base.paths import ROOT
from tasks.catalog import HubSource
from tasks.fetch.lock import Entries, Locked
from tasks.fetch.retry import TRANSIENT_STATUS
from tasks.web import model_table


def rows(lock: Entries) -> dict[str, dict[str, Any]]:
    """The rows of the module that is written, by id."""
    text = model_table.typescript(catalog.models(), lock)
    found = json.loads(text.partition(" = ")[2].rstrip().removesuffix(";"))
    return {row["id"]: row for row in found}


def test_row_promises_what_the_table_promises() -> None:
    row = rows({})["smollm2-135m"]
    model = catalog.model("smollm2-135m")
    assert (row["size"], row["sha256"]) == (model.size, model.sha256)
    assert row["chatSystem"] == model.chat_system
    assert "url" not in row  # it comes in a Python package, which no page can fetch


def test_model_without_a_digest_is_left_out() -> None:
    model = catalog.model("phi4-mini")
    (source,) = model.sources
    assert isinstance(source, HubSource) and source.sha256 is None
    assert model.id not in rows({})
    commit, digest = "c" * 40, "d" * 64
    locked = Locked(source.repo, source.file, source.revision, commit, 7, digest)
    row = rows({model.id: (locked,)})[model.id]
    assert (row["size"], row["sha256"]) == (7, digest)
    assert row["url"] == f"https://huggingface.co/{source.repo}/resolve/{commit}/{source.file}"


def test_first_source_with_a_known_digest_is_named() -> None:
    row = rows({})["gemma3-1b"]
    assert row["size"] == 1_069_306_368
    assert "/ggml-org/gemma-3-1b-it-GGUF/resolve/f9c28bcd" in row["url"]


def test_template_of_a_model_that_has_none_travels_with_the_row() -> None:
    template = catalog.model("gemma3-270m").chat_template
    assert template and rows({})["gemma3-270m"]["chatTemplate"] == template.read_text("utf-8")
    assert "chatTemplate" not in rows({})["gemma3-1b"]


def test_file_is_written_only_when_it_changes(tmp_path: Path) -> None:
    path = tmp_path / "models.generated.ts"
    model_table.write(path)
    before = path.stat().st_mtime_ns
    model_table.write(path)
    assert path.stat().st_mtime_ns == before


def test_folder_that_cannot_be_written_is_an_error_with_a_name(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotWritable):
        model_table.write(tmp_path / "file" / "models.generated.ts")


def test_package_has_the_version_of_the_project() -> None:
    package = json.loads((ROOT / "web/package.json").read_text(encoding="utf-8"))
    lock = json.loads((ROOT / "web/package-lock.json").read_text(encoding="utf-8"))
    assert package["version"] == lock["version"] == catalog.version()


def test_lock_file_names_no_address_of_a_registry() -> None:
    lock = json.loads((ROOT / "web/package-lock.json").read_text(encoding="utf-8"))
    entries = {name: entry for name, entry in lock["packages"].items() if name}
    assert entries and all("resolved" not in entry for entry in entries.values())
    assert all(entry["integrity"].startswith("sha512-") for entry in entries.values())


def test_gemma_3_1b_stays_below_a_gibibyte_in_a_browser() -> None:
    row, table = rows({})["gemma3-1b"], catalog.model("gemma3-1b")
    assert table.size == 1_069_306_400
    assert max(table.size, row["size"]) < 1 << 30


def test_browser_and_build_try_the_same_statuses_again() -> None:
    source = (ROOT / "web/ts/store/retry.ts").read_text(encoding="utf-8")
    found = re.search(r"TRANSIENT_STATUS.* = new Set\(\[([\d, \n]+)\]\)", source)
    assert found and {int(each) for each in re.findall(r"\d+", found[1])} == TRANSIENT_STATUS
