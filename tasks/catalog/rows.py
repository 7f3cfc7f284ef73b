"""Loads data/ into frozen dataclasses and refuses a row that is incomplete."""

from __future__ import annotations

import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tasks.base import forms
from tasks.base.errors import CatalogError, UnknownName
from tasks.base.paths import ROOT
from tasks.base.toml_table import TomlRow, read_tables
from the_edge_agent.llm.proxy import without_password

DATA = Path(__file__).with_name("data")
LICENSES = DATA / "licenses"
CHAT_TEMPLATES = DATA / "chat_templates"
IMPLEMENTATIONS = ("python", "rust")
QUICKSTART = "smollm2-135m"  # the smallest model that answers
THIN = "thin"  # where others have a model's id, a bundle that has none


@dataclass(frozen=True, slots=True)
class Target:
    """One architecture; each field is what one family of tools calls it."""

    arch: str
    debian: str
    gnu: str
    cross: str
    rust: str
    elf: str
    loader: str
    wheel: str
    branch_protection: str  # "" where gcc has no such flag
    backends_left_out: tuple[str, ...]
    runner: str

    @property
    def platform(self) -> str:
        """As Docker and BuildKit write it."""
        return f"linux/{self.debian}"

    @property
    def build_args(self) -> Mapping[str, str]:
        """What Dockerfiles are told about it, since they name no architecture."""
        return {
            "TARGET_DEBIAN": self.debian,
            "TARGET_GNU": self.gnu,
            "TARGET_CROSS": self.cross,
            "TARGET_RUST": self.rust,
            "TARGET_WHEEL": self.wheel,
            "TARGET_BRANCH_PROTECTION": self.branch_protection,
            "TARGET_BACKENDS_LEFT_OUT": " ".join(self.backends_left_out),
        }


@dataclass(frozen=True, slots=True)
class FallbackImage:
    """A Debian suite, and those of its archives (main, updates, security) that are complete."""

    suite: str
    archives: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Image:
    """A base image, named by digest."""

    id: str
    name: str
    digest: str
    fallback: FallbackImage

    @property
    def reference(self) -> str:
        """What Docker pulls."""
        return f"{self.name.partition(':')[0]}@{self.digest}"


@dataclass(frozen=True, slots=True)
class PackageSource:
    """A model inside Python packages: one wheel, or parts to be joined in the order written."""

    packages: tuple[str, ...]
    version: str
    size: int
    sha256: str

    @property
    def label(self) -> str:
        """Names the source in records and messages."""
        return f"package {' + '.join(self.packages)} {self.version}"


@dataclass(frozen=True, slots=True)
class HubSource:
    """A file of a Hugging Face repository; what the row does not say, the lock file does."""

    repo: str
    file: str
    revision: str
    size: int | None
    sha256: str | None

    @property
    def label(self) -> str:
        """Names the source in records and messages."""
        return f"hub {self.repo}/{self.file}@{self.revision}"


@dataclass(frozen=True, slots=True)
class UrlSource:
    """A plain download."""

    url: str
    size: int
    sha256: str

    @property
    def label(self) -> str:
        """Names the source in records and messages."""
        return f"url {without_password(self.url)}"


Source = PackageSource | HubSource | UrlSource


@dataclass(frozen=True, slots=True)
class Model:
    """One row of models.toml. Sizes in bytes, context in tokens.

    ``size`` and ``sha256`` are exact or None: what the table does not know, models.lock.toml
    takes from the Hub, and ``StoredModel`` has always. ``about`` is for planning alone.
    """

    id: str
    title: str
    architecture: str
    quantization: str
    context: int
    license: str
    license_url: str
    license_files: tuple[Path, ...]  # texts that must travel with the model
    file: str
    size: int | None
    about: int
    sha256: str | None
    sources: tuple[Source, ...]
    chat_template: Path | None  # Jinja text for a file that has none of its own
    chat_system: str | None = None  # system text of `tea chat`, where the user gives none
    smoke_answer: str = ""  # what its answer to "capital of France?" holds, where that is known
    release: bool = False  # whether a tag makes bundles of it


@dataclass(frozen=True, slots=True)
class Bundle:
    """What one AppImage is made of. Without a model it takes one that lies beside it."""

    impl: str
    model: Model | None
    target: Target

    @property
    def id(self) -> str:
        """What tells it from other bundles of its implementation and architecture."""
        return self.model.id if self.model else THIN

    def file_name(self, version: str) -> str:
        """Name of the artefact."""
        return f"tea-{self.impl}-llm-{self.id}-{version}-{self.target.arch}.AppImage"


@cache
def targets(path: Path = DATA / "targets.toml") -> Mapping[str, Target]:
    """All architectures by ``uname -m``'s name."""
    found = {}
    for arch, row in read_tables(path).items():
        found[arch] = Target(
            arch=arch,
            debian=row.text("debian"),
            gnu=row.text("gnu"),
            cross=row.text("cross"),
            rust=row.text("rust"),
            elf=row.text("elf"),
            loader=row.text("loader"),
            wheel=row.text("wheel"),
            branch_protection=row.optional_text("branch_protection") or "",
            backends_left_out=row.texts("backends_left_out"),
            runner=row.text("runner"),
        )
        row.end()
    return found


@cache
def images(path: Path = DATA / "images.toml") -> Mapping[str, Image]:
    """All base images by their part in the build."""
    found = {}
    for name, row in read_tables(path).items():
        fallback = row.row("fallback")
        found[name] = Image(
            id=name,
            name=row.text("name"),
            digest=row.text("digest", re.compile("sha256:[0-9a-f]{64}"), "sha256:…"),
            fallback=FallbackImage(fallback.text("suite"), fallback.texts("archives")),
        )
        fallback.end()
        row.end()
    return found


@cache
def models(path: Path = DATA / "models.toml") -> Mapping[str, Model]:
    """All models by id."""
    found = {name: _model(name, row) for name, row in read_tables(path).items()}
    for name in found:
        if name == THIN:
            raise CatalogError(f"{path.name}: {name}: the name of bundles without a model")
        # An update looks for tea-IMPL-llm-ID-*-ARCH and must not find another model's bundle.
        if longer := next((other for other in found if other.startswith(f"{name}-")), None):
            raise CatalogError(
                f"{path.name}: {longer}: updates of {name} would take its bundles for theirs",
                hint=f"choose an id that does not begin with {name}-",
            )
    return found


def _model(name: str, row: TomlRow) -> Model:
    size = row.integer("size", "bytes") if row.has("size") else None
    sha256 = row.sha256() if row.has("sha256") else None
    if sha256 is not None and size is None:
        raise row.error("size", "a whole number of bytes beside the sha256")
    model = Model(
        id=name,
        title=row.text("title"),
        architecture=row.text("architecture"),
        quantization=row.text("quantization"),
        context=row.integer("context", "tokens"),
        license=row.text("license"),
        license_url=row.text("license_url", re.compile(r"https://\S+"), "an https address"),
        license_files=_license_files(row),
        file=row.text(
            "file",
            re.compile(rf"{forms.FILE_NAME.pattern}(?<=\.gguf)"),
            "a file name that ends in .gguf",
        ),
        size=size,
        about=size if size is not None else row.integer("about", "bytes"),
        sha256=sha256,
        sources=tuple(_source(source, size, sha256) for source in row.rows("sources")),
        chat_template=_chat_template(row),
        chat_system=row.optional_text("chat_system"),
        smoke_answer=row.optional_text("smoke_answer") or "",
        release=row.flag("release"),
    )
    row.end()
    return model


def _chat_template(row: TomlRow) -> Path | None:
    if not row.has("chat_template"):
        return None
    known = {file.stem: file for file in CHAT_TEMPLATES.glob("*.jinja")}
    name = row.text("chat_template", re.compile("|".join(known)), f"one of {', '.join(known)}")
    return known[name]


def _license_files(row: TomlRow) -> tuple[Path, ...]:
    if not row.has("license_files"):
        return ()
    files = tuple(
        LICENSES / name for name in row.texts("license_files", forms.FILE_NAME, "file names")
    )
    for file in files:
        if not file.is_file():
            raise row.error("license_files", f"files of {LICENSES.name}/; {file.name} is not there")
    return files


def _source(row: TomlRow, size: int | None, sha256: str | None) -> Source:
    """A source promises the row's file, or with a size or sha256 of its own another one."""
    if row.has("size") or row.has("sha256"):
        size = row.integer("size", "bytes") if row.has("size") else None
        sha256 = row.sha256() if row.has("sha256") else None
    source: Source
    if row.has("hub"):
        source = HubSource(
            repo=row.text("hub", forms.REPOSITORY, "owner/name"),
            file=row.text("file", forms.FILE_PATH, "a path in the repository"),
            revision=row.optional_text("revision", forms.REVISION, "a branch, tag or commit")
            or "main",
            size=size,
            sha256=sha256,
        )
        row.end()
        return source
    if size is None or sha256 is None:
        raise row.error("sha256", "size and sha256, here or in the row (only a Hub can tell them)")
    if row.has("package"):
        source = PackageSource((_package(row),), _version(row), size, sha256)
    elif row.has("packages"):
        source = PackageSource(
            row.texts("packages", forms.PACKAGE, "package names"), _version(row), size, sha256
        )
    else:
        source = UrlSource(
            row.text("url", re.compile(r"https://\S+"), "an https address"), size, sha256
        )
    row.end()
    return source


def _package(row: TomlRow) -> str:
    return row.text("package", forms.PACKAGE, "the name of a package")


def _version(row: TomlRow) -> str:
    return row.text("version", forms.VERSION, "a version of the package")


def model(name: str) -> Model:
    """The model called ``name``, or ``UnknownName`` with the nearest."""
    try:
        return models()[name]
    except KeyError:
        raise UnknownName("model", name, models()) from None


def target(arch: str) -> Target:
    """The architecture called ``arch``, or ``UnknownName`` with the nearest."""
    try:
        return targets()[arch]
    except KeyError:
        raise UnknownName("architecture", arch, targets()) from None


def implementations(name: str | None) -> tuple[str, ...]:
    """The implementation called ``name``, or ``UnknownName`` with the nearest; all for None."""
    if name is None:
        return IMPLEMENTATIONS
    if name not in IMPLEMENTATIONS:
        raise UnknownName("implementation", name, IMPLEMENTATIONS)
    return (name,)


def native_target() -> Target:
    """The architecture of this machine."""
    return target(
        {"amd64": "x86_64", "arm64": "aarch64"}.get(platform.machine(), platform.machine())
    )


def version() -> str:
    """The project's version: the one place is python/src/the_edge_agent/__init__.py."""
    text = (ROOT / "python/src/the_edge_agent/__init__.py").read_text(encoding="utf-8")
    found = re.search(r'^__version__ = "([^"]+)"$', text, re.MULTILINE)
    if not found:
        raise CatalogError('the_edge_agent/__init__.py: no line __version__ = "…"')
    return found.group(1)
