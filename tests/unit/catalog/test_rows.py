"""The model table loads, says what each source promises, and refuses a bad row by file and key."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tasks import catalog
from tasks.base.errors import CatalogError, UnknownName
from tasks.catalog import HubSource, Model, PackageSource, UrlSource

HEAD = {
    "title": '"T"',
    "architecture": '"llama"',
    "quantization": '"Q8_0"',
    "context": "8192",
    "license": '"MIT"',
    "license_url": '"https://example.org"',
    "file": '"m.gguf"',
    "size": "10",
    "sha256": f'"{"a" * 64}"',
    "sources": '[{ hub = "o/n", file = "f.gguf" }]',
}


def load(tmp_path: Path, **changes: str | None) -> Model:
    return load_all(tmp_path, "m", **changes)["m"]


def load_all(tmp_path: Path, *names: str, **changes: str | None) -> Mapping[str, Model]:
    path = tmp_path / "models.toml"
    keys = {**HEAD, **changes}
    lines = [f"{key} = {value}" for key, value in keys.items() if value is not None]
    path.write_text("\n".join(f"[{name}]\n" + "\n".join(lines) for name in names) + "\n")
    return catalog.models(path)


def test_the_five_rows_are_there() -> None:
    assert set(catalog.models()) == {
        "smollm2-135m", "gemma3-270m", "gemma3-1b", "phi4-mini", "gemma3n-e4b",
    }  # fmt: skip


@pytest.mark.parametrize("model", catalog.models().values(), ids=lambda model: model.id)
def test_every_row_has_what_a_bundle_needs(model: Model) -> None:
    assert model.about > 50_000_000
    assert model.size in (None, model.about)
    assert 2048 <= model.context <= 32768
    assert model.license_files, "a licence text travels with every model"
    for file in model.license_files:
        assert len(file.read_text(encoding="utf-8")) > 300
    assert len({source.label for source in model.sources}) == len(model.sources)


@pytest.mark.parametrize("model", catalog.models().values(), ids=lambda model: model.id)
def test_gemma_travels_with_its_terms_and_notice(model: Model) -> None:
    if not model.architecture.startswith("gemma"):
        return
    texts = [file.read_text(encoding="utf-8") for file in model.license_files]
    asked = (
        "Gemma is provided under and subject to the Gemma Terms of Use found at "
        "ai.google.dev/gemma/terms"
    )
    assert any(asked in text for text in texts)
    assert any(text.startswith("Gemma Terms of Use\n") for text in texts)


def test_a_mirror_with_other_bytes_promises_its_own() -> None:
    primary, mirror = catalog.model("gemma3-1b").sources
    assert (primary.size, primary.sha256) == (1_069_306_400, None)
    assert (mirror.size, str(mirror.sha256)[:8]) == (1_069_306_368, "b205840c")


def test_a_source_without_facts_of_its_own_has_the_rows(tmp_path: Path) -> None:
    (source,) = load(tmp_path).sources
    assert source == HubSource("o/n", "f.gguf", "main", 10, "a" * 64)


def test_a_source_of_another_size_takes_no_digest_of_the_row(tmp_path: Path) -> None:
    (source,) = load(tmp_path, sources='[{ hub = "o/n", file = "f.gguf", size = 9 }]').sources
    assert (source.size, source.sha256) == (9, None)


def test_kinds_of_sources_are_told_by_their_keys(tmp_path: Path) -> None:
    sources = """[
        { package = "p", version = "1" }, { packages = ["a", "b"], version = "2" },
        { url = "https://example.org/m.gguf" },
    ]"""
    one, two, plain = load(tmp_path, sources=sources).sources
    assert isinstance(one, PackageSource) and one.packages == ("p",)
    assert isinstance(two, PackageSource) and two.packages == ("a", "b")
    assert isinstance(plain, UrlSource) and plain.sha256 == "a" * 64


def test_a_row_without_a_size_says_about_how_much(tmp_path: Path) -> None:
    model = load(tmp_path, size=None, sha256=None, about="5")
    assert (model.size, model.about) == (None, 5)


BAD: list[tuple[dict[str, Any], str]] = [
    ({"context": '"8k"'}, r"models.toml: m.context: expected a whole number of tokens, got '8k'"),
    ({"context": "true"}, "m.context: expected a whole number"),
    ({"size": "-1"}, "m.size: expected a whole number of bytes, got -1"),
    ({"size": None}, "m.size: expected a whole number of bytes beside the sha256, it is missing"),
    ({"size": None, "sha256": None}, "m.about: expected a whole number of bytes, it is missing"),
    ({"sha256": '"ABC"'}, "m.sha256: expected a sha256"),
    ({"title": None}, "m.title: expected text, it is missing"),
    ({"file": '"../m.gguf"'}, "m.file: expected a file name"),
    ({"file": '"m.bin"'}, "m.file: expected a file name"),
    ({"license_url": '"example.org"'}, "m.license_url: expected an https address"),
    ({"license_files": '["none.txt"]'}, "none.txt is not there"),
    ({"chat_template": '"none"'}, "m.chat_template: expected one of"),
    ({"colour": '"red"'}, "m.colour: no such key"),
    ({"sources": "[]"}, "m.sources: expected a list of tables"),
    ({"sources": '[{ hub = "o", file = "f" }]'}, r"m.sources\[0\].hub: expected owner/name"),
    ({"sources": '[{ hub = "o/n", file = "../f" }]'}, r"m.sources\[0\].file: expected a path"),
    ({"sources": '[{ hub = "o/n" }]'}, r"m.sources\[0\].file"),
    (
        {"sources": '[{ package = "p" }]'},
        r"m.sources\[0\].version: expected a version of the package, it is missing",
    ),
    ({"sources": '[{ url = "http://x/" }]'}, r"m.sources\[0\].url: expected an https address"),
    (
        {"sha256": None, "sources": '[{ package = "p", version = "1" }]'},
        r"m.sources\[0\].sha256: expected size and sha256",
    ),
    ({"sources": '[{ hub = "o/n", file = "f", x = 1 }]'}, r"m.sources\[0\].x: no such key"),
]


@pytest.mark.parametrize(("changes", "said"), BAD, ids=[said for _, said in BAD])
def test_a_bad_row_is_refused_by_file_and_key(
    changes: dict[str, Any], said: str, tmp_path: Path
) -> None:
    with pytest.raises(CatalogError, match=said):
        load(tmp_path, **changes)


@pytest.mark.parametrize("names", [("a-b", "a"), ("a", "a-b-c")], ids=" ".join)
def test_row_that_another_s_updates_would_find_is_refused(
    names: tuple[str, ...], tmp_path: Path
) -> None:
    with pytest.raises(CatalogError, match=r"models.toml: a-\S+: updates of a would") as caught:
        load_all(tmp_path, *names)
    assert "a-" in caught.value.hint
    assert set(load_all(tmp_path, "ab", "a")) == {"ab", "a"}


def test_name_of_bundles_without_a_model_is_no_row_s(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match=r"models.toml: thin: the name of bundles without"):
        load_all(tmp_path, "thin")


def test_unknown_model_names_the_nearest() -> None:
    with pytest.raises(UnknownName) as caught:
        catalog.model("phi-mini")
    assert "phi4-mini" in caught.value.hint
