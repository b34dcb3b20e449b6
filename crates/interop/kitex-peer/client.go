// The client: one call, printed line by line.

package main

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/bytedance/gopkg/cloud/metainfo"
	"github.com/cloudwego/kitex/client/callopt/streamcall"

	lab "kitex-peer/kitex_gen/lab"
	labservice "kitex-peer/kitex_gen/lab/lab"
)

// clientLinger is how long the client stays after its last line: gRPC writes the
// reset of a canceled stream a little later than Recv returns the cancel.
const clientLinger = 200 * time.Millisecond

// runClient makes one call and prints what comes of it.
func runClient(o options) {
	cli := dial(o, o.self, o.name, o.addr)
	defer time.Sleep(clientLinger)
	ctx := metainfo.WithValue(context.Background(), "tk", "tval")
	ctx = metainfo.WithPersistentValue(ctx, "pk", "pval")
	for at := 0; at < o.pairs; at++ {
		ctx = metainfo.WithPersistentValue(ctx, "p"+strconv.Itoa(at), "v")
	}
	req := &lab.Req{Msg: o.msg, Payload: make([]byte, o.payload)}
	wait := time.Duration(o.after) * time.Millisecond
	switch o.what {
	case "ping":
		resp, err := cli.Ping(ctx, &lab.Req{Msg: o.msg, Seq: 7, Payload: req.Payload})
		line{"ev": "client", "resp": resp, "err": text(err)}.print()
	case "unary":
		resp, err := cli.Unary(ctx, &lab.Req{Msg: o.msg, Seq: 7})
		answered(resp, err)
	case "up":
		answered(clientUp(ctx, cli, o.msg))
	case "bidi":
		ended(clientBidi(ctx, cli, o.msg))
	case "down":
		clientDown(ctx, cli, req, -1, nil)
	case "cancel":
		ctx, cancel := context.WithCancel(ctx)
		clientDown(ctx, cli, req, o.after, cancel)
	case "cancelcause":
		ctx, cancel := context.WithCancelCause(ctx)
		clientDown(ctx, cli, req, o.after, func() { cancel(errors.New("user pressed stop")) })
	case "timeout":
		ctx, cancel := context.WithTimeout(ctx, wait)
		defer cancel()
		clientDown(ctx, cli, req, -1, nil)
	case "recvtimeout":
		clientDown(ctx, cli, req, -1, nil, withRecvTimeout(wait))
	case "drop":
		usage("client --what drop: only the Rust peer can")
	default:
		usage("client cannot " + o.what)
	}
}

// answered prints the line of a call that brings one response or an error.
func answered(resp *lab.Resp, err error) {
	line{"ev": "client", "resp": resp, "err": text(err), "kind": kind(err)}.print()
}

// ended prints the line of a stream that brings nothing more.
func ended(err error) {
	line{"ev": "client", "err": text(err), "kind": kind(err)}.print()
}

// clientUp sends 5 messages and reads the response.
func clientUp(ctx context.Context, cli labservice.Client, msg string) (*lab.Resp, error) {
	stream, err := cli.Up(ctx)
	if err != nil {
		return nil, err
	}
	for i := int64(0); i < 5; i++ {
		if err := stream.Send(ctx, &lab.Req{Msg: msg, Seq: i}); err != nil {
			return nil, err
		}
	}
	resp, err := stream.CloseAndRecv(ctx)
	if err != nil {
		return nil, err
	}
	return resp, nil
}

// clientBidi sends 5 messages, prints the response to each before the next one,
// and gives the error that ends the stream: io.EOF if all went well.
func clientBidi(ctx context.Context, cli labservice.Client, msg string) error {
	stream, err := cli.Bidi(ctx)
	if err != nil {
		return err
	}
	for i := int64(0); i < 5; i++ {
		if err := stream.Send(ctx, &lab.Req{Msg: msg, Seq: i}); err != nil {
			return err
		}
		resp, err := stream.Recv(ctx)
		if err != nil {
			return err
		}
		answered(resp, nil)
	}
	if err := stream.CloseSend(ctx); err != nil {
		return err
	}
	_, err = stream.Recv(ctx)
	return err
}

// clientDown reads a Down stream to its end. After that many messages it
// cancels; never if after is negative.
func clientDown(ctx context.Context, cli labservice.Client, req *lab.Req, after int, cancel func(), opts ...streamcall.Option) {
	stream, err := cli.Down(ctx, req, opts...)
	if err != nil {
		line{"ev": "client", "err": text(err), "kind": kind(err), "n": 0}.print()
		return
	}
	for n := 0; ; n++ {
		if n == after {
			line{"ev": "cancel", "ts": now()}.print()
			cancel()
		}
		resp, err := stream.Recv(ctx)
		if err != nil {
			trailer, terr := stream.Trailer()
			line{
				"ev": "client", "err": text(err), "kind": kind(err), "n": n,
				"trailer": trailer, "terr": text(terr),
			}.print()
			return
		}
		if n == 0 {
			header, herr := stream.Header()
			line{"ev": "client", "first": resp, "header": header, "herr": text(herr)}.print()
		}
	}
}
