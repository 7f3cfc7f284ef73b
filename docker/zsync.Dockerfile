# zsyncmake of a pinned distribution, with the loader and the libraries that it needs: it runs on the
# machine itself, since starting a container and mounting the artefacts takes longer.
ARG BASE
FROM --platform=$BUILDPLATFORM ${BASE} AS tools
RUN --mount=type=cache,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,target=/var/lib/apt,sharing=locked \
    rm -f /etc/apt/apt.conf.d/docker-clean; \
    apt-get update && apt-get install -y --no-install-recommends zsync

FROM tools AS native
RUN set -eu; mkdir /out; \
    cp -L /usr/bin/zsync /usr/bin/zsyncmake /usr/lib/*-linux-gnu/ld-linux-*.so.* /out/; \
    ldd /usr/bin/zsync /usr/bin/zsyncmake | sed -n 's/.* => \(\/[^ ]*\) .*/\1/p' | sort -u | xargs cp -L -t /out/

FROM scratch AS export
COPY --from=native /out /
