// etcd-peer is a small service on real CloudWeGo Kitex whose servers register themselves by registry-etcd, and a client that
// finds servers by its resolver.
//
// The generated code is not kept in the repository. In this folder:
//
//	go tool kitex -streamx -module etcd-peer ../idl/lab.thrift
//	go build -o etcd-peer .
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"strings"

	"github.com/cloudwego/kitex/client"
	"github.com/cloudwego/kitex/pkg/discovery"
	"github.com/cloudwego/kitex/pkg/registry"
	"github.com/cloudwego/kitex/pkg/rpcinfo"
	"github.com/cloudwego/kitex/server"
	"github.com/cloudwego/kitex/transport"
	etcd "github.com/kitex-contrib/registry-etcd"

	lab "etcd-peer/kitex_gen/lab"
	labservice "etcd-peer/kitex_gen/lab/lab"
)

type options struct {
	etcd, service, name, tag string
	weight                   int
}

func main() {
	if len(os.Args) < 2 {
		fail(errors.New("server or client"))
	}
	var o options
	flags := flag.NewFlagSet(os.Args[1], flag.ExitOnError)
	flags.StringVar(&o.etcd, "etcd", "", "host:port of etcd")
	flags.StringVar(&o.service, "service", "", "the service's name")
	flags.StringVar(&o.name, "name", "go", "server: what it answers")
	flags.IntVar(&o.weight, "weight", 0, "server: its weight; 0: none is given")
	flags.StringVar(&o.tag, "tag", "", "server: a tag, KEY=VALUE")
	flags.Parse(os.Args[2:])
	switch os.Args[1] {
	case "server":
		serve(o)
	case "client":
		run(o)
	}
}

// serve serves until a signal stops it.
func serve(o options) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fail(err)
	}
	r, err := etcd.NewEtcdRegistry([]string{o.etcd})
	if err != nil {
		fail(err)
	}
	info := &registry.Info{Weight: o.weight}
	if key, value, found := strings.Cut(o.tag, "="); found {
		info.Tags = map[string]string{key: value}
	}
	server.RegisterStartHook(func() { fmt.Printf("listening %s\n", listener.Addr()) })
	svr := labservice.NewServer(&handler{o.name},
		server.WithListener(listener),
		server.WithServerBasicInfo(&rpcinfo.EndpointBasicInfo{ServiceName: o.service}),
		server.WithRegistry(r),
		server.WithRegistryInfo(info),
	)
	if err := svr.Run(); err != nil {
		fail(err)
	}
}

// run does what each line of stdin says, and answers it with one line of JSON:
//
//	instances   the instances that the resolver returns
//	calls N     how many of N calls each server has answered
//	streams N   the same of N streams
func run(o options) {
	resolver, err := etcd.NewEtcdResolver([]string{o.etcd})
	if err != nil {
		fail(err)
	}
	cli, err := labservice.NewClient(o.service,
		client.WithResolver(resolver),
		client.WithClientBasicInfo(&rpcinfo.EndpointBasicInfo{ServiceName: "go-user"}),
		client.WithTransportProtocol(transport.TTHeader|transport.TTHeaderStreaming),
	)
	if err != nil {
		fail(err)
	}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var what string
		var count int
		fmt.Sscan(lines.Text(), &what, &count)
		var answer any
		switch what {
		case "instances":
			answer, err = instances(resolver, o.service)
		case "calls":
			answer, err = counts(count, func(ctx context.Context) (*lab.Resp, error) {
				return cli.Ping(ctx, &lab.Req{})
			})
		case "streams":
			answer, err = counts(count, func(ctx context.Context) (*lab.Resp, error) {
				stream, err := cli.Down(ctx, &lab.Req{})
				if err != nil {
					return nil, err
				}
				return stream.Recv(ctx)
			})
		}
		if err != nil {
			answer = map[string]string{"error": err.Error()}
		}
		if err := json.NewEncoder(os.Stdout).Encode(answer); err != nil {
			fail(err)
		}
	}
}

type instance struct {
	Address string            `json:"address"`
	Weight  int               `json:"weight"`
	Tags    map[string]string `json:"tags"`
}

func instances(resolver discovery.Resolver, service string) ([]instance, error) {
	result, err := resolver.Resolve(context.Background(), service)
	if err != nil {
		return nil, err
	}
	shown := []instance{}
	for _, found := range result.Instances {
		tags := map[string]string{}
		// Instances have no method for all of their tags.
		for _, key := range []string{"zone"} {
			if value, exist := found.Tag(key); exist {
				tags[key] = value
			}
		}
		shown = append(shown, instance{found.Address().String(), found.Weight(), tags})
	}
	return shown, nil
}

func counts(count int, call func(context.Context) (*lab.Resp, error)) (map[string]int, error) {
	names := map[string]int{}
	for range count {
		ctx, cancel := context.WithCancel(context.Background())
		resp, err := call(ctx)
		cancel()
		if err != nil {
			return nil, err
		}
		names[resp.Msg]++
	}
	return names, nil
}

type handler struct{ name string }

func (h *handler) Ping(ctx context.Context, req *lab.Req) (*lab.Resp, error) {
	return &lab.Resp{Msg: h.name}, nil
}

func (h *handler) Unary(ctx context.Context, req *lab.Req) (*lab.Resp, error) {
	return &lab.Resp{Msg: h.name}, nil
}

func (h *handler) Up(ctx context.Context, stream lab.Lab_UpServer) error { return nil }

func (h *handler) Bidi(ctx context.Context, stream lab.Lab_BidiServer) error { return nil }

// Down says its name once.
func (h *handler) Down(ctx context.Context, req *lab.Req, stream lab.Lab_DownServer) error {
	return stream.Send(ctx, &lab.Resp{Msg: h.name})
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
