# The AppDir of the Rust program for one target architecture, without model and metadata.
# Nothing of the target runs: the program is cross-compiled, and Debian packages are unpacked.
# No C++ is compiled: the program opens the libraries that llama.Dockerfile made.
ARG BASE
FROM --platform=$BUILDPLATFORM ${BASE} AS toolchain
ARG BUILDARCH TARGETARCH
ENV DEBIAN_FRONTEND=noninteractive
RUN --mount=type=cache,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,target=/var/lib/apt,sharing=locked \
    rm -f /etc/apt/apt.conf.d/docker-clean; \
    set -eu; \
    packages="ca-certificates cargo gcc libc6-dev"; \
    if [ "$BUILDARCH" != "$TARGETARCH" ]; then \
        dpkg --add-architecture "$TARGETARCH"; \
        packages="$packages gcc-$(echo "$TARGETARCH" | sed 's/amd64/x86-64/; s/arm64/aarch64/')-linux-gnu"; \
        packages="$packages libc6-dev-$TARGETARCH-cross libstd-rust-dev:$TARGETARCH"; \
    fi; \
    apt-get update; \
    apt-get install -y --no-install-recommends $packages

FROM toolchain AS debs
ARG TARGETARCH
COPY docker/rust/debs.txt /src/
RUN --mount=type=cache,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,target=/var/lib/apt,sharing=locked \
    set -eu; \
    # Without the option an index that did not come is passed over, and older packages with it.
    apt-get update --error-on=any || apt-get update --error-on=any; \
    mkdir -p /debs/root && cd /debs; \
    grep -v '^#' /src/debs.txt | sed "s/\$/:$TARGETARCH/" | xargs apt-get -o APT::Sandbox::User=root download; \
    for deb in *.deb; do \
        dpkg-deb --extract "$deb" root; \
        dpkg-deb --show --showformat '${Package} ${Version} ${source:Package} ${source:Version}\n' "$deb"; \
    done > versions.txt; \
    rm -f *.deb

FROM toolchain AS program
ARG BUILDARCH TARGETARCH GNU FRESH
ENV CARGO_HOME=/cargo CARGO_TARGET_DIR=/build
# Small: the program waits for models and networks, and a panic ends it anyway.
ENV CARGO_PROFILE_RELEASE_OPT_LEVEL=z CARGO_PROFILE_RELEASE_PANIC=abort
WORKDIR /src
COPY rust/Cargo.toml rust/Cargo.lock ./
COPY rust/.cargo/ .cargo/
COPY rust/tea-core/ tea-core/
COPY rust/tea-cli/ tea-cli/
# Of the workspace's other members only the manifests count here.
COPY rust/conformance/Cargo.toml conformance/
COPY rust/tea-wasm-llm/Cargo.toml tea-wasm-llm/
RUN mkdir conformance/src tea-wasm-llm/src && touch conformance/src/lib.rs tea-wasm-llm/src/lib.rs
COPY --from=llama include /include
# The declarations in the program must be those of the libraries' own headers.
RUN cd /include && sha256sum --quiet --check /src/tea-cli/src/llama/headers.sha256
# The target folder is kept for each architecture, so that a change compiles the workspace's own
# crates; FRESH compiles all.
RUN --mount=type=cache,target=/cargo/registry,id=tea-cargo \
    --mount=type=cache,target=/build,id=tea-rust-$TARGETARCH,sharing=locked \
    --mount=type=secret,id=ca,target=/run/secrets/ca.pem \
    set -eu; \
    if [ -s /run/secrets/ca.pem ]; then export CARGO_HTTP_CAINFO=/run/secrets/ca.pem; fi; \
    # cargo goes by time stamps, and what another checkout left in the kept folder may be newer.
    find /src -type f -exec touch {} +; \
    if [ -n "${FRESH:-}" ]; then find /build -mindepth 1 -delete; fi; \
    triple=$(echo "$GNU" | sed 's/-linux-gnu$/-unknown-linux-gnu/'); \
    if [ "$BUILDARCH" != "$TARGETARCH" ]; then \
        key=$(echo "$triple" | tr a-z- A-Z_); \
        export "CARGO_TARGET_${key}_LINKER=$GNU-gcc" "CC_$(echo "$triple" | tr - _)=$GNU-gcc"; \
    fi; \
    # Paths of the build would otherwise end up in the messages of panics.
    export CFLAGS="-ffile-prefix-map=/cargo/registry=. -ffile-prefix-map=/build=." \
        RUSTFLAGS="--remap-path-prefix=/cargo/registry=. --remap-path-prefix=/src=."; \
    cargo build --release --locked --target "$triple" --package tea-cli; \
    mkdir -p /out/licenses; \
    cp "/build/$triple/release/tea" /out/tea; \
    # Rust's own library is linked into the program.
    dpkg-query --show --showformat '${Package} ${Version} ${source:Package} ${source:Version}\n' \
        "libstd-rust-dev:$TARGETARCH" > /out/linked.txt; \
    cp -L /usr/share/doc/libstd-rust-dev/copyright /out/licenses/debian-libstd-rust-dev; \
    cargo tree --locked --target "$triple" --package tea-cli --edges normal --prefix none \
        --format '{p} {l}' | grep -v '(/src' | sed 's/ (\*)$//; s/ v/ /' | sort -u > /out/crates.txt; \
    while read -r name version _; do \
        for text in /cargo/registry/src/*/"$name-$version"/LICENSE* /cargo/registry/src/*/"$name-$version"/COPYING*; do \
            if [ -f "$text" ]; then cp "$text" "/out/licenses/rust-$name-${text##*/}"; fi; \
        done; \
    done < /out/crates.txt

FROM toolchain AS assemble
ARG GNU SOURCE_DATE_EPOCH=0
COPY --from=debs /debs /debs
COPY --from=llama lib /llama/lib
COPY --from=llama licenses /llama/licenses
COPY --from=program /out /out
# What the program and llama.cpp need, with the loader; a library too few is found by the check of
# the finished tree.
RUN set -eu; \
    mkdir -p /AppDir/usr/bin /AppDir/usr/lib /AppDir/usr/share/tea /AppDir/usr/share/licenses; \
    cd /AppDir/usr; \
    cp /out/tea bin/; \
    cp -r /llama/lib lib/llama; \
    for library in libc.so.6 libm.so.6 libgcc_s.so.1 libstdc++.so.6 libgomp.so.1; do \
        cp -L "/debs/root/usr/lib/$GNU/$library" lib/; \
    done; \
    cp -L /debs/root/usr/lib/*/ld-linux-*.so.* lib/; \
    chmod 755 lib/ld-linux-*; \
    cp /out/licenses/* /llama/licenses/* share/licenses/; \
    for text in /debs/root/usr/share/doc/*/copyright; do \
        cp -L "$text" "share/licenses/debian-$(basename "${text%/*}")"; \
    done; \
    cat /debs/versions.txt /out/linked.txt > share/tea/debian-packages.txt; \
    cp /out/crates.txt share/tea/rust-crates.txt

FROM scratch AS export
COPY --from=assemble /AppDir /
