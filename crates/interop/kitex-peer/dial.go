// The Kitex client: protocols and connection pools.

package main

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"sync"

	"github.com/cloudwego/kitex/client"
	"github.com/cloudwego/kitex/pkg/connpool"
	"github.com/cloudwego/kitex/pkg/remote/trans/ttstream"
	"github.com/cloudwego/kitex/pkg/rpcinfo"
	"github.com/cloudwego/kitex/pkg/transmeta"
	"github.com/cloudwego/kitex/transport"

	"kitex-peer/kitex_gen/lab/lab"
)

// dialed keeps every client: the finalizer of a client closes its pool of gRPC,
// even while streams are opened.
var dialed struct {
	sync.Mutex
	clients []any
}

func keep(cli any) {
	dialed.Lock()
	defer dialed.Unlock()
	dialed.clients = append(dialed.clients, cli)
}

// dial makes a client named self of the server named name at addr. It connects
// at the first call.
func dial(o options, self, name, addr string) lab.Client {
	opts := []client.Option{
		client.WithClientBasicInfo(&rpcinfo.EndpointBasicInfo{ServiceName: self}),
		client.WithHostPorts(addr),
		client.WithMetaHandler(transmeta.ClientTTHeaderHandler),
		client.WithMetaHandler(transmeta.ClientHTTP2Handler),
	}
	opts = append(opts, protocolOptions(o)...)
	opts = append(opts, poolOptions(o)...)
	opts = append(opts, tlsOptions(o)...)
	cli, err := lab.NewClient(name, opts...)
	if err != nil {
		fail(err)
	}
	keep(cli)
	return cli
}

// protocolOptions adds to TTHeader Streaming, which the generated client sets
// and which says nothing of unary calls.
func protocolOptions(o options) []client.Option {
	switch o.proto {
	case "tt":
		return nil
	case "grpc":
		return []client.Option{client.WithTransportProtocol(transport.GRPC)}
	case "framed":
		return []client.Option{client.WithTransportProtocol(transport.Framed)}
	case "ttheader":
		return []client.Option{client.WithTransportProtocol(transport.TTHeaderFramed)}
	}
	usage("unknown protocol " + o.proto)
	return nil
}

// tlsOptions sets the TLS of gRPC, the only protocol of Kitex that has it.
func tlsOptions(o options) []client.Option {
	if o.ca == "" {
		return nil
	}
	pem, err := os.ReadFile(o.ca)
	if err != nil {
		fail(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	// Kitex sets no server name of its own.
	host, _, _ := net.SplitHostPort(o.addr)
	return []client.Option{client.WithGRPCTLSConfig(&tls.Config{RootCAs: roots, ServerName: host})}
}

// poolOptions sets the pool of the streams, and that of unary calls where it
// has the same name; unary calls are never multiplexed.
func poolOptions(o options) []client.Option {
	switch o.pool {
	case "mux":
		cfg := ttstream.DefaultMuxConnConfig
		cfg.PoolSize = o.poolSize
		return []client.Option{
			streamPool(ttstream.WithClientMuxConnPool(cfg)),
			client.WithGRPCConnPoolSize(uint32(o.poolSize)),
		}
	case "long":
		return []client.Option{
			streamPool(ttstream.WithClientLongConnPool(ttstream.DefaultLongConnConfig)),
			client.WithLongConnection(connpool.IdleConfig{MaxIdlePerAddress: 100, MaxIdleGlobal: 1000}),
		}
	case "short":
		return []client.Option{
			streamPool(ttstream.WithClientShortConnPool()),
			client.WithShortConnection(),
		}
	}
	usage("unknown pool " + o.pool)
	return nil
}

func streamPool(opt ttstream.ClientHandlerOption) client.Option {
	return client.WithTTHeaderStreamingOptions(client.WithTTHeaderStreamingTransportOptions(opt))
}
