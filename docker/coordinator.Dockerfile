# The coordinator, which is also the command line. From the top of the checkout:
#
#   docker build -f docker/coordinator.Dockerfile -t swath-coordinator .
#
# Other base images: --build-arg BASE=… and --build-arg BUILD_BASE=…. What is built against one C library
# does not start on an older one, so choose both of the same age.
ARG BASE=debian:bookworm-slim
ARG BUILD_BASE=rust:1.95-bookworm

FROM ${BUILD_BASE} AS build
WORKDIR /src
COPY . .
RUN cargo build --locked --release -p swath-coordinator

FROM ${BASE}
RUN groupadd --system --gid 10001 swath \
    && useradd --system --uid 10001 --gid swath --create-home --home-dir /var/lib/swath swath \
    && install --directory --owner=swath --group=swath --mode=700 /var/lib/swath/identity /var/lib/swath/tokens
COPY --from=build /src/target/release/coordinator /usr/local/bin/coordinator
COPY docker/coordinator-entrypoint.sh /usr/local/bin/coordinator-entrypoint.sh
USER swath
WORKDIR /var/lib/swath
EXPOSE 7070
ENTRYPOINT ["coordinator-entrypoint.sh"]
# Without --database it keeps swath.db in the working directory: give it a volume there.
CMD ["serve", "--listen", "0.0.0.0:7070"]
