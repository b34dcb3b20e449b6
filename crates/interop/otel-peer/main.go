// otel-peer is a small service on real CloudWeGo Kitex with the telemetry that Kitex's users have: obs-opentelemetry for
// traces, monitor-prometheus for metrics. It is one hop of a chain whose spans and metrics are compared with ours.
//
// The generated code is not kept in the repository. In this folder:
//
//	go tool kitex -streamx -module otel-peer ../idl/lab.thrift
//	go build -o otel-peer .
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"time"

	"github.com/cloudwego/kitex/client"
	"github.com/cloudwego/kitex/pkg/kerrors"
	"github.com/cloudwego/kitex/pkg/rpcinfo"
	"github.com/cloudwego/kitex/server"
	"github.com/cloudwego/kitex/transport"
	kitexprom "github.com/kitex-contrib/monitor-prometheus"
	"github.com/kitex-contrib/obs-opentelemetry/tracing"
	prom "github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	lab "otel-peer/kitex_gen/lab"
	labservice "otel-peer/kitex_gen/lab/lab"
)

type options struct {
	name, addr, next, nextName, proto, otlp, msg string
	cancelAfter                                  int
}

func main() {
	if len(os.Args) < 2 {
		fail(errors.New("server or client"))
	}
	var o options
	flags := flag.NewFlagSet(os.Args[1], flag.ExitOnError)
	flags.StringVar(&o.name, "name", "go", "own service name")
	flags.StringVar(&o.addr, "addr", "127.0.0.1:0", "server: address to listen on; client: address to call")
	flags.StringVar(&o.next, "next", "", "server: address of the next hop")
	flags.StringVar(&o.nextName, "next-name", "next", "service name of the next hop, or of the callee")
	flags.StringVar(&o.proto, "proto", "tt", "tt or grpc")
	flags.StringVar(&o.otlp, "otlp", "", "host:port of an OTLP/HTTP receiver")
	flags.StringVar(&o.msg, "msg", "", "client: how the stream ends: fail, biz, wait, or nothing")
	flags.IntVar(&o.cancelAfter, "cancel-after", 0, "client: cancels after this many messages")
	flags.Parse(os.Args[2:])

	shutdown := traces(o)
	registry := prom.NewRegistry()
	switch os.Args[1] {
	case "server":
		serve(o, registry)
	case "client":
		call(o, registry)
	}
	shutdown()
}

// traces exports each span as soon as it ends.
func traces(o options) func() {
	ctx := context.Background()
	exporter, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpoint(o.otlp), otlptracehttp.WithInsecure())
	if err != nil {
		fail(err)
	}
	about := resource.NewSchemaless(
		attribute.String("service.name", o.name),
		attribute.String("service.namespace", "lab"),
		attribute.String("deployment.environment", "test"),
	)
	provider := sdktrace.NewTracerProvider(sdktrace.WithSyncer(exporter), sdktrace.WithResource(about))
	otel.SetTracerProvider(provider)
	otel.SetTextMapPropagator(propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{}))
	return func() {
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		provider.Shutdown(ctx)
	}
}

type handler struct{ next labservice.Client }

func serve(o options, registry *prom.Registry) {
	addr, err := net.ResolveTCPAddr("tcp", o.addr)
	if err != nil {
		fail(err)
	}
	h := &handler{}
	if o.next != "" {
		h.next = dial(o, o.next, registry)
	}
	metrics, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fail(err)
	}
	listener, err := net.ListenTCP("tcp", addr)
	if err != nil {
		fail(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	go http.Serve(metrics, mux)
	server.RegisterStartHook(func() { fmt.Printf("listening %s %s\n", listener.Addr(), metrics.Addr()) })
	svr := labservice.NewServer(h,
		server.WithListener(listener),
		server.WithServerBasicInfo(&rpcinfo.EndpointBasicInfo{ServiceName: o.name}),
		server.WithSuite(tracing.NewServerSuite()),
		server.WithTracer(kitexprom.NewServerTracer("", "", kitexprom.WithDisableServer(true), kitexprom.WithRegistry(registry))),
	)
	if err := svr.Run(); err != nil {
		fail(err)
	}
}

func dial(o options, addr string, registry *prom.Registry) labservice.Client {
	protocol := transport.TTHeaderStreaming
	if o.proto == "grpc" {
		protocol = transport.GRPCStreaming
	}
	cli, err := labservice.NewClient(o.nextName,
		client.WithSuite(tracing.NewClientSuite()),
		client.WithHostPorts(addr),
		client.WithClientBasicInfo(&rpcinfo.EndpointBasicInfo{ServiceName: o.name}),
		client.WithTransportProtocol(transport.TTHeader|protocol),
		client.WithTracer(kitexprom.NewClientTracer("", "", kitexprom.WithDisableServer(true), kitexprom.WithRegistry(registry))),
	)
	if err != nil {
		fail(err)
	}
	return cli
}

// call calls Down once, and prints what monitor-prometheus has counted of it.
func call(o options, registry *prom.Registry) {
	cli := dial(o, o.addr, registry)
	// Its finalizer closes the pool of gRPC, even while a stream opens.
	defer runtime.KeepAlive(cli)
	ctx, span := otel.Tracer("otel-peer").Start(context.Background(), "root")
	ctx, cancel := context.WithCancel(ctx)
	stream, err := cli.Down(ctx, &lab.Req{Msg: o.msg})
	for n := 1; err == nil; n++ {
		_, err = stream.Recv(ctx)
		if n == o.cancelAfter {
			cancel()
		}
	}
	if err == io.EOF {
		err = nil
	}
	fmt.Printf("ended %v\n", err)
	cancel()
	span.End()
	// The end of a stream is reported by another goroutine.
	time.Sleep(200 * time.Millisecond)
	text := httptest.NewRecorder()
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(text, httptest.NewRequest("GET", "/", nil))
	fmt.Print(text.Body)
}

func (h *handler) Ping(ctx context.Context, req *lab.Req) (*lab.Resp, error) { return &lab.Resp{}, nil }

func (h *handler) Unary(ctx context.Context, req *lab.Req) (*lab.Resp, error) {
	return &lab.Resp{}, nil
}

func (h *handler) Up(ctx context.Context, stream lab.Lab_UpServer) error { return nil }

func (h *handler) Bidi(ctx context.Context, stream lab.Lab_BidiServer) error { return nil }

// Down relays the next hop, or ends as the request says.
func (h *handler) Down(ctx context.Context, req *lab.Req, stream lab.Lab_DownServer) error {
	if h.next != nil {
		below, err := h.next.Down(ctx, req)
		for err == nil {
			var resp *lab.Resp
			if resp, err = below.Recv(ctx); err == nil {
				err = stream.Send(ctx, resp)
			}
		}
		if err == io.EOF {
			return nil
		}
		return err
	}
	for seq := int64(0); seq < 3; seq++ {
		if err := stream.Send(ctx, &lab.Resp{Seq: seq}); err != nil {
			return err
		}
	}
	switch req.Msg {
	case "wait":
		<-ctx.Done()
		return ctx.Err()
	case "fail":
		return errors.New("no")
	case "biz":
		return kerrors.NewBizStatusError(7, "no")
	}
	return nil
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
