# Image of the Fairlead server. docker-compose.yml runs it; docs/operations.md says more.
#
#   docker build --build-arg FAIRLEAD_VERSION=$(git describe --tags --always) -t fairlead .

FROM debian:bookworm-slim AS console
RUN apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
	ca-certificates python3-venv
WORKDIR /src
COPY tests/tools/console.sh tests/tools/node.sh tests/tools/
COPY web/console web/console
RUN sh tests/tools/console.sh web/console

FROM debian:bookworm-slim AS build
RUN apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
	gcc make pkg-config libc6-dev libevent-dev libssl-dev libsqlite3-dev libjansson-dev \
	libmicrohttpd-dev libsodium-dev libnghttp2-dev libzstd-dev libcurl4-openssl-dev libcyaml-dev \
	libyaml-dev
WORKDIR /src
COPY . .
COPY --from=console /src/web/console/dist web/console/dist
ARG FAIRLEAD_VERSION=container
RUN make -s -j"$(nproc)" VERSION="$FAIRLEAD_VERSION" && strip build/fairlead

FROM debian:bookworm-slim
RUN apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
	libevent-core-2.1-7 libssl3 libsqlite3-0 libjansson4 libmicrohttpd12 libsodium23 \
	libnghttp2-14 libzstd1 libcurl4 libcyaml1 ca-certificates uacme && \
	rm -rf /var/lib/apt/lists/* && \
	groupadd -g 10001 fairlead && \
	useradd -u 10001 -g 10001 -d /var/lib/fairlead -s /usr/sbin/nologin fairlead && \
	install -d -o fairlead -g fairlead -m 700 /var/lib/fairlead && \
	install -d -o fairlead -g fairlead -m 750 /run/fairlead
COPY --from=build /src/build/fairlead /usr/local/bin/fairlead
# Not root, yet the defaults of a system service: its paths, and ports 443, 80 and 3478. An engine
# from 20.10 on lets every user of a container bind those; docker-compose.yml asks for it anyway.
ENV STATE_DIRECTORY=/var/lib/fairlead RUNTIME_DIRECTORY=/run/fairlead
USER 10001:10001
VOLUME /var/lib/fairlead
EXPOSE 443 80 3478/udp
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 CMD ["fairlead", "health"]
ENTRYPOINT ["fairlead"]
CMD ["serve"]
