# A worker for CPUs, with its trainer and libtorch. From the top of the checkout:
#
#   docker build -f docker/worker.Dockerfile -t swath-worker .
#
# Other base images: --build-arg BASE=… and --build-arg BUILD_BASE=…. What is built against one C library
# does not start on an older one, so choose both of the same age.
ARG BASE=debian:bookworm-slim
ARG BUILD_BASE=rust:1.95-bookworm

# libtorch (540 MB) is fetched first, and with xtask alone, so that a change elsewhere does not fetch it
# again. The trainer contains the path of the directory it was built with, so it is built in its final place.
FROM ${BUILD_BASE} AS libtorch
RUN apt-get update \
    && apt-get install --yes --no-install-recommends g++ python3 python3-pip \
    && rm -rf /var/lib/apt/lists/*
ENV XDG_CACHE_HOME=/opt
WORKDIR /src
COPY Cargo.toml Cargo.lock ./
COPY .cargo .cargo
COPY crates/xtask crates/xtask
RUN sed -i -e '/^members = \[/,/^\]/c members = ["crates/xtask"]' -e '/^default-members = \[/,/^\]/d' Cargo.toml \
    && SWATH_LIBTORCH=cpu cargo xtask setup

FROM libtorch AS build
COPY . .
RUN cargo build --locked --release -p swath-worker -p swath-trainer -p swath-coordinator \
    && rm -rf /opt/swath/libtorch/*/include

FROM ${BASE}
# Data sets are fetched over TLS.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates libstdc++6 \
    && rm -rf /var/lib/apt/lists/*
# A named volume starts with the owner of the directory that it covers: both are made here.
RUN groupadd --system --gid 10001 swath \
    && useradd --system --uid 10001 --gid swath --create-home --home-dir /var/lib/swath swath \
    && install --directory --owner=swath --group=swath /var/lib/swath/data /var/lib/swath/state \
    && install --directory --owner=swath --group=swath --mode=700 /var/lib/swath/tokens
COPY --from=build /opt/swath/libtorch /opt/swath/libtorch
# The coordinator's command line is here for the health check.
COPY --from=build /src/target/release/worker /src/target/release/trainer /src/target/release/coordinator /usr/local/bin/
COPY docker/worker-health.sh /usr/local/bin/worker-health.sh
ENV SWATH_DATA_DIR=/var/lib/swath/data SWATH_STATE_DIR=/var/lib/swath/state
USER swath
WORKDIR /var/lib/swath
ENTRYPOINT ["worker"]
