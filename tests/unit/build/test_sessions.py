"""What `nox -s build` and its kin may be asked for, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks import catalog
from tasks.base.errors import UnknownName, UsageError
from tasks.base.paths import DIST
from tasks.build import sessions

SESSION = "build-smollm2-135m-x86_64"


def test_defaults_build_every_implementation_into_dist() -> None:
    given = sessions.request(SESSION, []).options
    assert given.impls == catalog.IMPLEMENTATIONS
    assert given.dist == DIST
    assert given.runtime is None
    assert given.build.builder is None


def test_options_reach_the_build() -> None:
    words = ["--impl", "python", "--runtime", "rt", "--dist", "out", "--builder", "far"]
    words += ["--cache-from", "a", "--cache-from", "b", "--cache-to", "c", "--no-cache"]
    given = sessions.request(SESSION, [*words, "--locked"]).options
    assert (given.impls, given.runtime) == (("python",), Path("rt"))
    assert given.dist == Path.cwd() / "out"
    assert (given.build.builder, given.build.no_cache) == ("far", True)
    assert (given.build.cache_from, given.build.cache_to) == (("a", "b"), ("c",))
    assert given.fetch.locked


def test_place_of_the_next_version_is_option_or_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GITHUB_REPOSITORY", "owner/of-ci")
    assert sessions.request(SESSION, []).options.repository == "owner/of-ci"
    words = ["--update-repo", "me/mine"]
    assert sessions.request(SESSION, words).options.repository == "me/mine"
    with pytest.raises(UsageError, match="repository 'mine': expected OWNER/NAME"):
        sessions.request(SESSION, ["--update-repo", "mine"])


@pytest.mark.parametrize(("ci", "word", "locked"), [
    ("1", None, True),
    ("", None, False),
    ("1", "--no-locked", False),
    ("", "--locked", True),
])  # fmt: skip
def test_digests_must_be_locked_in_ci_unless_told_otherwise(
    ci: str, word: str | None, locked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", ci)
    assert sessions.request(SESSION, [word] if word else []).options.fetch.locked is locked


def test_build_takes_models_and_architectures() -> None:
    words = ["--model", "smollm2-135m", "--model", "gemma3-1b", "--arch", "aarch64"]
    request = sessions.request("build", words)
    assert request.models == ("smollm2-135m", "gemma3-1b")
    assert request.archs == ("aarch64",)


def test_build_is_for_this_machine_unless_told() -> None:
    request = sessions.request("build", ["--model", "smollm2-135m"])
    assert request.archs == (catalog.native_target().arch,)


def test_all_is_every_model_on_the_given_architectures() -> None:
    assert sessions.request("build", ["--all"]).models == tuple(catalog.models())
    assert sessions.request("build", ["--all"]).archs == tuple(catalog.targets())
    assert sessions.request("build", ["--all", "--arch", "x86_64"]).archs == ("x86_64",)


def test_build_takes_a_file_of_one_s_own() -> None:
    request = sessions.request("build", ["--model-file", "my.gguf", "--name", "mine"])
    assert (request.model_file, request.name) == (Path("my.gguf"), "mine")
    assert request.models == ()


def test_build_takes_no_model_at_all() -> None:
    request = sessions.request("build", ["--thin", "--arch", "aarch64", "--impl", "rust"])
    assert (request.thin, request.models, request.archs) == (True, (), ("aarch64",))
    assert request.options.impls == ("rust",)
    assert not sessions.request("build", ["--model", "smollm2-135m"]).thin


UNKNOWN = [
    (["--model", "gemma3-1"], "model", "gemma3-1", "gemma3-1b"),
    (["--model", "smollm2-135m", "--arch", "x86-64"], "architecture", "x86-64", "x86_64"),
    (["--model", "smollm2-135m", "--impl", "pyton"], "implementation", "pyton", "python"),
    (["--modle", "smollm2-135m"], "option", "--modle", "--model"),
    (["--arhc=x86_64"], "option", "--arhc", "--arch"),
    # No abbreviations: a script must not change its meaning when an option is added.
    (["--mod", "smollm2-135m"], "option", "--mod", "--model"),
]


@pytest.mark.parametrize(("words", "kind", "name", "near"), UNKNOWN)
def test_unknown_name_comes_with_the_nearest(
    words: list[str], kind: str, name: str, near: str
) -> None:
    with pytest.raises(UnknownName) as caught:
        sessions.request("build", words)
    assert caught.value.message == f"unknown {kind} {name!r}"
    assert caught.value.hint == f"did you mean {near!r}?"
    assert caught.value.exit_code == 2


def test_name_that_is_near_to_nothing_comes_with_all_there_are() -> None:
    with pytest.raises(UnknownName) as caught:
        sessions.request("build", ["--model", "zzzz"])
    assert "smollm2-135m" in caught.value.hint and "phi4-mini" in caught.value.hint


MISUSED = [
    ([], "nothing to build"),
    (["--model-file", "my.gguf"], "--model-file and --name go together"),
    (["--name", "mine", "--model", "smollm2-135m"], "--model-file and --name go together"),
    (["--all", "--model", "smollm2-135m"], "--model and --all do not go together"),
    (["--all", "--model-file", "a", "--name", "a"], "--all and --model-file do not go together"),
    (["--thin", "--model", "smollm2-135m"], "--model and --thin do not go together"),
    (["--thin", "--name", "mine"], "--model-file and --name go together"),
    (["--model"], "argument --model: expected one argument"),
    (["smollm2-135m"], "unexpected argument 'smollm2-135m'"),
]


@pytest.mark.parametrize(("words", "message"), MISUSED)
def test_misuse_is_said_in_one_line(words: list[str], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        sessions.request("build", words)
    assert caught.value.message == message
    assert "\n" not in caught.value.hint
    assert caught.value.exit_code == 2


def test_session_of_one_model_takes_no_other() -> None:
    with pytest.raises(UnknownName, match="unknown option '--model'"):
        sessions.request(SESSION, ["--model", "gemma3-1b"])
