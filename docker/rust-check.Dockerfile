# Format, lints and tests of the Rust program, with the compiler that builds it.
# Nothing is exported: the build ends well when every check passes, and is not run again until
# something that it reads has changed.
ARG BASE
FROM --platform=$BUILDPLATFORM ${BASE} AS toolchain
ENV DEBIAN_FRONTEND=noninteractive
RUN --mount=type=cache,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,target=/var/lib/apt,sharing=locked \
    rm -f /etc/apt/apt.conf.d/docker-clean; \
    apt-get update && \
    apt-get install -y --no-install-recommends ca-certificates cargo gcc libc6-dev rust-clippy rustfmt

FROM toolchain AS check
ENV CARGO_HOME=/cargo CARGO_TARGET_DIR=/build
WORKDIR /src/rust
COPY rust/ .
COPY conformance/ /src/conformance/
COPY tasks/data/chat_templates/ /src/tasks/data/chat_templates/
COPY tests/chat_templates/ /src/tests/chat_templates/
COPY tests/parity/ /src/tests/parity/
RUN --mount=type=cache,target=/cargo/registry,id=tea-cargo \
    --mount=type=cache,target=/build,id=tea-rust-check,sharing=locked \
    --mount=type=secret,id=ca,target=/run/secrets/ca.pem \
    set -eu; \
    if [ -s /run/secrets/ca.pem ]; then export CARGO_HTTP_CAINFO=/run/secrets/ca.pem; fi; \
    cargo fmt --all --check; \
    cargo clippy --locked --workspace --all-targets -- -D warnings; \
    cargo test --locked --workspace > /tests.txt 2>&1 || { cat /tests.txt; exit 1; }

FROM scratch AS export
COPY --from=check /tests.txt /
