# diffoscope, and what it takes to look into an AppImage.
ARG BASE
FROM --platform=$BUILDPLATFORM ${BASE} AS tools
RUN --mount=type=cache,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,target=/var/lib/apt,sharing=locked \
    rm -f /etc/apt/apt.conf.d/docker-clean; \
    apt-get update && apt-get install -y --no-install-recommends \
        binutils diffoscope-minimal diffutils squashfs-tools
