"""What a user reads of a release: files, memory, licences, how to check and join, what changed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from tasks import catalog
from tasks.base import console, files, git
from tasks.base.paths import ROOT
from tasks.build import updates
from tasks.release.artefacts import SUMS, Artefact

NAME = "RELEASE_NOTES.md"
CHANGELOG = ROOT / "CHANGELOG.md"
MOST_CHANGES = 100  # subjects of commits, where no changelog tells them


def write(
    dist: Path,
    artefacts: Sequence[Artefact],
    parts: Mapping[str, Sequence[Path]],
    others: Sequence[Path],
) -> Path:
    """Write the notes to ``dist``. ``parts`` are the files of those that are split, by name;
    ``others`` what is published beside bundles and what belongs to them.
    """
    out = dist / NAME
    sections = [
        f"# TEA bundles {catalog.version()}",
        "One file that chats offline. Download one, make it executable, run it:",
        "```sh\nchmod +x tea-*.AppImage\n./tea-*.AppImage chat\n```",
        _table(artefacts, parts),
        *([_others(others)] if others else []),
        *([_joining(artefacts, parts)] if parts else []),
        _verifying(),
        _licences(artefacts),
        _changes(),
    ]
    with files.disk_errors(dist):
        files.write_text(out, "\n\n".join(sections) + "\n")
    return out


def _table(artefacts: Sequence[Artefact], parts: Mapping[str, Sequence[Path]]) -> str:
    lines = [
        "## Bundles",
        "",
        "| file | model | size | memory | context | licence of the model |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for artefact in artefacts:
        size = f"{artefact.size / 1e6:,.0f} MB"
        if artefact.name in parts:
            size += f" in {len(parts[artefact.name]) - 1} parts"
        lines.append(f"| `{artefact.name}` | {' | '.join((*_model_cells(artefact, size),))} |")
    lines += [
        "",
        "Memory is the most that it takes with a full context: the model, its key-value cache and "
        "the working buffers. The model's share is mapped from the file and can be shared and "
        "given back; models with sliding windows need less for the cache. A bundle without a "
        "model takes the GGUF file that lies beside it.",
    ]
    return "\n".join(lines)


def _model_cells(artefact: Artefact, size: str) -> tuple[str, ...]:
    model = artefact.model
    if model is None:
        return ("none: takes the one beside it", size, "", "", "")
    rows = catalog.models()
    title = rows[model["id"]].title if model["id"] in rows else str(model["id"])
    url = model.get("license_url")
    terms = f"[{model['license']}]({url})" if url else str(model["license"])
    return (title, size, _memory(artefact), f"{model['context']:,} tokens", terms)


def _memory(artefact: Artefact) -> str:
    """At full speed, and with the weights as they lie in the file."""
    need = artefact.record.get("memory")
    if not need:
        return "not known"
    most = sum(need.values())
    return f"{most / 1e9:.1f} GB, {(most - need['repacked']) / 1e9:.1f} GB at the least"


def _others(others: Sequence[Path]) -> str:
    lines = [f"- `{path.name}`, {path.stat().st_size / 1e6:,.1f} MB" for path in others]
    return "\n".join(["## Also here", "", *lines])


def _joining(artefacts: Sequence[Artefact], parts: Mapping[str, Sequence[Path]]) -> str:
    """How to make one file of the parts, by script and by hand."""
    text = ["## Files in parts", ""]
    text += [
        "A file of a release has fewer than 2 GiB. Put all parts of a bundle and its `.join.sh` "
        "(read it: it is short) into one folder:",
        "",
        "```sh",
    ]
    text += [f"sh {parts[name][-1].name}" for name in sorted(parts)]
    text += ["```", "", "By hand it is one line each; on Windows use WSL, where bundles run too:"]
    text += ["", "```sh"]
    for artefact in artefacts:
        if artefact.name in parts:
            text.append(
                f"cat {artefact.name}.part* > {artefact.name} "
                f"&& echo '{artefact.sha256}  {artefact.name}' | sha256sum -c"
            )
    return "\n".join([*text, "```"])


def _verifying() -> str:
    repository = updates.repository() or "OWNER/NAME"
    return f"""\
## Check what you run

```sh
sha256sum -c --ignore-missing {SUMS}
gh attestation verify FILE --repo {repository}
```

The first line says that the files are whole, the second that this repository's own workflow made
them from its commit. `FILE.intoto.jsonl` says the same unsigned: commit, command and the digests of
everything that went in. `FILE.cdx.json` is a bill of materials (CycloneDX 1.6). Where a build was
not made by the workflow there is no attestation, and nothing is signed."""


def _licences(artefacts: Sequence[Artefact]) -> str:
    terms = {}
    for artefact in artefacts:
        if artefact.model is not None:
            url = artefact.model.get("license_url") or ""
            terms[f"{artefact.model['id']}: {artefact.model['license']}"] = url
    lines = [f"- {name}{f', <{url}>' if url else ''}" for name, url in sorted(terms.items())]
    head = [
        "## Licences",
        "",
        "The project is under the MIT licence. The texts of everything in the bundles are in each "
        "of them below `usr/share/licenses`, and together in "
        f"`{licenses_name()}`. The models have terms of their own:",
        "",
    ]
    return "\n".join([*head, *lines] if lines else head[:-2])


def licenses_name() -> str:
    """Name of the archive of licences."""
    return f"tea-licenses-{catalog.version()}.tar.xz"


def _changes() -> str:
    """The changelog's section of this version, else the commits since the last tag."""
    section = changelog_section(catalog.version())
    if section:
        return f"## Changes\n\n{section}"
    tag = git.last_tag()
    if tag is None:
        return "## Changes\n\nThe first release."
    subjects = git.subjects(tag)
    if not subjects:
        console.warn(f"no commit since {tag}: the notes list no changes")
    lines = [f"- {subject}" for subject in subjects[:MOST_CHANGES]]
    if len(subjects) > MOST_CHANGES:
        lines.append(f"- and {len(subjects) - MOST_CHANGES} more")
    return "\n".join([f"## Changes since {tag}", "", *lines])


def changelog_section(version: str, path: Path = CHANGELOG) -> str:
    """What the changelog says of ``version``, without its heading; "" where it says nothing."""
    if not path.exists():
        return ""
    found = re.search(
        rf"^## \[?{re.escape(version)}\]?[^\n]*\n(.*?)(?=^## |^\[[^\]]+\]: |\Z)",
        path.read_text(encoding="utf-8"),
        re.MULTILINE | re.DOTALL,
    )
    # Its own headings are one level deeper in the notes.
    return re.sub(r"^(#+) ", r"\1 ", found[1].strip(), flags=re.MULTILINE) if found else ""
