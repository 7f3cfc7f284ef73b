# llama.cpp for one target architecture: shared libraries, one CPU backend per instruction set,
# headers. Built from the llama-cpp-sys-2 crate so that the Python and the Rust program get the
# same bytes. Runs on the build machine's architecture only; the target is reached by cross-compiling.
ARG BASE
FROM --platform=$BUILDPLATFORM ${BASE} AS toolchain
ARG BUILDARCH TARGETARCH
ENV DEBIAN_FRONTEND=noninteractive
RUN --mount=type=cache,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,target=/var/lib/apt,sharing=locked \
    rm -f /etc/apt/apt.conf.d/docker-clean; \
    set -eu; \
    packages="ca-certificates cargo ccache cmake g++ libclang-dev ninja-build pkg-config"; \
    if [ "$BUILDARCH" != "$TARGETARCH" ]; then \
        dpkg --add-architecture "$TARGETARCH"; \
        packages="$packages crossbuild-essential-$TARGETARCH libstd-rust-dev:$TARGETARCH"; \
    fi; \
    apt-get update; \
    apt-get install -y --no-install-recommends $packages

FROM toolchain AS llama
ARG BUILDARCH TARGETARCH
# Set: everything is compiled again, whatever ccache has.
ARG CCACHE_RECACHE
# What ggml's own CMake files look for in the environment, handed on by the crate's build script.
# NATIVE=OFF: nothing is built for the builder's own CPU.
ENV GGML_NATIVE=OFF GGML_BACKEND_DL=ON GGML_CPU_ALL_VARIANTS=ON \
    CMAKE_GENERATOR=Ninja CMAKE_C_COMPILER_LAUNCHER=ccache CMAKE_CXX_COMPILER_LAUNCHER=ccache \
    CCACHE_DIR=/ccache CCACHE_MAXSIZE=2G CARGO_HOME=/cargo CARGO_TARGET_DIR=/build
WORKDIR /src
COPY docker/llama/ .
# The paths of the sources would otherwise end up in assertion texts (__FILE__).
RUN --mount=type=cache,target=/ccache,id=tea-ccache \
    --mount=type=cache,target=/cargo/registry,id=tea-cargo \
    --mount=type=secret,id=ca,target=/run/secrets/ca.pem \
    set -eu; \
    if [ -s /run/secrets/ca.pem ]; then export CARGO_HTTP_CAINFO=/run/secrets/ca.pem; fi; \
    case "$TARGETARCH" in \
        amd64) triple=x86_64-unknown-linux-gnu; gnu=x86_64-linux-gnu ;; \
        arm64) triple=aarch64-unknown-linux-gnu; gnu=aarch64-linux-gnu ;; \
        *) echo "llama.Dockerfile: unknown architecture $TARGETARCH" >&2; exit 1 ;; \
    esac; \
    if [ "$BUILDARCH" != "$TARGETARCH" ]; then \
        key=$(echo "$triple" | tr a-z- A-Z_); \
        export "CARGO_TARGET_${key}_LINKER=$gnu-gcc" \
            "CC_$(echo "$triple" | tr - _)=$gnu-gcc" "CXX_$(echo "$triple" | tr - _)=$gnu-g++" \
            "BINDGEN_EXTRA_CLANG_ARGS_$(echo "$triple" | tr - _)=--sysroot=/usr/$gnu"; \
    fi; \
    map="-ffile-prefix-map=/cargo/registry=. -ffile-prefix-map=/build=."; \
    export CFLAGS="$map" CXXFLAGS="$map"; \
    # Tables of names that nothing asks for are a tenth of the libraries. `defs`: a name that is
    # hidden and needed all the same ends the build, not a chat.
    link="-Wl,-z,defs -Wl,-z,pack-relative-relocs -Wl,--version-script=/src"; \
    export CMAKE_SHARED_LINKER_FLAGS="$link/libraries.map" \
        CMAKE_MODULE_LINKER_FLAGS="$link/backends.map"; \
    cargo build --release --locked --target "$triple" -p tea-llama; \
    ccache --show-stats | head -n 4; \
    strip=$gnu-strip; \
    out=$(dirname "$(ls -d /build/$triple/release/build/llama-cpp-sys-2-*/out/backends)"); \
    mkdir -p /out/lib /out/include /out/licenses; \
    for library in llama ggml ggml-base; do \
        cp -L "$out/lib/lib$library.so" "/out/lib/$(readelf -d "$out/lib/lib$library.so" | sed -n 's/.*SONAME.*\[\(.*\)\]/\1/p')"; \
    done; \
    cp "$out"/backends/libggml-cpu-*.so /out/lib/; \
    # These ask for VBMI and are otherwise skylakex, cascadelake and cooperlake, which a processor
    # takes where they are missing: in 1.6 MB of code, two instructions differ.
    for name in cannonlake icelake zen4; do rm -f "/out/lib/libggml-cpu-$name.so"; done; \
    "$strip" --strip-unneeded /out/lib/*; \
    cp "$out"/include/*.h /out/include/; \
    cp /cargo/registry/src/*/llama-cpp-sys-2-*/llama.cpp/LICENSE /out/licenses/llama.cpp

FROM scratch AS export
COPY --from=llama /out /
