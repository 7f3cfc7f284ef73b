# Checkers that are not Python packages.
ARG BASE
FROM --platform=$BUILDPLATFORM ${BASE} AS lint
RUN --mount=type=cache,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,target=/var/lib/apt,sharing=locked \
    rm -f /etc/apt/apt.conf.d/docker-clean; \
    apt-get update && apt-get install -y --no-install-recommends shellcheck
