# The AppImage runtime for one target architecture: a static executable, to be followed by a
# squashfs. Compiled on the build machine's architecture only; the target is reached by
# cross-compiling against the target's static libraries.
ARG BASE
FROM --platform=$BUILDPLATFORM ${BASE} AS toolchain
ARG BUILDARCH TARGETARCH
ENV DEBIAN_FRONTEND=noninteractive
RUN --mount=type=cache,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,target=/var/lib/apt,sharing=locked \
    rm -f /etc/apt/apt.conf.d/docker-clean; \
    set -eu; \
    packages="gcc libc6-dev"; \
    if [ "$BUILDARCH" != "$TARGETARCH" ]; then \
        dpkg --add-architecture "$TARGETARCH"; \
        packages="$packages crossbuild-essential-$TARGETARCH"; \
    fi; \
    for library in fuse3 squashfuse zstd; do \
        packages="$packages lib$library-dev:$TARGETARCH"; \
    done; \
    # Without the option an index that did not come is passed over, and older libraries with it.
    apt-get update --error-on=any || apt-get update --error-on=any; \
    apt-get install -y --no-install-recommends $packages

FROM toolchain AS runtime
ARG TARGETARCH
WORKDIR /src
COPY appdir/runtime/ .
# The squashfuse headers do not compile without warnings, hence -isystem.
# After strip: bytes 8 to 10 are the AppImage type 2 mark; byte 7 (EI_OSABI), which the static
# libc and `retain` set to 3, is 0 in every tool's list of valid AppImages.
RUN set -eu; \
    case "$TARGETARCH" in \
        amd64) gnu=x86_64-linux-gnu; branches="-fcf-protection" ;; \
        arm64) gnu=aarch64-linux-gnu; branches="-mbranch-protection=standard" ;; \
        *) echo "runtime.Dockerfile: unknown architecture $TARGETARCH" >&2; exit 1 ;; \
    esac; \
    mkdir -p /out/notices; \
    "$gnu-gcc" -std=c11 -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -D_FORTIFY_SOURCE=3 -Os \
        -Wall -Wextra -Wconversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Werror \
        -fPIE -fstack-protector-strong -fstack-clash-protection $branches \
        -ffunction-sections -fdata-sections \
        -isystem /usr/include/squashfuse -isystem /usr/include/fuse3 \
        *.c -o /out/runtime -static-pie \
        -Wl,--gc-sections -Wl,--build-id=none -Wl,-z,relro,-z,now,-z,noexecstack \
        -Wl,-Map=/linked.map -lsquashfuse_ll -lfuse3 -lzstd; \
    "$gnu-strip" /out/runtime; \
    printf 'AI\002' | dd of=/out/runtime bs=1 seek=8 conv=notrunc status=none; \
    printf '\000' | dd of=/out/runtime bs=1 seek=7 conv=notrunc status=none; \
    ls -l /out/runtime; \
    "$gnu-readelf" -SW /out/runtime | grep -E '\.(tea_payload|digest_md5|upd_info|sha256_sig|sig_key)'
# What became part of the executable, as the linker tells it: the archives and start files that it
# took something from, the packages that they are of, and these packages' copyright files.
RUN set -eu; cd /out/notices; \
    sed -n -e 's/^\(\/[^ (]*\.a\)(.*/\1/p' -e 's/^LOAD \(\/usr\/[^ ]*\.o\)$/\1/p' /linked.map \
        | xargs realpath | sort -u > /linked.files; \
    xargs dpkg-query --search < /linked.files | sed 's/: .*//' | sort -u > /linked.packages; \
    xargs dpkg-query --show \
        --showformat '${Package} ${Version} ${source:Package} ${source:Version}\n' \
        < /linked.packages > packages.txt; \
    for library in squashfuse fuse3 zstd c6; do grep "^lib$library-dev" packages.txt; done; \
    while read -r package _; do \
        cp -L "/usr/share/doc/$package/copyright" "debian-$package"; \
    done < packages.txt

# Not part of the build: `--target check` reads the sources for mistakes.
FROM toolchain AS check
RUN --mount=type=cache,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,target=/var/lib/apt,sharing=locked \
    apt-get update && apt-get install -y --no-install-recommends cppcheck
COPY appdir/runtime/ /src/
RUN cppcheck --quiet --std=c11 --enable=warning,portability,performance --inline-suppr \
    --check-level=exhaustive --error-exitcode=1 --suppress=missingIncludeSystem /src/*.c

FROM scratch AS export
COPY --from=runtime /out /
