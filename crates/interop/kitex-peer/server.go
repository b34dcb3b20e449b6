// The server and its service.

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/bytedance/gopkg/cloud/metainfo"
	"github.com/cloudwego/kitex/pkg/kerrors"
	"github.com/cloudwego/kitex/pkg/rpcinfo"
	"github.com/cloudwego/kitex/pkg/streaming"
	"github.com/cloudwego/kitex/pkg/transmeta"
	"github.com/cloudwego/kitex/server"

	lab "kitex-peer/kitex_gen/lab"
	labservice "kitex-peer/kitex_gen/lab/lab"
)

func failure(w words) error { return errors.New("handler failed" + strings.Repeat("x", w.text)) }

// runServer serves Lab on one port for all protocols until a signal stops it.
// With --next its Down is a call of Down there.
func runServer(o options) {
	h := &handler{name: o.name}
	if o.next != "" {
		h.next = dial(o, o.name, o.nextName, o.next)
	}
	serve(labservice.NewServer(h, serverOptions(o)...))
}

// serverOptions are those of every server of this program.
func serverOptions(o options) []server.Option {
	addr, err := listenAddr(o.addr)
	if err != nil {
		fail(err)
	}
	return []server.Option{
		server.WithServiceAddr(addr),
		server.WithServerBasicInfo(&rpcinfo.EndpointBasicInfo{ServiceName: o.name}),
		server.WithMetaHandler(transmeta.ServerTTHeaderHandler),
		server.WithMetaHandler(transmeta.ServerHTTP2Handler),
	}
}

// serve prints when it listens, and returns after a signal.
func serve(svr server.Server) {
	server.RegisterStartHook(func() { line{"ev": "listening"}.print() })
	if err := svr.Run(); err != nil {
		fail(err)
	}
}

// listenAddr is the path of a Unix socket if it begins with a slash, else host:port.
func listenAddr(addr string) (net.Addr, error) {
	if strings.HasPrefix(addr, "/") {
		return net.ResolveUnixAddr("unix", addr)
	}
	return net.ResolveTCPAddr("tcp", addr)
}

// handler is the service: what it does follows the words of the request.
type handler struct {
	name string
	next labservice.Client
}

// ended prints the line of a stream handler that ends after n messages, and
// hands back the error.
func (h *handler) ended(method string, err error, n int) error {
	line{
		"ev": "server", "svc": h.name, "m": method,
		"err": text(err), "kind": kind(err), "n": n, "ts": now(),
	}.print()
	return err
}

// Ping echoes the request.
func (h *handler) Ping(ctx context.Context, req *lab.Req) (*lab.Resp, error) {
	return echo(req), nil
}

// Unary echoes the request, unless its words ask for an error.
func (h *handler) Unary(ctx context.Context, req *lab.Req) (*lab.Resp, error) {
	w := parseWords(req.Msg)
	if w.biz != 0 {
		return nil, bizError(w)
	}
	if w.fail {
		return nil, failure(w)
	}
	return echo(req), nil
}

// Up counts the requests and responds after the last one.
func (h *handler) Up(ctx context.Context, stream lab.Lab_UpServer) error {
	n, seq := 0, int64(0)
	for {
		req, err := stream.Recv(ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return h.ended("Up", err, n)
		}
		n, seq = n+1, req.Seq
	}
	err := stream.SendAndClose(ctx, &lab.Resp{Msg: fmt.Sprintf("n=%d", n), Seq: seq})
	return h.ended("Up", err, n)
}

// Down sends what the words of the request ask for. With a next server only hdr
// is done here, as it is there; all else comes from there.
func (h *handler) Down(ctx context.Context, req *lab.Req, stream lab.Lab_DownServer) error {
	w := parseWords(req.Msg)
	if w.hdr {
		if err := stream.SetHeader(streaming.Header{"hk": "hv"}); err != nil {
			return h.ended("Down.send", err, 0)
		}
		if err := stream.SetTrailer(streaming.Trailer{"tk": "tv"}); err != nil {
			return h.ended("Down.send", err, 0)
		}
	}
	if w.headers.count > 0 {
		if err := stream.SetHeader(w.headers.add(streaming.Header{}, "h")); err != nil {
			return h.ended("Down.send", err, 0)
		}
	}
	if w.trailers.count > 0 {
		if err := stream.SetTrailer(w.trailers.add(streaming.Trailer{}, "t")); err != nil {
			return h.ended("Down.send", err, 0)
		}
	}
	if h.next != nil {
		return h.pass(ctx, req, stream)
	}
	msg := "pk=" + either(ctx, metainfo.GetPersistentValue, "pk", "PK") +
		";tk=" + either(ctx, metainfo.GetValue, "tk", "TK")
	payload := make([]byte, w.size)
	n := 0
	for ; n != w.n; n++ {
		resp := &lab.Resp{Msg: msg, Seq: int64(n), Payload: payload}
		if err := stream.Send(ctx, resp); err != nil {
			return h.ended("Down.send", err, n)
		}
		time.Sleep(w.delay)
	}
	switch {
	case w.idle:
		<-ctx.Done()
		line{"ev": "done", "svc": h.name, "seq": req.Seq, "ts": now()}.print()
		return h.ended("Down.idle", ctx.Err(), n)
	case w.biz != 0:
		return bizError(w)
	case w.fail:
		return failure(w)
	case w.panic:
		panic("lab panic")
	}
	return h.ended("Down", nil, n)
}

// pass calls Down of the next server under the handler's own context and passes
// on all that comes back.
func (h *handler) pass(ctx context.Context, req *lab.Req, stream lab.Lab_DownServer) error {
	from, err := h.next.Down(ctx, req)
	if err != nil {
		return h.ended("Down.open", err, 0)
	}
	for n := 0; ; n++ {
		resp, err := from.Recv(ctx)
		if errors.Is(err, io.EOF) {
			return h.ended("Down", nil, n)
		}
		if err != nil {
			return h.ended("Down.recv", err, n)
		}
		if err := stream.Send(ctx, resp); err != nil {
			return h.ended("Down.send", err, n)
		}
	}
}

// Bidi echoes each request until the last one.
func (h *handler) Bidi(ctx context.Context, stream lab.Lab_BidiServer) error {
	for n := 0; ; n++ {
		req, err := stream.Recv(ctx)
		if errors.Is(err, io.EOF) {
			return h.ended("Bidi", nil, n)
		}
		if err != nil {
			return h.ended("Bidi.recv", err, n)
		}
		if err := stream.Send(ctx, echo(req)); err != nil {
			return h.ended("Bidi.send", err, n)
		}
	}
}

// either is the metainfo under the first of keys that has some: gRPC turns keys
// to capitals.
func either(ctx context.Context, get func(context.Context, string) (string, bool), keys ...string) string {
	for _, key := range keys {
		if value, ok := get(ctx, key); ok {
			return value
		}
	}
	return ""
}

func echo(req *lab.Req) *lab.Resp {
	return &lab.Resp{Msg: req.Msg, Seq: req.Seq, Payload: req.Payload}
}

func bizError(w words) error {
	return kerrors.NewBizStatusErrorWithExtra(w.biz, "biz says no", map[string]string{"k": "v"})
}
