# The freedesktop projects' own checkers of desktop files and AppStream metadata.
ARG BASE
FROM ${BASE} AS tools
RUN --mount=type=cache,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,target=/var/lib/apt,sharing=locked \
    rm -f /etc/apt/apt.conf.d/docker-clean; \
    apt-get update && apt-get install -y --no-install-recommends appstream desktop-file-utils
