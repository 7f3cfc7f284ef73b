# Format, lints, tests, and the check of the dependencies of the Rust program, with the compiler that
# builds it. The results are all that is exported: the build ends well when every check passes, and
# is not run again until something that it reads has changed.
ARG BASE
FROM --platform=$BUILDPLATFORM ${BASE} AS toolchain
ENV DEBIAN_FRONTEND=noninteractive CARGO_HOME=/cargo
RUN --mount=type=cache,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,target=/var/lib/apt,sharing=locked \
    rm -f /etc/apt/apt.conf.d/docker-clean; \
    apt-get update && \
    apt-get install -y --no-install-recommends ca-certificates cargo gcc libc6-dev \
        libstd-rust-dev-wasm32 python3-pip rust-clippy rustfmt

FROM toolchain AS deny
COPY docker/rust-check/requirements.txt /src/
RUN --mount=type=cache,target=/root/.cache/pip,id=tea-pip \
    --mount=type=secret,id=ca,target=/run/secrets/ca.pem \
    set -eu; \
    if [ -s /run/secrets/ca.pem ]; then export PIP_CERT=/run/secrets/ca.pem; fi; \
    export PIP_BREAK_SYSTEM_PACKAGES=1 PIP_ROOT_USER_ACTION=ignore PIP_DISABLE_PIP_VERSION_CHECK=1; \
    pip install --require-hashes --requirement /src/requirements.txt
WORKDIR /src/rust
COPY rust/Cargo.* rust/*.toml ./
COPY rust/.cargo/ .cargo/
COPY rust/conformance/ conformance/
COPY rust/tea-cli/ tea-cli/
COPY rust/tea-core/ tea-core/
COPY rust/tea-wasm-llm/Cargo.toml tea-wasm-llm/
COPY rust/tea-wasm-llm/src/ tea-wasm-llm/src/
# What the crates' licences are, where they come from, and which are forbidden: rust/deny.toml.
RUN --mount=type=cache,target=/cargo/registry,id=tea-cargo \
    --mount=type=secret,id=ca,target=/run/secrets/ca.pem \
    set -eu; \
    if [ -s /run/secrets/ca.pem ]; then export CARGO_HTTP_CAINFO=/run/secrets/ca.pem; fi; \
    cargo deny --locked check bans licenses sources > /deny.txt 2>&1 || { cat /deny.txt; exit 1; }

# Known faults of the crates, from the RustSec database at GitHub. Asked for by name alone: what it
# says depends on the day (ASKED), not only on what the project holds.
FROM deny AS advisories
RUN --mount=type=cache,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,target=/var/lib/apt,sharing=locked \
    apt-get update && apt-get install -y --no-install-recommends git
ARG ASKED
RUN --mount=type=cache,target=/cargo/registry,id=tea-cargo \
    --mount=type=secret,id=ca,target=/run/secrets/ca.pem \
    set -eu; \
    if [ -s /run/secrets/ca.pem ]; then \
        export CARGO_HTTP_CAINFO=/run/secrets/ca.pem GIT_SSL_CAINFO=/run/secrets/ca.pem; \
    fi; \
    echo "asked at $ASKED"; \
    cargo deny --locked check advisories

FROM toolchain AS check
ENV CARGO_TARGET_DIR=/build
# After that stage, not beside it: two cargos would unpack into one cache.
COPY --from=deny /deny.txt /
WORKDIR /src/rust
COPY rust/Cargo.* rust/*.toml ./
COPY rust/.cargo/ .cargo/
COPY rust/conformance/ conformance/
COPY rust/tea-cli/ tea-cli/
COPY rust/tea-core/ tea-core/
COPY rust/tea-wasm-llm/Cargo.toml tea-wasm-llm/
COPY rust/tea-wasm-llm/src/ tea-wasm-llm/src/
COPY conformance/ /src/conformance/
COPY tasks/catalog/data/chat_templates/ /src/tasks/catalog/data/chat_templates/
COPY tests/chat_templates/ /src/tests/chat_templates/
COPY tests/parity/ /src/tests/parity/
RUN --mount=type=cache,target=/cargo/registry,id=tea-cargo \
    --mount=type=cache,target=/build,id=tea-rust-check,sharing=locked \
    --mount=type=secret,id=ca,target=/run/secrets/ca.pem \
    set -eu; \
    if [ -s /run/secrets/ca.pem ]; then export CARGO_HTTP_CAINFO=/run/secrets/ca.pem; fi; \
    # cargo goes by time stamps, and what another checkout left in the kept folder may be newer.
    find /src -type f -exec touch {} +; \
    cargo fmt --all --check; \
    cargo clippy --locked --workspace --all-targets -- -D warnings; \
    # The engine is for the browser too.
    cargo clippy --locked --package tea-wasm-llm --lib --target wasm32-unknown-unknown -- -D warnings; \
    cargo test --locked --workspace > /tests.txt 2>&1 || { cat /tests.txt; exit 1; }

# Says what the Rust engine makes of a line, for the tests that hold both engines to each other. Of one
# piece, so that it runs on the machine itself, whatever its libc.
FROM check AS answer
RUN --mount=type=cache,target=/cargo/registry,id=tea-cargo \
    --mount=type=cache,target=/build,id=tea-rust-check,sharing=locked \
    --mount=type=secret,id=ca,target=/run/secrets/ca.pem \
    set -eu; \
    if [ -s /run/secrets/ca.pem ]; then export CARGO_HTTP_CAINFO=/run/secrets/ca.pem; fi; \
    find /src -type f -exec touch {} +; \
    cargo rustc --locked --package tea-conformance --bin answer -- -C target-feature=+crt-static; \
    cp /build/debug/answer /answer

FROM scratch AS answerer
COPY --from=answer /answer /

FROM scratch AS export
COPY --from=check /tests.txt /deny.txt /
