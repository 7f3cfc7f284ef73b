# A second builder and a registry on one machine, where Docker Hub's images of them are not to be
# had: BuildKit from its Go modules, the registry from Debian. For tests only.
ARG BASE
FROM --platform=$BUILDPLATFORM ${BASE} AS compiler
RUN --mount=type=cache,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,target=/var/lib/apt,sharing=locked \
    rm -f /etc/apt/apt.conf.d/docker-clean; \
    apt-get update && apt-get install -y --no-install-recommends ca-certificates golang-go
ARG BUILDKIT
RUN --mount=type=secret,id=ca,target=/run/secrets/ca.pem \
    --mount=type=cache,target=/root/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    set -eu; \
    if [ -s /run/secrets/ca.pem ]; then export SSL_CERT_FILE=/run/secrets/ca.pem; fi; \
    for program in buildkitd buildctl; do \
        GOBIN=/out CGO_ENABLED=0 go install -trimpath -ldflags '-s -w' \
            "github.com/moby/buildkit/cmd/$program@$BUILDKIT"; \
    done

FROM --platform=$BUILDPLATFORM ${BASE} AS builder
RUN --mount=type=cache,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,target=/var/lib/apt,sharing=locked \
    rm -f /etc/apt/apt.conf.d/docker-clean; \
    apt-get update && apt-get install -y --no-install-recommends ca-certificates runc
COPY --from=compiler /out/ /usr/local/bin/
ENTRYPOINT ["buildkitd"]

FROM --platform=$BUILDPLATFORM ${BASE} AS registry
RUN --mount=type=cache,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,target=/var/lib/apt,sharing=locked \
    rm -f /etc/apt/apt.conf.d/docker-clean; \
    apt-get update && apt-get install -y --no-install-recommends docker-registry
# Debian's own settings ask for a password.
RUN printf 'version: 0.1\nstorage: {filesystem: {rootdirectory: /registry}}\n' >/etc/registry.yml
