// grpc-go-peer: the interop suite of grpc-go, its client and its server, and a client of health and reflection.
//
//	grpc-go-peer server -addr host:port
//	grpc-go-peer client -addr host:port -case NAME [-gzip]
//
// With -ca FILE it uses TLS, trusts the CAs of this PEM file, and has the certificate of -cert FILE and -key FILE.
// The server prints `listening` once it listens. The client exits with 0 if the case holds, else it says why.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"flag"
	"fmt"
	"net"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/interop"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/reflection"
)

func main() {
	if len(os.Args) < 2 {
		fail("usage: grpc-go-peer server|client ..")
	}
	flags := flag.NewFlagSet(os.Args[1], flag.ExitOnError)
	addr := flags.String("addr", "", "host:port")
	name := flags.String("case", "", "name of the case")
	compress := flags.Bool("gzip", false, "compress requests")
	ca := flags.String("ca", "", "use TLS, and trust the CAs of this PEM file")
	cert := flags.String("cert", "", "PEM file of the own certificate")
	key := flags.String("key", "", "PEM file of its key")
	flags.Parse(os.Args[2:])
	creds := insecure.NewCredentials()
	if *ca != "" {
		creds = secure(*ca, *cert, *key)
	}
	switch os.Args[1] {
	case "server":
		serve(*addr, creds)
	case "client":
		call(*addr, *name, *compress, creds)
	default:
		fail("unknown command " + os.Args[1])
	}
}

// secure returns credentials of both ends: each verifies the certificate of the other.
func secure(ca, cert, key string) credentials.TransportCredentials {
	pem, err := os.ReadFile(ca)
	if err != nil {
		fail(err.Error())
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	own, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		fail(err.Error())
	}
	return credentials.NewTLS(&tls.Config{
		Certificates: []tls.Certificate{own},
		RootCAs:      roots,
		ClientCAs:    roots,
		ClientAuth:   tls.RequireAndVerifyClientCert,
	})
}

func serve(addr string, creds credentials.TransportCredentials) {
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		fail(err.Error())
	}
	server := grpc.NewServer(grpc.Creds(creds))
	testgrpc.RegisterTestServiceServer(server, interop.NewTestServer())
	healthpb.RegisterHealthServer(server, health.NewServer())
	reflection.Register(server)
	fmt.Println("listening", listener.Addr())
	if err := server.Serve(listener); err != nil {
		fail(err.Error())
	}
}

func call(addr, name string, compress bool, creds credentials.TransportCredentials) {
	options := []grpc.DialOption{grpc.WithTransportCredentials(creds)}
	if compress {
		options = append(options, grpc.WithDefaultCallOptions(grpc.UseCompressor(gzip.Name)))
	}
	conn, err := grpc.NewClient("passthrough:///"+addr, options...)
	if err != nil {
		fail(err.Error())
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if run, ok := suite[name]; ok {
		run(ctx, testgrpc.NewTestServiceClient(conn))
		return
	}
	run, ok := others[name]
	if !ok {
		fail("unknown case " + name)
	}
	if err := run(ctx, conn); err != nil {
		fail(err.Error())
	}
}

// suite has the cases that end the process themselves if they fail.
var suite = map[string]func(context.Context, testgrpc.TestServiceClient){
	"empty_unary":                 func(ctx context.Context, c testgrpc.TestServiceClient) { interop.DoEmptyUnaryCall(ctx, c) },
	"large_unary":                 func(ctx context.Context, c testgrpc.TestServiceClient) { interop.DoLargeUnaryCall(ctx, c) },
	"client_streaming":            func(ctx context.Context, c testgrpc.TestServiceClient) { interop.DoClientStreaming(ctx, c) },
	"server_streaming":            func(ctx context.Context, c testgrpc.TestServiceClient) { interop.DoServerStreaming(ctx, c) },
	"ping_pong":                   func(ctx context.Context, c testgrpc.TestServiceClient) { interop.DoPingPong(ctx, c) },
	"empty_stream":                func(ctx context.Context, c testgrpc.TestServiceClient) { interop.DoEmptyStream(ctx, c) },
	"timeout_on_sleeping_server":  func(ctx context.Context, c testgrpc.TestServiceClient) { interop.DoTimeoutOnSleepingServer(ctx, c) },
	"cancel_after_begin":          func(ctx context.Context, c testgrpc.TestServiceClient) { interop.DoCancelAfterBegin(ctx, c) },
	"cancel_after_first_response": func(ctx context.Context, c testgrpc.TestServiceClient) { interop.DoCancelAfterFirstResponse(ctx, c) },
	"status_code_and_message":     func(ctx context.Context, c testgrpc.TestServiceClient) { interop.DoStatusCodeAndMessage(ctx, c) },
	"special_status_message":      func(ctx context.Context, c testgrpc.TestServiceClient) { interop.DoSpecialStatusMessage(ctx, c) },
	"custom_metadata":             func(ctx context.Context, c testgrpc.TestServiceClient) { interop.DoCustomMetadata(ctx, c) },
}

var others = map[string]func(context.Context, *grpc.ClientConn) error{
	"unimplemented_method": func(ctx context.Context, conn *grpc.ClientConn) error {
		interop.DoUnimplementedMethod(ctx, conn)
		return nil
	},
	"unimplemented_service": func(ctx context.Context, conn *grpc.ClientConn) error {
		interop.DoUnimplementedService(ctx, testgrpc.NewUnimplementedServiceClient(conn))
		return nil
	},
	"health":             checkHealth,
	"watch":              watchHealth,
	"reflection_v1":      reflectV1,
	"reflection_v1alpha": reflectV1Alpha,
}

func fail(text string) {
	fmt.Fprintln(os.Stderr, text)
	os.Exit(1)
}
