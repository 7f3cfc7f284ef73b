"""What the Hub may refuse, what the environment asks for, and who sees the token."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tasks.base import errors
from tasks.base.errors import describe
from tasks.catalog import HubSource, UrlSource
from tasks.fetch import ensure
from tasks.fetch import hub as hub_module
from tasks.fetch.ensure import FetchOptions
from tests.support import fetching, loopback
from tests.support.fetching import CONTENT, Waits
from tests.support.loopback import LoopbackHub

TOKEN = "hf_secretsecretsecretsecret"


@dataclass(frozen=True)
class Absent:
    name: str
    source: HubSource
    said: str


@pytest.mark.parametrize("known", [True, False], ids=["digest known", "digest asked for"])
@pytest.mark.parametrize(
    "absent",
    [
        Absent("repository", fetching.source("owner/none"), "owner/none: no such repository"),
        Absent("file", fetching.source(file="none.gguf"), "no file none.gguf at main"),
        Absent("revision", fetching.source(revision="unknown"), "no revision unknown"),
    ],
    ids=lambda absent: absent.name,
)
def test_what_is_not_there_is_told_apart_at_the_first_try(
    absent: Absent, known: bool, hub: LoopbackHub, store: Path, waits: Waits
) -> None:
    source = absent.source if known else replace(absent.source, sha256=None)
    with pytest.raises(errors.NotPublished, match=absent.said) as caught:
        ensure.ensure(fetching.model(source), fetching.options(hub, store, waits))
    assert caught.value.hint
    assert waits.asked == []
    assert fetching.final_bytes(store) is None


@dataclass(frozen=True)
class Gate:
    """``sent`` is the user's token, ``accepted`` the one that opens; None for none."""

    name: str
    sent: str | None
    accepted: str
    knows_token: bool = True
    said: str = ""
    hint: str = ""


GATES = [
    Gate("401 without a token", None, TOKEN, said="accept its terms", hint="HF_TOKEN"),
    Gate("403 with a token that has not accepted", "hf_other", TOKEN, said="accept its terms"),
    Gate("401 with a token nobody knows", "hf_other", TOKEN, False, "refuses the token", "unset"),
    Gate("the right token", TOKEN, TOKEN),
]


@pytest.mark.parametrize("gate", GATES, ids=lambda gate: gate.name)
def test_gated_repository_says_what_to_accept_and_where(
    gate: Gate,
    hub: LoopbackHub,
    chosen: FetchOptions,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    if gate.sent:
        monkeypatch.setenv("HF_TOKEN", gate.sent)
    hub.plan(token=gate.accepted, knows_token=gate.knows_token)
    if gate.said:
        with pytest.raises(errors.AccessDenied, match=gate.said) as caught:
            ensure.ensure(fetching.model(), chosen)
        assert gate.hint in caught.value.hint
        if gate.said == "accept its terms":
            assert f"{hub.endpoint}/{fetching.REPO}" in caught.value.hint
        assert not gate.sent or gate.sent not in describe(caught.value)
    else:
        assert ensure.ensure(fetching.model(), chosen).path.read_bytes() == CONTENT
    assert [entry["on"] for entry in hub.log].count("resolve") == 1
    said = "".join(capfd.readouterr())
    assert TOKEN not in said and "hf_other" not in said


def test_token_goes_to_the_hub_and_not_where_it_redirects_to(
    hub: LoopbackHub, store: Path, waits: Waits, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    hub.plan(token=TOKEN, faults=[{"on": "cdn", "kind": "reset", "after": 1000, "times": 2}])
    unlocked = fetching.model(fetching.source(sha256=None))
    ensure.ensure(unlocked, fetching.options(hub, store, waits))
    seen = {(entry["on"], entry["authorized"]) for entry in hub.log}
    assert seen == {("api", True), ("resolve", True), ("cdn", False)}


def test_token_is_not_sent_to_a_plain_address(
    hub: LoopbackHub, store: Path, waits: Waits, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    url = f"{hub.endpoint}/{fetching.REPO}/resolve/main/{fetching.FILE}"
    plain: Any = UrlSource(url, fetching.SIZE, fetching.SHA256)
    stored = ensure.ensure(
        replace(fetching.model(), sources=(plain,)), fetching.options(hub, store, waits)
    )
    assert stored.path.read_bytes() == CONTENT
    assert not any(entry["authorized"] for entry in hub.log)


@pytest.mark.parametrize(
    ("status", "error"),
    [(404, errors.NotPublished), (403, errors.AccessDenied), (418, errors.FetchError)],
)
def test_plain_address_fails_for_good_at_once(
    status: int, error: type[Exception], hub: LoopbackHub, store: Path, waits: Waits
) -> None:
    hub.plan(faults=[{"on": "resolve", "kind": "status", "status": status}])
    url = f"{hub.endpoint}/{fetching.REPO}/resolve/main/{fetching.FILE}"
    plain: Any = UrlSource(url, fetching.SIZE, fetching.SHA256)
    with pytest.raises(error):
        ensure.ensure(
            replace(fetching.model(), sources=(plain,)), fetching.options(hub, store, waits)
        )
    assert waits.asked == []


def test_offline_with_the_file_in_the_store_is_no_matter(
    hub: LoopbackHub, store: Path, waits: Waits
) -> None:
    chosen = fetching.options(hub, store, waits)
    ensure.ensure(fetching.model(), chosen)
    hub.plan()
    assert ensure.ensure(fetching.model(), replace(chosen, offline=True)).path.is_file()
    assert hub.log == []


def test_offline_without_the_file_fails_and_asks_nothing(
    hub: LoopbackHub, store: Path, waits: Waits
) -> None:
    chosen = replace(fetching.options(hub, store, waits), offline=True)
    with pytest.raises(errors.Unreachable, match="not in the store"):
        ensure.ensure(fetching.model(), chosen)
    assert hub.log == [] and waits.asked == []


def test_a_file_in_the_store_needs_no_request(hub: LoopbackHub, store: Path, waits: Waits) -> None:
    chosen = fetching.options(hub, store, waits)
    first = ensure.ensure(fetching.model(), chosen)
    hub.plan()
    assert ensure.ensure(fetching.model(), chosen) == first
    assert hub.log == []


def test_environment_says_where_and_how(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://hub.example/")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("CI", "true")
    monkeypatch.setenv("TEA_BUNDLES_CACHE", str(tmp_path))
    chosen = FetchOptions()
    assert chosen.endpoint == "http://hub.example"
    assert chosen.offline and chosen.locked
    assert chosen.root == tmp_path / "models"
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setenv("CI", "")
    assert not FetchOptions().offline and not FetchOptions().locked


def test_password_of_the_endpoint_is_never_shown_nor_kept(
    hub: LoopbackHub, store: Path, waits: Waits, capsys: pytest.CaptureFixture[str]
) -> None:
    endpoint = hub.endpoint.replace("//", "//user:secret-word@")
    chosen = replace(fetching.options(hub, store, waits), endpoint=endpoint, lock=None)
    ensure.ensure(fetching.model(fetching.source(sha256=None)), chosen)
    shown = [capsys.readouterr().err]
    assert f"{hub.endpoint} says sha256" in shown[0]
    absent = fetching.model(fetching.source("owner/none", sha256=None))
    statuses: list[dict[str, Any]] = [
        {"kind": "status", "status": status} for status in (401, 403, 404, 418)
    ]
    for fault in (*statuses, {"kind": "answer", "body": "[]"}, {"kind": "loop"}):
        hub.plan(faults=[{"on": "api", "times": 99, **fault}])
        with pytest.raises(errors.FetchError) as caught:
            ensure.ensure(absent, chosen)
        shown.append(describe(caught.value) + capsys.readouterr().err)
    kept = [path for path in store.rglob("*") if path.is_file()]
    shown += [f"{path} {path.read_bytes()!r}" for path in kept]
    assert any(path.parent.name == "locks" for path in kept)
    assert not [text for text in shown if "secret-word" in text or "user" in text.lower()]


@pytest.mark.parametrize(
    "address", ["hub.test", "ftp://hub.test", "https://u:secret/word@hub.test", "https://:80"]
)
def test_endpoint_that_is_no_address_is_refused_unshown(address: str) -> None:
    with pytest.raises(errors.FetchError, match="HF_ENDPOINT is no address") as caught:
        hub_module.endpoint({"HF_ENDPOINT": address})
    assert "secret" not in describe(caught.value)


def test_proxy_carries_every_request(
    hub: LoopbackHub, store: Path, waits: Waits, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", hub.endpoint)
    chosen = replace(fetching.options(hub, store, waits), endpoint="http://hub.invalid")
    unlocked = fetching.model(fetching.source(sha256=None))
    assert ensure.ensure(unlocked, chosen).path.read_bytes() == CONTENT
    assert len(hub.log) == 3 and all(entry["via_proxy"] for entry in hub.log)


@pytest.mark.parametrize("trusted", [True, False])
def test_private_ca_is_trusted_when_ssl_cert_file_names_it(
    trusted: bool, store: Path, waits: Waits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pem, certificate = tmp_path / "both.pem", tmp_path / "ca.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
         "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
         "-keyout", pem, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    pem.write_bytes(pem.read_bytes() + certificate.read_bytes())
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with loopback.running(tmp_path / "hub", "--tls", str(pem)) as hub:
        hub.serve(f"{fetching.REPO}/{fetching.FILE}", CONTENT)
        if trusted:
            stored = ensure.ensure(fetching.model(), fetching.options(hub, store, waits))
            assert stored.path.read_bytes() == CONTENT
            return
        with pytest.raises(errors.Unreachable, match="certificate is not trusted") as caught:
            ensure.ensure(fetching.model(), fetching.options(hub, store, waits))
        assert "SSL_CERT_FILE" in caught.value.hint
        assert waits.asked == []


def test_no_hub_at_all_is_given_up_after_a_few_tries(store: Path, waits: Waits) -> None:
    nowhere = LoopbackHub(store, "http://127.0.0.1:9", "", "")
    with pytest.raises(errors.Unreachable, match="gave up after 5 tries"):
        ensure.ensure(fetching.model(), fetching.options(nowhere, store, waits))
    assert waits.asked == [1, 2, 4, 8]


def test_an_answer_that_is_not_a_hubs_is_no_traceback(
    hub: LoopbackHub, store: Path, waits: Waits
) -> None:
    hub.plan(faults=[{"on": "api", "kind": "status", "status": 200, "times": 9}])
    with pytest.raises(errors.FetchError, match="not a Hub's"):
        ensure.ensure(
            fetching.model(fetching.source(sha256=None)), fetching.options(hub, store, waits)
        )


def test_library_is_not_imported_before_it_is_needed() -> None:
    code = (
        "import sys; from tasks import catalog; from tasks.fetch import ensure, gguf, sessions;"
        "sys.exit(any(name in sys.modules for name in ('huggingface_hub', 'httpx2')))"
    )
    from tests.support.loopback import ROOT

    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_address_of_a_file_is_quoted_and_pinned() -> None:
    url = hub_module.address(fetching.source(), "abc", "http://hub.example")
    assert url == "http://hub.example/owner/name/resolve/abc/model.gguf"
