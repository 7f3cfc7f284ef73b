# The browser package: the engine in WebAssembly, the npm package around it, and their checks.
ARG BASE
FROM --platform=$BUILDPLATFORM ${BASE} AS rust
ENV DEBIAN_FRONTEND=noninteractive CARGO_HOME=/cargo CARGO_TARGET_DIR=/build
RUN --mount=type=cache,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,target=/var/lib/apt,sharing=locked \
    rm -f /etc/apt/apt.conf.d/docker-clean; \
    apt-get update && \
    apt-get install -y --no-install-recommends ca-certificates cargo gcc libc6-dev \
        libstd-rust-dev-wasm32 lld
ENV CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER=wasm-ld

FROM rust AS bindgen
WORKDIR /src
COPY docker/web/bindgen/ .
RUN --mount=type=cache,target=/cargo/registry,id=tea-web-cargo,sharing=locked \
    --mount=type=cache,target=/build,id=tea-web-bindgen,sharing=locked \
    --mount=type=secret,id=ca,target=/run/secrets/ca.pem \
    set -eu; \
    if [ -s /run/secrets/ca.pem ]; then export CARGO_HTTP_CAINFO=/run/secrets/ca.pem; fi; \
    # cargo goes by time stamps, and what another checkout left in the kept folder may be newer.
    find /src -type f -exec touch {} +; \
    cargo build --release --locked; \
    cp /build/release/bindgen /usr/local/bin/

FROM rust AS workspace
WORKDIR /src/rust
COPY rust/Cargo.toml rust/Cargo.lock ./
COPY rust/.cargo/ .cargo/
COPY rust/tea-core/ tea-core/
# Of the program only the manifest counts here.
COPY rust/tea-cli/Cargo.toml tea-cli/
RUN mkdir tea-cli/src && echo 'fn main() {}' > tea-cli/src/main.rs

# What plays the conformance cases: a program of this machine, which asks the engine in Node.
FROM workspace AS judge
COPY rust/tea-wasm-llm/Cargo.toml tea-wasm-llm/
RUN mkdir tea-wasm-llm/src && touch tea-wasm-llm/src/lib.rs
COPY rust/conformance/ conformance/
RUN --mount=type=cache,target=/cargo/registry,id=tea-web-cargo,sharing=locked \
    --mount=type=cache,target=/build,id=tea-web-judge,sharing=locked \
    --mount=type=secret,id=ca,target=/run/secrets/ca.pem \
    set -eu; \
    if [ -s /run/secrets/ca.pem ]; then export CARGO_HTTP_CAINFO=/run/secrets/ca.pem; fi; \
    find /src -type f -exec touch {} +; \
    cargo build --locked --package tea-conformance --bin page; \
    cp /build/debug/page /usr/local/bin/

FROM workspace AS wasm
COPY rust/conformance/Cargo.toml conformance/
RUN mkdir conformance/src && touch conformance/src/lib.rs
COPY rust/tea-wasm-llm/Cargo.toml tea-wasm-llm/
COPY rust/tea-wasm-llm/src/ tea-wasm-llm/src/
COPY --from=bindgen /usr/local/bin/bindgen /usr/local/bin/
# No wasm-opt: it made the module 7 % smaller, and 2 % larger once packed.
RUN --mount=type=cache,target=/cargo/registry,id=tea-web-cargo,sharing=locked \
    --mount=type=cache,target=/build,id=tea-web-wasm,sharing=locked \
    --mount=type=secret,id=ca,target=/run/secrets/ca.pem \
    set -eu; \
    if [ -s /run/secrets/ca.pem ]; then export CARGO_HTTP_CAINFO=/run/secrets/ca.pem; fi; \
    find /src -type f -exec touch {} +; \
    # Paths of the build would otherwise end up in the messages of panics.
    export RUSTFLAGS="--remap-path-prefix=/cargo/registry=. --remap-path-prefix=/src=."; \
    cargo build --release --locked --package tea-wasm-llm --lib --target wasm32-unknown-unknown; \
    bindgen /build/wasm32-unknown-unknown/release/tea_wasm_llm.wasm /wasm; \
    mkdir /licenses; \
    cargo tree --locked --target wasm32-unknown-unknown --package tea-wasm-llm --edges normal \
        --prefix none --format '{p}' | grep -v '(/src' | sed 's/ (.*)$//; s/ v/ /' | sort -u \
        > /crates.txt; \
    while read -r name version; do \
        for text in /cargo/registry/src/*/"$name-$version"/LICENSE*; do \
            if [ -f "$text" ]; then cp "$text" "/licenses/rust-$name-${text##*/}"; fi; \
        done; \
    done < /crates.txt

FROM --platform=$BUILDPLATFORM ${BASE} AS node
ENV DEBIAN_FRONTEND=noninteractive
RUN --mount=type=cache,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,target=/var/lib/apt,sharing=locked \
    rm -f /etc/apt/apt.conf.d/docker-clean; \
    apt-get update && apt-get install -y --no-install-recommends ca-certificates nodejs npm

FROM node AS modules
ENV NO_COLOR=1
WORKDIR /src/rust/tea-wasm-llm
COPY rust/tea-wasm-llm/package.json rust/tea-wasm-llm/package-lock.json rust/tea-wasm-llm/.npmrc ./
RUN --mount=type=cache,target=/root/.npm,id=tea-npm,sharing=locked \
    --mount=type=secret,id=ca,target=/run/secrets/ca.pem \
    set -eu; \
    if [ -s /run/secrets/ca.pem ]; then export NODE_EXTRA_CA_CERTS=/run/secrets/ca.pem; fi; \
    npm ci

FROM modules AS package
COPY LICENSE ./
COPY rust/tea-wasm-llm/biome.json rust/tea-wasm-llm/tsconfig*.json rust/tea-wasm-llm/vitest*.ts ./
COPY rust/tea-wasm-llm/scripts/ scripts/
COPY rust/tea-wasm-llm/ts/ ts/
COPY --from=wasm /wasm/ wasm/
COPY --from=wasm /licenses/ licenses/
RUN npm run build && npm pack --pack-destination /

# The page that shows the package and the examples.
FROM package AS site
COPY examples/llm/ /src/examples/llm/
COPY rust/tea-wasm-llm/demo/ demo/
RUN npm run build:demo

# Format, lints, types, units, and every conformance case on the engine of the package.
FROM site AS checked
COPY rust/tea-wasm-llm/tests/ tests/
COPY conformance/ /src/conformance/
COPY --from=judge /usr/local/bin/page /usr/local/bin/
# The judge looks for the cases from the folder that it was built in.
RUN mkdir ../conformance && npm run lint && npm run check && npm run test && \
    page node tests/conformance/player.mjs > /conformance.txt

FROM scratch AS export
COPY --from=checked /conformance.txt /
COPY --from=package /*.tgz /
COPY --from=site /src/rust/tea-wasm-llm/demo/dist/ /site/

# What the tests in a browser run in.
FROM checked AS browser
RUN --mount=type=cache,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,target=/var/lib/apt,sharing=locked \
    apt-get update && apt-get install -y --no-install-recommends chromium
