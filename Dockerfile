# The chat's services, one program: `chat serve http`, `agent`, `retriever`, `model`.
FROM rust:1.95-slim-bookworm AS build
WORKDIR /src
COPY . .
RUN cargo build --release --locked -p chat --features otel && strip target/release/chat

FROM debian:bookworm-slim
# For an OPENAI_BASE_URL of https.
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates && rm -rf /var/lib/apt/lists/*
COPY --from=build /src/target/release/chat /usr/local/bin/chat
USER 65532:65532
EXPOSE 8080 7001 7002 7003 7004 7010
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/bin/chat"]
CMD ["serve", "http", "--addr", "0.0.0.0:8080"]
