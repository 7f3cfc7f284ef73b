"""Base images: pulled by digest, or made of Debian's packages when the registry is silent."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tasks import catalog
from tasks.base import build_step, console, files, process
from tasks.base.errors import (
    CommandFailed,
    EngineError,
    RegistryUnreachable,
    WrongArchitecture,
)
from tasks.base.paths import ROOT
from tasks.catalog import FallbackImage, Image, Target
from tasks.engine.engine import Engine
from tasks.host import apt, binfmt

RECIPE = "org.tea-bundles.standin"  # label: what a fallback image was made of
NEEDED = 1_000_000_000  # bytes: a root file system of Debian, unpacked and packed
_DOCKERFILE = """\
FROM scratch AS fallback
ADD rootfs.tar /
ARG RECIPE
LABEL {label}=$RECIPE
CMD ["bash"]
"""

# For the life of this process: why a registry gave no answer, and what was said about it.
_unreachable: dict[str, str] = {}
_warned: set[str] = set()


@dataclass(frozen=True, slots=True)
class Base:
    """A base image that the engine has."""

    reference: str
    origin: Literal["registry", "standin"]
    id: str

    def describe(self) -> dict[str, str]:
        """For the record of an artefact."""
        return {"reference": self.reference, "origin": self.origin, "id": self.id}


def ensure(image: Image, target: Target, engine: Engine) -> Base:
    """The base image for ``target``: as it is, pulled by digest, or its fallback image.

    A registry that gave no answer once is not asked again by this process.

    Raises:
        NoSuchImage: the registry answered that it has no such image, or sent other bytes.
        WrongArchitecture: what is there under the name is for another architecture.
        HostError: the fallback image is for an architecture that this machine cannot run.
        MissingProgram: the fallback image needs mmdebstrap, which is not installed.
        DiskFull, CommandFailed: the fallback image could not be made.
    """
    if engine.image_arch(image.reference) == target.arch:
        return _base(image.reference, "registry", target, engine)
    registry = registry_of(image)
    if registry not in _unreachable:
        try:
            with console.stage(f"Pull {image.name} for {target.arch}"):
                engine.pull(image.reference, target)
            return _base(image.reference, "registry", target, engine)
        except RegistryUnreachable as error:
            _unreachable[registry] = error.message
    return _ensure_fallback(image, target, engine, _unreachable[registry])


def registry_of(image: Image) -> str:
    """The registry's host, by Docker's rule: a first part with a dot or a colon is one."""
    first, slash, _ = image.name.partition("/")
    return first if slash and ("." in first or ":" in first) else "docker.io"


def fallback_tag(fallback: FallbackImage, target: Target) -> str:
    """The name of a fallback image in the engine."""
    return f"tea-base/debian-{fallback.suite}:{target.debian}"


def tools(name: str, engine: Engine) -> str:
    """The image that stage ``name`` of docker/NAME makes, on the base image for builds.

    Made once for a base image and the bytes of the folder.
    """
    base = ensure(catalog.images()["build"], engine.target, engine)
    folder = ROOT / "docker" / name
    sources = build_step.digest_of_files([folder, ROOT / "docker/apt"], ROOT)
    recipe = hashlib.sha256(f"{base.id} {sources}".encode()).hexdigest()
    tag = f"tea-bundles/{name}:{recipe[:12]}"
    if engine.image_id(tag) is None:
        engine.build(
            folder / "Dockerfile",
            context=ROOT,
            stage=name,
            target=engine.target,
            args={"BASE": base.reference},
            tag=tag,
        )
    return tag


def _ensure_fallback(image: Image, target: Target, engine: Engine, why: str) -> Base:
    tag = fallback_tag(image.fallback, target)
    if tag not in _warned:
        _warned.add(tag)
        console.warn(
            f"{image.name}: {registry_of(image)} cannot be reached; Debian {image.fallback.suite} "
            f"from its packages stands in ({tag})"
        )
    recipe = f"{image.fallback.suite} {' '.join(image.fallback.archives)}"
    if engine.image_labels(tag).get(RECIPE) != recipe:
        console.note(why)
        with console.stage(f"Make {tag} with mmdebstrap"):
            _make(image.fallback, recipe, tag, target, engine)
    return _base(tag, "standin", target, engine)


def _base(
    reference: str, origin: Literal["registry", "standin"], target: Target, engine: Engine
) -> Base:
    identity = engine.image_id(reference)
    if identity is None:
        raise EngineError(f"{reference}: the engine does not have it, although it said so")
    arch = engine.image_arch(reference)
    if arch != target.arch:
        raise WrongArchitecture(
            f"{reference}: is for {arch}, {target.arch} was asked for",
            hint=f"remove it, to have it made again: docker image rm {reference}",
        )
    return Base(reference, origin, identity)


def _make(fallback: FallbackImage, recipe: str, tag: str, target: Target, engine: Engine) -> None:
    binfmt.require(target)
    with tempfile.TemporaryDirectory(prefix="tea-base-") as name:
        folder = Path(name)
        files.require_space(folder.parent, NEEDED)
        release = apt.os_release()
        found = apt.entries() if release.get("ID") == "debian" else []
        archives = apt.debian_archives(found, release.get("VERSION_CODENAME", ""))
        words = mmdebstrap(
            fallback, target, folder / "rootfs.tar", archives, root=os.geteuid() == 0
        )
        # mmdebstrap as a normal user works as another id, which must reach the folder.
        folder.chmod(0o755)
        epoch = os.environ.get("SOURCE_DATE_EPOCH") or str(files.EPOCH)
        try:
            process.run(words, env={"SOURCE_DATE_EPOCH": epoch}, quiet=True)
        except CommandFailed as error:
            raise CommandFailed(
                f"no fallback image for {tag}: {error.message}",
                returncode=error.returncode,
                output=error.output,
                hint="the machine needs a registry or Debian's packages: check its network, "
                "its proxy (http_proxy) and its apt sources",
            ) from error
        dockerfile = folder / "Dockerfile"
        dockerfile.write_text(_DOCKERFILE.format(label=RECIPE), encoding="utf-8")
        args = {"RECIPE": recipe, "SOURCE_DATE_EPOCH": epoch}
        engine.build(
            dockerfile, context=folder, stage="fallback", target=target, args=args, tag=tag
        )


def mmdebstrap(
    fallback: FallbackImage, target: Target, tar: Path, archives: apt.Archives | None, *, root: bool
) -> Sequence[str]:
    """The command that writes the root file system of ``fallback`` to ``tar``.

    From this machine's own ``archives``; where it has none of Debian's (None), from those that
    mmdebstrap itself knows, less the ones that the row does not list.
    """
    mode = "root" if root else "unshare"
    words = ["mmdebstrap", "--variant=minbase", f"--mode={mode}"]
    words.append(f"--architectures={target.debian}")
    if archives is not None:
        return [*words, fallback.suite, str(tar), *apt.sources(fallback, archives)]
    unwanted = {"updates", "security"} - set(fallback.archives)
    marks = "".join(f"/{fallback.suite}[-/]{name}/d;" for name in sorted(unwanted))
    if marks:
        words.append(f"--setup-hook=sed -i '{marks}' \"$1/etc/apt/sources.list\"")
    return [*words, fallback.suite, str(tar)]
