"""What is asked of the Hugging Face Hub: facts of a file, its address, and what a refusal means.

huggingface_hub does the asking. It is imported at the first use only, without telemetry and
without its own way of downloading.
"""

from __future__ import annotations

import functools
import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tasks.base import forms
from tasks.base.errors import AccessDenied, FetchError, NotLocked, NotPublished, Unreachable
from tasks.catalog import HubSource
from tasks.fetch.retry import Retrier, RetryPolicy, TransientError, transient
from the_edge_agent.llm.proxy import without_password

if TYPE_CHECKING:
    import httpx2

DEFAULT_ENDPOINT = "https://huggingface.co"
LIBRARY = "tea-bundles"
LARGEST = 1 << 50  # bytes of a file; a larger one is no fact


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file at a commit, by the Hub's own account. Size in bytes."""

    commit: str
    size: int
    sha256: str


def endpoint(environ: Mapping[str, str] = os.environ) -> str:
    """``$HF_ENDPOINT``, else the public Hub; without a slash at the end.

    Raises:
        FetchError: it is no address; it is not shown, since a password may be in it.
    """
    at = (environ.get("HF_ENDPOINT") or DEFAULT_ENDPOINT).rstrip("/")
    try:
        parts = urlsplit(at)
        is_address = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        is_address = False
    if not is_address:
        raise FetchError(
            "HF_ENDPOINT is no address",
            hint="write it like https://host; in a name or password / is %2F and @ is %40",
        )
    return at


def offline(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether ``$HF_HUB_OFFLINE`` forbids the network."""
    return environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")


def session() -> httpx2.Client:
    """The library's HTTP client, with proxies and certificates as curl has them."""
    _use_transport()
    from huggingface_hub import get_session

    return get_session()


@functools.cache
def _use_transport() -> None:
    """Give the library's client our transport, once."""
    _quiet()
    import httpx2
    from huggingface_hub import set_client_factory
    from huggingface_hub.utils._http import hf_request_event_hook

    from tasks.fetch.transport import Transport

    set_client_factory(
        lambda: httpx2.Client(
            transport=Transport(os.environ),
            event_hooks={"request": [hf_request_event_hook]},
            follow_redirects=True,
            timeout=None,  # each request has its own
        )
    )


def headers() -> dict[str, str]:
    """User agent, and the user's token where there is one."""
    _quiet()
    from huggingface_hub.utils._headers import build_hf_headers

    return dict(build_hf_headers(library_name=LIBRARY))


def address(source: HubSource, revision: str, at: str) -> str:
    """Where the file is downloaded from on the Hub ``at``; it redirects to signed addresses."""
    _quiet()
    from huggingface_hub import hf_hub_url

    return str(hf_hub_url(source.repo, source.file, revision=revision, endpoint=at))


def look_up(source: HubSource, at: str, policy: RetryPolicy) -> HubFile:
    """Commit, size and sha256 of the file, as the Hub ``at`` tells them now.

    Raises:
        NotPublished, AccessDenied: there is no such file, or none for this user.
        NotLocked: the Hub knows no sha256 of it, because it is not a large file.
        Unreachable: no answer after all tries.
    """
    return Retrier(source.repo, policy).run(lambda: _ask(source, at, policy))


def _ask(source: HubSource, at: str, policy: RetryPolicy) -> HubFile:
    _use_transport()
    import httpx2
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    api = HfApi(endpoint=at, library_name=LIBRARY)
    try:
        info = api.model_info(
            source.repo,
            revision=source.revision,
            files_metadata=True,
            timeout=max(policy.connect_timeout, policy.read_timeout),
        )
    except HfHubHTTPError as error:
        raise refusal(error.response, source, at, policy.now()) from error
    except httpx2.RequestError as error:
        raise failure(error) from error
    # What the library makes of an answer that is none: it takes the parts of a Hub's for granted.
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise _no_hub(at, "") from error
    for sibling in info.siblings or []:
        if sibling.rfilename == source.file:
            if sibling.lfs is None:
                raise NotLocked(
                    f"{source.repo}/{source.file}: the Hub gives no sha256 for it",
                    hint="give the row a sha256 and a size",
                )
            return _checked(info.sha, sibling.size, sibling.lfs.sha256, at)
    raise _no_file(source)


def _checked(commit: object, size: object, sha256: object, at: str) -> HubFile:
    """The facts, once they have the form of such facts: they become paths and addresses."""
    if not isinstance(commit, str) or not forms.COMMIT.fullmatch(commit):
        raise _no_hub(at, f"; commit {commit!r:.60}")
    if not isinstance(sha256, str) or not forms.SHA256.fullmatch(sha256):
        raise _no_hub(at, f"; sha256 {sha256!r:.60}")
    if type(size) is not int or not 0 < size <= LARGEST:
        raise _no_hub(at, f"; size {size!r:.60}")
    return HubFile(commit, size, sha256)


def _no_hub(at: str, what: str) -> FetchError:
    return FetchError(
        f"{without_password(at)}: the answer is not a Hub's{what}",
        hint="a proxy or a log-in page may have answered in its place; check HF_ENDPOINT",
    )


def refusal(
    response: httpx2.Response, source: HubSource, at: str, now: float
) -> FetchError | TransientError:
    """What a status of 400 or more means. Reads headers alone: a body may be anything."""
    return transient(response, now) or _refused(response, source, without_password(at))


def _refused(response: httpx2.Response, source: HubSource, at: str) -> FetchError:
    """A status that no further try changes. ``at`` is shown."""
    status = response.status_code
    code = response.headers.get("X-Error-Code", "")
    page = f"{at}/{source.repo}"
    anonymous = "authorization" not in response.request.headers
    if code == "GatedRepo":
        token = " and set HF_TOKEN to a token of that account" if anonymous else ""
        return AccessDenied(
            f"{source.repo}: its publisher gives it only to those who accept its terms",
            hint=f"accept them at {page}{token}",
        )
    if code == "RevisionNotFound":
        return NotPublished(
            f"{source.repo}: no revision {source.revision}",
            hint="correct the row's revision, or refresh the lock file: nox -s pins",
        )
    if code == "EntryNotFound":
        return _no_file(source)
    if code == "RepoNotFound" or status == 404:
        return NotPublished(
            f"{source.repo}: no such repository at {at}" + (", or a private one" * anonymous),
            hint=f"look at {page}" + ("; if it is private, set HF_TOKEN" * anonymous),
        )
    if status in (401, 403):
        return _denied(response, source, at)
    return FetchError(f"{source.repo}: {response.url.host} answers {status}")


def _denied(response: httpx2.Response, source: HubSource, at: str) -> AccessDenied:
    import httpx2

    status = response.status_code
    if response.url.origin != httpx2.URL(at).origin:
        return AccessDenied(
            f"{source.repo}: {response.url.host}, where {at} keeps it, answers {status}",
            hint="a proxy or firewall may block that host",
        )
    if "authorization" not in response.request.headers:
        return AccessDenied(
            f"{source.repo}: {at} refuses anonymous access ({status})",
            hint="set HF_TOKEN to a token of an account that may read it",
        )
    return AccessDenied(
        f"{source.repo}: {at} refuses the token ({status})",
        hint="make a new token, or unset HF_TOKEN if the repository is public",
    )


def failure(error: httpx2.RequestError) -> FetchError | TransientError:
    """What an exchange that broke off means: most pass, some never will."""
    import httpx2

    if isinstance(error, httpx2.TooManyRedirects):
        return FetchError(
            f"{error.request.url.host}: redirects in a circle",
            hint="check HF_ENDPOINT and the proxy",
        )
    if isinstance(error, httpx2.UnsupportedProtocol):
        return FetchError(f"{error}", hint="HF_ENDPOINT and proxies start with http:// or https://")
    if _has_cause(error, ssl.SSLCertVerificationError):
        return Unreachable(
            f"{error.request.url.host}: its certificate is not trusted here",
            hint="set SSL_CERT_FILE to your organisation's CA bundle",
        )
    return TransientError(f"{error.request.url.host}: {str(error) or type(error).__name__}")


def _has_cause(error: BaseException | None, kind: type[BaseException]) -> bool:
    while error is not None:
        if isinstance(error, kind):
            return True
        error = error.__cause__ or error.__context__
    return False


def _no_file(source: HubSource) -> NotPublished:
    return NotPublished(
        f"{source.repo}: no file {source.file} at {source.revision}",
        hint="the publisher may have renamed it; correct the row in models.toml",
    )


def _quiet() -> None:
    """Settings that the library reads when it is imported."""
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    os.environ["HF_HUB_DISABLE_XET"] = "1"
