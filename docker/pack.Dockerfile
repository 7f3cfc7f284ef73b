# mksquashfs of a pinned distribution: its version decides the bytes of an image.
ARG BASE
FROM --platform=$BUILDPLATFORM ${BASE} AS tools
RUN --mount=type=cache,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,target=/var/lib/apt,sharing=locked \
    rm -f /etc/apt/apt.conf.d/docker-clean; \
    apt-get update && apt-get install -y --no-install-recommends squashfs-tools

# mksquashfs and unsquashfs with the loader and the libraries that they need: the model is appended
# on the machine itself, since starting a container takes longer than that.
FROM tools AS native
RUN set -eu; mkdir /out; \
    cp -L /usr/bin/mksquashfs /usr/bin/unsquashfs /usr/lib/*-linux-gnu/ld-linux-*.so.* /out/; \
    ldd /usr/bin/mksquashfs /usr/bin/unsquashfs | sed -n 's/.* => \(\/[^ ]*\) .*/\1/p' \
        | sort -u | xargs cp -L -t /out/

FROM scratch AS mksquashfs
COPY --from=native /out /

# The program's part of an image, packed once for all models; the model is appended to it.
FROM tools AS pack
ARG SOURCE_DATE_EPOCH
COPY --from=appdir / /AppDir
# SOURCE_DATE_EPOCH would leave older time stamps as they are, and bars the options that do not.
RUN mkdir /out && env -u SOURCE_DATE_EPOCH \
        mksquashfs /AppDir /out/program.squashfs -quiet -no-progress -no-xattrs -all-root \
        -mkfs-time "$SOURCE_DATE_EPOCH" -all-time "$SOURCE_DATE_EPOCH" \
        -action "chmod(u=rwX,go=rX)@true" -comp zstd -Xcompression-level 19

FROM scratch AS export
COPY --from=pack /out /
