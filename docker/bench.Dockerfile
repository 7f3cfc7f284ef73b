# llama.cpp's own llama-bench for one target architecture, linked to the libraries that the bundles
# carry. The crate that they are built from leaves the program's source out; llama-cpp-python's
# source package, pinned to the same llama.cpp, has it.
ARG BASE
FROM --platform=$BUILDPLATFORM ${BASE} AS toolchain
ARG BUILDARCH TARGETARCH
ENV DEBIAN_FRONTEND=noninteractive
RUN --mount=type=cache,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,target=/var/lib/apt,sharing=locked \
    rm -f /etc/apt/apt.conf.d/docker-clean; \
    set -eu; \
    packages="ca-certificates cargo ccache cmake g++ ninja-build python3-pip"; \
    if [ "$BUILDARCH" != "$TARGETARCH" ]; then \
        dpkg --add-architecture "$TARGETARCH"; \
        packages="$packages crossbuild-essential-$TARGETARCH"; \
    fi; \
    apt-get update; \
    apt-get install -y --no-install-recommends $packages

FROM toolchain AS sources
COPY docker/python/requirements-build.txt docker/python/requirements-llama.txt /src/
RUN --mount=type=cache,target=/root/.cache/pip,id=tea-pip \
    --mount=type=secret,id=ca,target=/run/secrets/ca.pem \
    set -eu; cd /src; \
    if [ -s /run/secrets/ca.pem ]; then export PIP_CERT=/run/secrets/ca.pem; fi; \
    export PIP_BREAK_SYSTEM_PACKAGES=1 PIP_ROOT_USER_ACTION=ignore PIP_DISABLE_PIP_VERSION_CHECK=1; \
    pip install --ignore-installed --require-hashes --requirement requirements-build.txt; \
    pip download --require-hashes --requirement requirements-llama.txt --dest /sdist --no-deps \
        --no-binary :all: --no-build-isolation; \
    mkdir /llama-bench; \
    tar -xzf /sdist/*.tar.gz -C /llama-bench --strip-components 5 \
        --wildcards '*/vendor/llama.cpp/tools/llama-bench/*'
COPY docker/llama/ /rust/
RUN --mount=type=cache,target=/cargo/registry,id=tea-cargo \
    --mount=type=secret,id=ca,target=/run/secrets/ca.pem \
    set -eu; cd /rust; \
    if [ -s /run/secrets/ca.pem ]; then export CARGO_HTTP_CAINFO=/run/secrets/ca.pem; fi; \
    CARGO_HOME=/cargo cargo fetch --locked; \
    cp -r /cargo/registry/src/*/llama-cpp-sys-2-*/llama.cpp /llama.cpp

FROM sources AS bench
ARG BUILDARCH TARGETARCH
COPY docker/bench/CMakeLists.txt /src/
COPY --from=llama lib /llama/lib
# The libraries need libgomp and more of the same Debian, which need not be there to link.
RUN --mount=type=cache,target=/ccache,id=tea-ccache \
    set -eu; \
    gnu=$(echo "$TARGETARCH" | sed 's/amd64/x86_64/; s/arm64/aarch64/')-linux-gnu; \
    export CCACHE_DIR=/ccache CCACHE_MAXSIZE=2G; \
    cmake -G Ninja -S /src -B /build -DCMAKE_BUILD_TYPE=Release \
        -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_C_COMPILER="$gnu-gcc" -DCMAKE_CXX_COMPILER="$gnu-g++" \
        -DCMAKE_C_COMPILER_LAUNCHER=ccache -DCMAKE_CXX_COMPILER_LAUNCHER=ccache \
        -DLLAMA_SOURCE=/llama.cpp -DLLAMA_LIBRARIES=/llama/lib -DLLAMA_BENCH_SOURCE=/llama-bench; \
    cmake --build /build; \
    mkdir /out; \
    "$gnu-strip" -o /out/llama-bench /build/llama-bench

FROM scratch AS export
COPY --from=bench /out /
