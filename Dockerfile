# The steps are those of a person's machine: `cargo xtask up` builds, `cargo xtask test` tests.
#
#   docker build -t qponder .
#   docker run --rm -p 127.0.0.1:3000:3000 -v qponder:/data qponder
#   docker build --target test .     runs every test, the browser ones included

FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
RUN cargo xtask up --no-serve
# What the server needs at run time, links followed.
RUN mkdir -p /out/models && cp -rL target/debug/qponder target/web /out/ && cp -rL models/nano /out/models/

FROM build AS test
RUN cargo xtask test

FROM debian:bookworm-slim AS runtime
# Only PostgreSQL's programs are wanted: the server makes a cluster of its own under /data.
RUN mkdir -p /etc/postgresql-common/createcluster.d \
    && echo 'create_main_cluster = false' > /etc/postgresql-common/createcluster.d/qponder.conf \
    && apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends curl postgresql \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --user-group --home-dir /data qponder \
    && install -d -o qponder -g qponder -m 0700 /data
COPY --from=build /out/qponder /usr/local/bin/qponder
COPY --from=build /out/web /usr/local/share/qponder/web
COPY --from=build /out/models /usr/local/share/qponder/models
ENV QPONDER_LISTEN=0.0.0.0:3000 \
    QPONDER_DATA_DIR=/data \
    QPONDER_MODEL=/usr/local/share/qponder/models/nano \
    QPONDER_WEB_DIR=/usr/local/share/qponder/web
USER qponder
WORKDIR /data
VOLUME /data
EXPOSE 3000
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 \
    CMD curl --fail --silent --show-error --output /dev/null http://127.0.0.1:3000/readyz
# Inside a container the server must listen on every address. The first start prints a link for the first
# administrator (`docker logs`). Published on 127.0.0.1 as above it can be used at once; for other machines put
# a proxy with TLS before it, and say so with QPONDER_PUBLIC_URL and QPONDER_TRUSTED_PROXY.
ENTRYPOINT ["qponder"]
CMD ["serve", "--allow-remote"]
