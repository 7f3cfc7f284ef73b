# The AppDir of the Python program for one target architecture, without model and metadata.
# Nothing of the target runs: packages and wheels are unpacked, byte code is made by the build
# machine's Python of the same version.
ARG BASE
FROM --platform=$BUILDPLATFORM ${BASE} AS toolchain
ARG BUILDARCH TARGETARCH
ENV DEBIAN_FRONTEND=noninteractive
RUN --mount=type=cache,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,target=/var/lib/apt,sharing=locked \
    rm -f /etc/apt/apt.conf.d/docker-clean; \
    set -eu; \
    packages="ca-certificates gcc libc6-dev python3-pip python3-pyelftools"; \
    if [ "$BUILDARCH" != "$TARGETARCH" ]; then \
        dpkg --add-architecture "$TARGETARCH"; \
        packages="$packages gcc-$(echo "$TARGETARCH" | sed 's/amd64/x86-64/; s/arm64/aarch64/')-linux-gnu libc6-dev-$TARGETARCH-cross"; \
    fi; \
    apt-get update; \
    apt-get install -y --no-install-recommends $packages

FROM toolchain AS debs
ARG TARGETARCH
COPY docker/python/debs.txt /src/
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

FROM toolchain AS wheels
ARG WHEEL_ARCH
COPY docker/python/requirements*.txt /src/
# llama-cpp-python is a source package; without its CMake step it is ctypes declarations only.
RUN --mount=type=cache,target=/root/.cache/pip,id=tea-pip \
    --mount=type=secret,id=ca,target=/run/secrets/ca.pem \
    set -eu; cd /src; \
    if [ -s /run/secrets/ca.pem ]; then export PIP_CERT=/run/secrets/ca.pem; fi; \
    export PIP_BREAK_SYSTEM_PACKAGES=1 PIP_ROOT_USER_ACTION=ignore PIP_DISABLE_PIP_VERSION_CHECK=1; \
    pip install --ignore-installed --require-hashes --requirement requirements-build.txt; \
    pip install --require-hashes --requirement requirements.txt --target /wheels --no-compile \
        --only-binary :all: --python-version 3.13 \
        --platform "manylinux2014_$WHEEL_ARCH" --platform "manylinux_2_28_$WHEEL_ARCH"; \
    SKBUILD_WHEEL_CMAKE=false pip install --require-hashes --requirement requirements-llama.txt \
        --target /llama-wheel --no-compile --no-deps --no-build-isolation

# The pair of ctypes declarations and C headers must fit, struct by struct.
FROM toolchain AS abi
ARG BUILDARCH TARGETARCH
COPY --from=wheels /wheels/typing_extensions.py /wheel/
COPY --from=wheels /llama-wheel/llama_cpp /wheel/llama_cpp
COPY --from=llama include /include
COPY docker/python/abi_check.py /src/
RUN set -eu; \
    compiler=gcc; \
    if [ "$BUILDARCH" != "$TARGETARCH" ]; then \
        compiler=$(echo "$TARGETARCH" | sed 's/amd64/x86_64/; s/arm64/aarch64/')-linux-gnu-gcc; \
    fi; \
    PYTHONPATH=/wheel python3 /src/abi_check.py /wheel /include > /abi.c; \
    "$compiler" -std=c11 -I/include -fsyntax-only /abi.c; \
    grep -c _Static_assert /abi.c > /abi.checked

FROM toolchain AS assemble
ARG GNU SOURCE_DATE_EPOCH=0
COPY --from=debs /debs /debs
COPY --from=wheels /wheels /wheels
COPY --from=wheels /llama-wheel /llama-wheel
COPY --from=abi /abi.checked /abi.checked
COPY --from=llama lib /llama/lib
COPY --from=llama licenses /llama/licenses
COPY docker/python/assemble.py /src/
COPY python/src /program
RUN python3 /src/assemble.py --gnu "$GNU" --epoch "$SOURCE_DATE_EPOCH" /AppDir

FROM scratch AS export
COPY --from=assemble /AppDir /
