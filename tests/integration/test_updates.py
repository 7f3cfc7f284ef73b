"""From one version of a bundle to the next: what is transferred, and what comes of it."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tasks.base import console, process
from tasks.base.files import sha256_of
from tasks.base.paths import BUILD, ROOT
from tasks.build import appdir, parts, updates
from tasks.build import sessions as builds
from tasks.build.bundle import Options, build
from tasks.build.pack import Layer
from tasks.build.parts import Builder, Program
from tasks.build.sessions import Request
from tasks.engine.engine import BuildOptions, Engine
from tasks.fetch.ensure import StoredModel
from tests.integration.conftest import IMPL, MODEL, TARGET, Parts
from tests.support import ranges

pytestmark = pytest.mark.integration

MOST = 0.03  # of the new file
# A change that touches several modules, as a new version's would: a folder, files, what is added.
CHANGES = {
    "python": (
        "python/src/the_edge_agent",
        ("cli/run.py", "value/value.py", "llm/local.py", "__init__.py"),
        '\n\ndef added(value: str) -> str:\n    """New."""\n    return value.upper() + "new"\n',
    ),
    "rust": (
        "rust",
        ("tea-cli/src/cli/chat.rs", "tea-cli/src/cli/validate.rs"),
        # Linked in, so that every address after it moves.
        '\n#[used]\nstatic ADDED: &str = "This line is new.";\n',
    ),
}


def next_version(impl: str, engine: Engine, root: Path) -> Program:
    """The program built from a changed copy of the sources, as another checkout would."""
    ignored = shutil.ignore_patterns("target", "__pycache__")
    for name in ("docker", "appdir", "python/src", "rust", "tasks"):
        shutil.copytree(ROOT / name, root / name, ignore=ignored)
    shutil.copy(ROOT / ".dockerignore", root)
    folder, files, text = CHANGES[impl]
    for file in files:
        with (root / folder / file).open("a") as stream:
            stream.write(text)
    llama = BUILD / f"llama-{TARGET.arch}"
    shutil.copytree(llama, root / "build" / llama.name, symlinks=True)
    shutil.copy2(BUILD / f".{llama.name}.stamp", root / "build")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts, "ROOT", root)
        patch.setattr(parts, "DOCKER", root / "docker")
        patch.setattr(parts, "BUILD", root / "build")
        patch.setattr(appdir, "SOURCE", root / "appdir")
        return Builder.on(engine, TARGET, BuildOptions()).program(impl)


@pytest.mark.parametrize("impl", ["python", "rust"])
def test_update_to_a_changed_program_transfers_little(
    impl: str, parts: Parts, model: StoredModel, tmp_path: Path
) -> None:
    (old,) = build(MODEL, TARGET.arch, Options(impls=(impl,)))
    changed = next_version(impl, parts.engine, tmp_path / "next")
    (tmp_path / "layer").mkdir()
    appdir.write_layer(tmp_path / "layer", MODEL)
    new = tmp_path / "served" / "next.AppImage"
    parts.pack(Layer(tmp_path / "layer", {MODEL.file: model}), new, changed)
    assert 0 < update(old, new, parts.engine, tmp_path) < MOST


def update(old: Path, new: Path, engine: Engine, work: Path) -> float:
    """Go from ``old`` to ``new`` with Debian's client; returns the share that was transferred."""
    zsync = Builder.on(engine, engine.target, BuildOptions()).tool("zsync", "zsync")
    sums = updates.make_zsync(new, engine)
    out = work / "updated.AppImage"
    with ranges.serve(new.parent) as server:
        argv = ["env", "-u", "http_proxy", *zsync, "-q", "-i", str(old), "-o", str(out)]
        process.run([*argv, f"{server.url}/{sums.name}"], cwd=work, quiet=True)
    assert sha256_of(out) == sha256_of(new) != sha256_of(old)
    total, size = sum(server.sent.values()), new.stat().st_size
    console.note(
        f"{new.name}: {total / 1e6:.2f} MB of {size / 1e6:.1f} MB transferred, "
        f"{total / size:.2%}; {server.sent}"
    )
    return total / size


def test_zsync_of_a_bundle_has_the_same_bytes(bundle: Path, engine: Engine, tmp_path: Path) -> None:
    found = []
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        copy = Path(shutil.copyfile(bundle, tmp_path / folder / bundle.name))
        out = updates.make_zsync(copy, engine)
        assert out == copy.with_name(f"{bundle.name}.zsync")
        found.append(out.read_bytes())
        assert {path.name for path in copy.parent.glob("[!.]*")} == {copy.name, out.name}
    assert found[0] == found[1]
    head = dict(re.findall(r"(.+): (.+)", found[0].partition(b"\n\n")[0].decode()))
    assert head["Filename"] == head["URL"] == bundle.name
    assert head["Length"] == str(bundle.stat().st_size)
    assert "MTime" not in head


def test_bundle_says_where_its_next_version_will_be(bundle: Path, tmp_path: Path) -> None:
    assert bundle.exists()  # built before, so that only the packing is left
    options = Options(impls=(IMPL,), dist=tmp_path, repository="owner/name")
    request = Request((), (TARGET.arch,), None, None, options, thin=True)
    (out,) = builds.build(request)
    said = process.capture([out, "--appimage-updateinformation"]).stdout
    pattern = f"tea-{IMPL}-llm-thin-*-{TARGET.arch}.AppImage.zsync"
    assert said == f"gh-releases-zsync|owner|name|latest|{pattern}\n"


def test_zsync_is_made_again_when_the_bundle_has_changed(
    bundle: Path, engine: Engine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "a.AppImage"
    copy.write_bytes(bundle.read_bytes()[:1_000_000])
    before = updates.make_zsync(copy, engine).read_bytes()
    updates.make_zsync(copy, engine)
    assert "skipped a.AppImage.zsync" in capsys.readouterr().err
    copy.write_bytes(bundle.read_bytes()[:1_000_001])
    assert updates.make_zsync(copy, engine).read_bytes() != before
