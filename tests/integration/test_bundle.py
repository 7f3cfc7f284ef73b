"""The smallest bundle: built, packed, tried and broken on a real engine."""

from __future__ import annotations

import json
import mmap
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tasks import catalog, images
from tasks.base import files, process
from tasks.base.errors import CommandFailed, DiskFull, SmokeFailed
from tasks.base.paths import BUILD, ROOT
from tasks.build import appdir, pack
from tasks.build import sessions as builds
from tasks.build.bundle import Options, build
from tasks.build.pack import Layer
from tasks.build.parts import Program
from tasks.build.sessions import Request
from tasks.engine.engine import Engine, Mount
from tasks.fetch.ensure import StoredModel
from tasks.smoke import run as smoke
from tests.integration.conftest import IMPL, MODEL, TARGET, Parts, Stranger, stranger
from tests.tea.llm.api_server import answer, chat, serve
from tests.tea.llm.gguf_cases import TYPES

pytestmark = pytest.mark.integration


def record(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.with_suffix(".json").read_text())
    return found


def layer(folder: Path, model: Path, sha256: str, notices: Path | None = None) -> Layer:
    """The layer of the smallest bundle, with ``model`` in the place of the model."""
    folder.mkdir()
    appdir.write_layer(folder, MODEL, sha256=sha256, notices=notices)
    stored = StoredModel(model, sha256, model.stat().st_size, "test", None)
    return Layer(folder, {MODEL.file: stored})


# -- what was built

TENSOR_TYPES = """
import ctypes, json, sys
ggml = ctypes.CDLL(sys.argv[1])
ggml.ggml_blck_size.restype, ggml.ggml_type_size.restype = ctypes.c_int64, ctypes.c_size_t
kinds = map(int, sys.argv[2:])
print(json.dumps([[ggml.ggml_blck_size(kind), ggml.ggml_type_size(kind)] for kind in kinds]))
"""


def test_tensor_types_are_those_of_the_pinned_llama_cpp(parts: Parts) -> None:
    """What both programs' readers of GGUF are held to: tests/tea/llm/gguf_cases.py."""
    header = (BUILD / f"llama-{TARGET.arch}/include/ggml.h").read_text()
    found = re.findall(r"^ +GGML_TYPE_(\w+) += (\d+),", header, re.MULTILINE)
    kinds = {name: int(number) for name, number in found if name != "COUNT"}
    usr = parts.program.appdir / "usr"
    libraries, python = usr / "lib", next((usr / "bin").glob("python3*"))
    (loader,) = libraries.glob("ld-linux-*")
    words: list[str | Path] = [loader, "--library-path", f"{libraries}:{libraries}/llama", python]
    (ggml,) = usr.rglob("libggml-base.so.0")
    numbers = map(str, kinds.values())
    done = subprocess.run(
        [*words, "-IS", "-c", TENSOR_TYPES, ggml, *numbers], capture_output=True, check=True
    )
    sizes = json.loads(done.stdout)
    assert {
        name: (number, *size) for (name, number), size in zip(kinds.items(), sizes, strict=True)
    } == TYPES


def test_built_bundle_reads_back_as_its_record_says(bundle: Path) -> None:
    found, facts = pack.read(bundle), record(bundle)
    assert found.arch == TARGET.elf
    assert found.digest == facts["content"]
    assert found.offset + found.squashfs_size == facts["size"] == bundle.stat().st_size
    assert (facts["implementation"], facts["version"]) == (IMPL, catalog.version())


def test_model_lies_in_the_bundle_as_it_is(bundle: Path, model: StoredModel) -> None:
    with (
        bundle.open("rb") as file,
        model.path.open("rb") as plain,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as image,
        mmap.mmap(plain.fileno(), 0, access=mmap.ACCESS_READ) as content,
    ):
        at = image.find(content[:4096])
        assert at > 0
        assert image[at : at + len(content)] == content[:]


def test_bundle_costs_little_beside_its_model(bundle: Path) -> None:
    assert record(bundle)["size_without_model"] <= 28e6


def test_build_with_nothing_changed_runs_no_stage(
    bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = bundle.stat().st_mtime_ns
    capsys.readouterr()
    assert build(MODEL, TARGET.arch, Options(impls=(IMPL,))) == [bundle]
    said = capsys.readouterr().err
    for stage in ("fetching", "llama.cpp", f"{IMPL} program", "AppDir", "runtime", bundle.name):
        assert f"skipped {stage}" in said
    assert "done in" not in said
    assert bundle.stat().st_mtime_ns == before


def test_program_s_tree_fits_its_target(parts: Parts) -> None:
    assert appdir.check(parts.program.appdir, TARGET) > 10


def test_desktop_file_and_metadata_are_valid(engine: Engine, parts: Parts) -> None:
    base = images.ensure(catalog.images()["build"], engine.target, engine)
    tag = "tea-test/metadata:latest"
    dockerfile = ROOT / "tests/integration/metadata.Dockerfile"
    engine.build(
        dockerfile,
        context=dockerfile.parent,
        stage="tools",
        target=engine.target,
        args={"BASE": base.reference},
        tag=tag,
    )
    # Where the project's home page will be is not known yet.
    script = (
        "set -e; cd /AppDir; desktop-file-validate tea.desktop usr/share/applications/*.desktop; "
        "appstreamcli validate --no-net --explain --override=url-homepage-missing=info "
        "usr/share/metainfo/*.metainfo.xml"
    )
    mounts = [Mount(parts.program.appdir, "/AppDir", read_only=True)]
    done = engine.run(tag, ["sh", "-c", script], mounts=mounts, timeout=120)
    assert done.exit_code == 0, (done.stdout + done.stderr).decode()


# -- packing


def test_same_parts_packed_on_another_day_give_the_same_bytes(
    parts: Parts, model: StoredModel, bundle: Path, tmp_path: Path
) -> None:
    # Older than the time stamp that the image gives to all files, and newer.
    old = tmp_path / "model.gguf"
    shutil.copyfile(model.path, old)
    for moment in (1_000_000_000, 1_900_000_000):
        os.utime(old, (moment, moment))
        again = layer(tmp_path / str(moment), old, model.sha256, parts.runtime.parent / "notices")
        (again.folder / "bundle/bundle.json").chmod(0o600)
        # Where the next version will be is known in a checkout from GitHub.
        update = pack.read(bundle).update_information
        parts.pack(again, tmp_path / "a.AppImage", update=update)
        assert files.sha256_of(tmp_path / "a.AppImage") == files.sha256_of(bundle)


@pytest.fixture
def bundle_layer(model: StoredModel, tmp_path: Path) -> Layer:
    """The layer that ``bundle`` was packed with."""
    return layer(tmp_path / "layer", model.path, model.sha256)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 MB: the program fits, the model does not."""
    place = tmp_path / "disk"
    place.mkdir()
    root = [] if os.geteuid() == 0 else ["sudo", "-n"]
    options = f"size=64m,mode=0700,uid={os.getuid()},gid={os.getgid()}"
    mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)]
    subprocess.run([*root, *mount], check=True)
    try:
        yield place
    finally:
        subprocess.run([*root, "umount", str(place)], check=True)


@pytest.mark.parametrize("free", [None, 10**12], ids=["before the work", "in the middle of it"])
def test_full_disk_leaves_nothing_of_a_bundle(
    free: int | None, parts: Parts, bundle_layer: Layer, small_disk: Path
) -> None:
    with pytest.MonkeyPatch.context() as patch, pytest.raises(DiskFull) as caught:
        if free is not None:  # another program takes the space after it was looked at
            patch.setattr(files, "free_bytes", lambda where: free)
        parts.pack(bundle_layer, small_disk / "a.AppImage")
    assert str(small_disk) in caught.value.message
    assert list(small_disk.iterdir()) == []


def test_mksquashfs_that_fails_keeps_the_old_bundle(
    parts: Parts, bundle_layer: Layer, tmp_path: Path
) -> None:
    damaged = tmp_path / "program.squashfs"
    damaged.write_bytes(b"hsqs" + os.urandom(4096))
    program = replace(parts.program, squashfs=damaged)
    (tmp_path / "dist").mkdir()
    out = tmp_path / "dist" / "a.AppImage"
    out.write_bytes(b"an older bundle")
    with pytest.raises(CommandFailed, match="mksquashfs stopped") as caught:
        parts.pack(bundle_layer, out, program)
    assert "\n" not in caught.value.message
    assert {path.name: path.read_bytes() for path in out.parent.iterdir()} == {
        "a.AppImage": b"an older bundle"
    }


# -- the smoke test


def report(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.with_name(f"{path.stem}.smoke.json").read_text())
    return found


def failed(path: Path) -> list[str]:
    return [check["name"] for check in report(path)["checks"] if not check["passed"]]


def test_bundle_passes_the_smoke_test_and_answers_paris(
    bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    smoke.run([bundle])
    found = report(bundle)
    assert found["passed"] is True
    assert [check["name"] for check in found["checks"] if check["passed"]] == [
        "--version",
        "--impl",
        "second start unpacks nothing",
        "validate",
        "a broken workflow is refused",
        "the model answers",
    ]
    assert "Paris" in capsys.readouterr().err


def test_model_that_does_not_say_paris_fails_the_answer_alone(
    parts: Parts, model: StoredModel, bundle: Path, tmp_path: Path
) -> None:
    # One word of its vocabulary is misspelt: 7 bytes, a space (as the file writes it) and Paris.
    word = (7).to_bytes(8, "little") + "ĠParis".encode()
    content = model.path.read_bytes()
    assert content.count(word) == 1
    changed = tmp_path / "changed.gguf"
    changed.write_bytes(content.replace(word, word.replace(b"Paris", b"Pariz")))
    out = tmp_path / bundle.name
    parts.pack(layer(tmp_path / "layer", changed, files.sha256_of(changed)), out)
    shutil.copy(bundle.with_suffix(".json"), tmp_path)
    with pytest.raises(SmokeFailed):
        smoke.run([out])
    assert failed(out) == ["the model answers"]
    assert "does not contain 'Paris'" in report(out)["checks"][-1]["detail"]


@pytest.fixture
def stub(parts: Parts, tmp_path: Path) -> Program:
    """A program that is an AppRun alone, which always ends with 1."""
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "AppRun").write_text("#!/bin/sh\necho 'libc is gone' >&2\nexit 1\n")
    (tree / "AppRun").chmod(0o755)
    out = tmp_path / "program.squashfs"
    options = ["-quiet", "-no-progress", "-comp", "zstd"]
    process.run([*parts.mksquashfs, str(tree), str(out), *options])
    size = (tree / "AppRun").stat().st_size
    return replace(parts.program, squashfs=out, unpacked_size=size)


def test_broken_apprun_fails_every_check(
    stub: Program, parts: Parts, bundle: Path, tmp_path: Path
) -> None:
    tiny = tmp_path / "tiny.gguf"
    tiny.write_bytes(b"GGUF")
    out = tmp_path / bundle.name
    parts.pack(layer(tmp_path / "layer", tiny, files.sha256_of(tiny)), out, stub)
    shutil.copy(bundle.with_suffix(".json"), tmp_path)
    with pytest.raises(SmokeFailed):
        smoke.run([out])
    checks = report(out)["checks"]
    assert len(failed(out)) == len(checks) == 6
    assert "exit code 1, expected 0: libc is gone" in checks[0]["detail"]


def test_model_of_one_s_own_becomes_a_bundle_that_answers(
    bundle: Path, model: StoredModel, tmp_path: Path
) -> None:
    own = tmp_path / "my model.gguf"
    own.symlink_to(model.path)
    options = Options(impls=(IMPL,), dist=tmp_path / "out")
    (out,) = builds.build(Request((), (TARGET.arch,), own, "my-model", options))
    assert out.name == f"tea-{IMPL}-llm-my-model-{catalog.version()}-{TARGET.arch}.AppImage"
    facts = record(out)
    assert (facts["model"]["id"], facts["model"]["sha256"]) == ("my-model", model.sha256)
    smoke.run([out])
    assert report(out)["passed"] is True


# -- on a stranger's machine


def test_user_s_own_model_path_wins(clean: Stranger) -> None:
    facts = json.loads(clean.tea("model", "--json").stdout)
    assert facts["found_by"] == "bundle"
    done = clean.tea("model", "--json", env={"TEA_MODEL_PATH": "/no/such.gguf"})
    assert done.exit_code == 3
    assert b"/no/such.gguf" in done.stderr and b"TEA_MODEL_PATH" in done.stderr
    bundle = facts["path"]  # read in place; as a file of its own it is no model
    done = clean.tea("model", "--json", env={"TEA_MODEL_PATH": bundle})
    assert done.exit_code == 3
    assert bundle.encode() in done.stderr and b"not a GGUF file" in done.stderr


def test_no_library_of_the_host_is_loaded(clean: Stranger) -> None:
    host = {
        "LD_PRELOAD": "libm.so.6",
        "LD_LIBRARY_PATH": "/lib/x86_64-linux-gnu:/lib/aarch64-linux-gnu",
        "PYTHONPATH": "/no/such",
        "PYTHONHOME": "/no/such",
    }
    workflow = b"""
nodes:
  - name: look
    run: |
      import os, subprocess
      said = subprocess.run(["/bin/echo", "child"], capture_output=True, text=True)
      with open("/proc/self/maps") as maps:
          loaded = sorted({line.split()[-1] for line in maps if ".so" in line})
      return {"loaded": loaded, "names": sorted(os.environ), "child": said.stdout + said.stderr}
"""
    done = clean.tea("run", "-", stdin=workflow, env=host)
    assert done.exit_code == 0, done.stderr
    state = json.loads(done.stdout)
    appdir = os.path.commonpath(state["loaded"])
    assert appdir.startswith(smoke.HOME)
    assert not {"LD_PRELOAD", "LD_LIBRARY_PATH"} & set(state["names"])
    assert state["child"] == "child\n"


@pytest.mark.parametrize("at", ["/two words/a b.AppImage", "/new\nline/x\n"], ids=repr)
def test_bundle_starts_from_a_path_with(at: str, engine: Engine, home: str, bundle: Path) -> None:
    with stranger(engine, home, bundle, at=at) as found:
        assert found.tea("--version").stdout.decode() == f"tea {catalog.version()}\n"
        found.sh(f"ln -s '{at}' '{smoke.HOME}/a link'")
        try:
            done = found.tea("--impl", file=f"{smoke.HOME}/a link")
        finally:
            found.sh(f"rm '{smoke.HOME}/a link'")
        assert done.stdout.decode() == f"{IMPL}\n"


@pytest.mark.parametrize(
    ("limit", "threads"), [({"cpus": 1.0}, 1), ({"cpus": 0.5}, 1), ({"cpuset": "0"}, 1)], ids=str
)
def test_threads_are_no_more_than_the_container_may_use(
    limit: Any, threads: int, engine: Engine, home: str, bundle: Path
) -> None:
    with stranger(engine, home, bundle, **limit) as found:
        assert json.loads(found.tea("model", "--json").stdout)["threads"] == threads


def test_the_readmes_question_gets_an_answer(clean: Stranger) -> None:
    """README.md: dist/… chat "What is the capital of France?"."""
    output = clean.tea("chat", "What is the capital of France?", "--temperature", "0")
    assert output.exit_code == 0, output.stderr.decode()
    assert "Paris" in output.stdout.decode()


def test_an_api_is_reached_from_the_bundle(engine: Engine, bundle: Path, home: str) -> None:
    base = images.ensure(catalog.images()["smoke"], TARGET, engine)
    call = b"{prompt: hi, backend: api, model: m}"
    workflow = b"nodes:\n- {name: ask, uses: llm.call, with: " + call + b"}\n"
    with serve() as api:
        api.scripts = [answer(chat("from the API"))]
        done = engine.run(
            base.reference,
            [f"/bundle/{bundle.name}", "run", "-"],
            env={"HOME": smoke.HOME, "OPENAI_API_KEY": "k", "OPENAI_BASE_URL": api.url},
            mounts=[Mount(bundle, f"/bundle/{bundle.name}", read_only=True)],
            tmpfs={smoke.HOME: "size=512m,exec"},
            network="host",
            stdin=b"settings: {llm: {api_base: '" + api.url.encode() + b"'}}\n" + workflow,
            timeout=smoke.START_TIMEOUT,
        )
    assert done.exit_code == 0, done.stderr.decode()
    assert json.loads(done.stdout)["content"] == "from the API"
