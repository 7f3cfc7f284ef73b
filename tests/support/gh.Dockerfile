# GitHub's own command, for the test that publishes to a GitHub on the loopback.
ARG BASE
FROM --platform=$BUILDPLATFORM ${BASE} AS tools
RUN --mount=type=cache,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,target=/var/lib/apt,sharing=locked \
    rm -f /etc/apt/apt.conf.d/docker-clean; \
    apt-get update && apt-get install -y --no-install-recommends gh
FROM scratch AS export
COPY --from=tools /usr/bin/gh /
