from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tea.cli.tea_process import SOURCES, environment, tea
from the_edge_agent import __version__


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--version"], f"tea {__version__}"),
        (["--impl"], "python"),
        (["--version", "--impl"], f"tea {__version__} (python)"),
        (["--impl", "--version"], f"tea {__version__} (python)"),
    ],
)
def test_version_and_implementation_are_said_exactly(
    tmp_path: Path, arguments: list[str], line: str
) -> None:
    done = tea(tmp_path, *arguments)
    assert (done.returncode, done.stdout.decode(), done.stderr) == (0, f"{line}\n", b"")


def imported(home: Path, *arguments: str) -> set[str]:
    """Return the top-level modules that one run of tea imports."""
    code = (
        "import sys, atexit; sys.argv = ['tea', *sys.argv[1:]];"
        "atexit.register(lambda: print(*sorted(sys.modules), file=sys.stderr));"
        "from the_edge_agent.__main__ import main; sys.exit(main())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        env=environment(home),
        cwd=home,
        check=False,
    )
    return set(done.stderr.decode().split())


def test_the_version_imports_nothing_that_it_does_not_need(tmp_path: Path) -> None:
    modules = imported(tmp_path, "--version")
    heavy = {
        "numpy",
        "jinja2",
        "yaml",
        "llama_cpp",
        "httpx",
        "asyncio",
        "argparse",
        "json",
        "ctypes",
    }
    assert not modules & heavy


def test_without_models_neither_httpx_nor_llama_is_imported(tmp_path: Path) -> None:
    file = tmp_path / "w.yaml"
    file.write_text("nodes: [{name: a, uses: template, with: {template: hi}, output: text}]\n")
    modules = imported(tmp_path, "run", str(file))
    assert "the_edge_agent.run.run" in modules
    assert not modules & {"httpx", "llama_cpp", "the_edge_agent.llm.local", "ctypes", "numpy"}


def test_what_holds_answers_is_imported_when_one_is_held(tmp_path: Path) -> None:
    code = "import sys, the_edge_agent.llm.local; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, env=environment(tmp_path), check=True
    )
    modules = set(done.stdout.decode().split())
    assert "the_edge_agent.llm.decode_loop" in modules
    assert not modules & {"llguidance", "the_edge_agent.llm.matcher"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["rnu", "x.yaml"], ["rnu", "run"]),
        (["chta"], ["chta", "chat"]),
        (["frobnicate"], ["frobnicate", "run, validate, chat, model"]),
        (["x.yaml"], ["tea run x.yaml"]),
        (["run"], ["FILE", "required"]),
        (["run", "x.yaml", "--strem"], ["--strem", "--stream"]),
        (["run", "x.yaml", "--backend", "cloud"], ["--backend", "cloud", "local", "api", "auto"]),
        (["run", "x.yaml", "y.yaml"], ["y.yaml"]),
        (["run", "missing.yaml"], ["missing.yaml cannot be read: No such file"]),
        (["run", "x.yaml", "--input"], ["--input"]),
        (["--verison"], ["--verison", "--version"]),
        (["chat", "--temperature", "9", "hi"], ["--temperature", "from 0 to 2"]),
        (["chat", "  "], ["no question"]),
        ([], ["command"]),
    ],
)
def test_wrong_usage_is_explained_with_exit_code_2(
    tmp_path: Path, arguments: list[str], words: list[str]
) -> None:
    done = tea(tmp_path, *arguments)
    assert done.returncode == 2
    assert done.stdout == b""
    assert [word for word in words if word not in done.stderr.decode()] == []
    assert "Traceback" not in done.stderr.decode()


@pytest.mark.parametrize("arguments", [["chat", "hi"], ["model"]])
def test_no_model_is_exit_code_3_with_every_way_to_one(
    tmp_path: Path, arguments: list[str]
) -> None:
    done = tea(tmp_path, *arguments)
    assert done.returncode == 3
    assert done.stdout == b""
    for word in ("no model found", "--gguf", "TEA_MODEL_PATH", "~/.cache/tea/models"):
        assert word in done.stderr.decode()


@pytest.mark.parametrize("command", ["run", "validate", "chat", "model"])
def test_every_command_has_help_with_all_its_options(tmp_path: Path, command: str) -> None:
    done = tea(tmp_path, command, "--help")
    text = done.stdout.decode()
    assert done.returncode == 0
    wanted = {
        "run": "--input --output --stream --secrets --secrets-env --fail-on-state --allow-path"
        " --gguf --backend --verbose --quiet",
        "validate": "--json --quiet",
        "chat": "--system --gguf --backend --verbose --temperature --max-tokens --seed",
        "model": "--json --gguf --verbose",
    }[command]
    for option in wanted.split():
        assert option in text


def test_the_help_says_the_exit_codes(tmp_path: Path) -> None:
    text = tea(tmp_path, "--help").stdout.decode()
    for line in ("0    done", "3    no model", "130  interrupted"):
        assert line in text


def test_the_sources_under_test_are_these(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import the_edge_agent; print(the_edge_agent.__file__)"],
        capture_output=True,
        env=environment(tmp_path),
        check=True,
    )
    assert done.stdout.decode().startswith(os.fspath(SOURCES))


@pytest.mark.parametrize("given", [None, "C", "en_US.UTF-8"])
def test_locale_of_children_is_that_of_the_caller(given: str | None, tmp_path: Path) -> None:
    code = (
        "import os, sys; from the_edge_agent.__main__ import main; sys.argv[1:] = ['--impl'];"
        "main(); print(os.environ.get('LC_CTYPE'))"
    )
    env = environment(tmp_path) | ({} if given is None else {"LC_CTYPE": given})
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=env, check=True)
    assert done.stdout.decode() == f"python\n{given}\n"


def test_openssl_settings_are_not_read_but_handed_on(tmp_path: Path) -> None:
    settings = tmp_path / "openssl.cnf"
    settings.write_text(
        "openssl_conf = all\n[all]\nproviders = some\n[some]\nnone = none\n"
        "[none]\nmodule = /nowhere.so\nactivate = 1\n"
    )
    code = (
        "import os, sys; from the_edge_agent.__main__ import main;"
        "sys.argv[1:] = ['validate', 'x']; main(); import ssl;"
        "print(len(ssl.create_default_context().get_ciphers()) > 0);"
        "print(os.environ['OPENSSL_CONF'])"
    )
    env = environment(tmp_path, OPENSSL_CONF=str(settings))
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, env=env, cwd=tmp_path, check=False
    )
    assert done.stdout.decode() == f"True\n{settings}\n", done.stderr
