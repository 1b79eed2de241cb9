# The images of docker-compose.yml, one per target.
FROM golang:1.26 AS build
WORKDIR /src
ENV CGO_ENABLED=0
COPY go.mod go.sum ./
COPY test/go.mod test/go.sum test/
COPY etcdtest/go.mod etcdtest/go.sum etcdtest/
RUN mkdir -p /data && go -C test build -trimpath -o /out/etcd go.etcd.io/etcd/server/v3 \
    && go -C test build -trimpath -o /out/etcdctl go.etcd.io/etcd/etcdctl/v3
COPY internal internal
COPY registry registry
COPY examples examples
RUN go build -trimpath -o /out/ ./examples/greeter ./examples/client

FROM busybox:stable AS etcd
COPY --from=build /out/etcd /out/etcdctl /usr/local/bin/
COPY --from=build --chown=1000:1000 /data /data
USER 1000:1000
ENTRYPOINT ["/usr/local/bin/etcd"]

FROM busybox:stable AS greeter
COPY --from=build /out/greeter /usr/local/bin/greeter
USER 1000:1000
ENTRYPOINT ["/usr/local/bin/greeter"]

FROM busybox:stable AS client
COPY --from=build /out/client /usr/local/bin/client
USER 1000:1000
ENTRYPOINT ["/usr/local/bin/client"]
