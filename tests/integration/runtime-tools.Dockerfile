# What the runtime's tests need beside the runtime: a packer, FUSE's set-uid helper, the reference
# reader of AppImages, a tracer, and an ordinary user.
ARG BASE
FROM ${BASE}
ENV DEBIAN_FRONTEND=noninteractive
RUN --mount=type=cache,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,target=/var/lib/apt,sharing=locked \
    rm -f /etc/apt/apt.conf.d/docker-clean; \
    set -eu; \
    apt-get update; \
    apt-get install -y --no-install-recommends \
        fuse3 libappimage1.0abi1t64 libasan8 libubsan1 procps python3-minimal libpython3-stdlib \
        squashfs-tools strace zlib1g; \
    useradd --create-home --uid 1000 tea
