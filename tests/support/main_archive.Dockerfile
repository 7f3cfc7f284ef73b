# The base image with the packages of Debian's main archive alone: a mirror may lack the updates of
# an architecture that few use, and packages of two architectures must be of one version.
ARG BASE
FROM --platform=$BUILDPLATFORM ${BASE} AS base
RUN sed -i -E '/-(updates|security) /d' /etc/apt/sources.list; \
    sed -i -E '/^Suites:/s/ \S+-updates//; /-security$/d' /etc/apt/sources.list.d/debian.sources || true; \
    . /etc/os-release; \
    printf 'Package: *\nPin: release n=%s\nPin-Priority: 1001\n' "$VERSION_CODENAME" \
        > /etc/apt/preferences.d/main; \
    apt-get update --error-on=any && apt-get -y --allow-downgrades dist-upgrade
