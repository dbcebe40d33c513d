# A worker for NVIDIA GPUs: the trainer is built against the GPU build of PyTorch, whose wheels bring CUDA along, so the
# host needs only a driver and the NVIDIA container toolkit. From the top of the checkout:
#
#   docker build -f docker/worker-gpu.Dockerfile -t swath-worker-gpu .
#
# Other base images: --build-arg BASE=… and --build-arg BUILD_BASE=…. What is built against one C library
# does not start on an older one, so choose both of the same age.
ARG BASE=debian:bookworm-slim
ARG BUILD_BASE=rust:1.95-bookworm

# PyTorch (some 5 GB with CUDA) comes before everything else, so that a change elsewhere does not fetch it again. The
# trainer contains the path of the directory it was built with, so it is built in its final place.
FROM ${BUILD_BASE} AS libtorch
RUN apt-get update \
    && apt-get install --yes --no-install-recommends g++ python3 python3-venv \
    && rm -rf /var/lib/apt/lists/*
RUN python3 -m venv /opt/pytorch \
    && /opt/pytorch/bin/pip install --no-cache-dir torch==2.13.0

FROM libtorch AS build
# Where setup looks for a GPU PyTorch. It would fall back to a CPU build, which is not what this image is for.
ENV PATH=/opt/pytorch/bin:${PATH}
WORKDIR /src
COPY . .
RUN cargo xtask setup \
    && test -e .libtorch/lib/libtorch_cuda.so
RUN cargo build --locked --release -p swath-worker -p swath-trainer -p swath-coordinator

FROM ${BASE}
# Data sets are fetched over TLS.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates libstdc++6 \
    && rm -rf /var/lib/apt/lists/*
# A named volume starts with the owner of the directory that it covers: both are made here.
RUN groupadd --system --gid 10001 swath \
    && useradd --system --uid 10001 --gid swath --create-home --home-dir /var/lib/swath swath \
    && install --directory --owner=swath --group=swath /var/lib/swath/data /var/lib/swath/state
COPY --from=libtorch /opt/pytorch/lib /opt/pytorch/lib
# The coordinator's command line is here for the health check.
COPY --from=build /src/target/release/worker /src/target/release/trainer /src/target/release/coordinator /usr/local/bin/
COPY docker/worker-health.sh /usr/local/bin/worker-health.sh
# What the NVIDIA container toolkit brings in from the host: the driver's CUDA and nvidia-smi, by which GPUs are named.
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
ENV SWATH_DATA_DIR=/var/lib/swath/data SWATH_STATE_DIR=/var/lib/swath/state
USER swath
WORKDIR /var/lib/swath
ENTRYPOINT ["worker"]
CMD ["--device", "cuda:0"]
