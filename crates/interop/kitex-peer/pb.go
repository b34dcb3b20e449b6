// The lab service with Protobuf messages: a server of all modes, and a client that calls each.

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/cloudwego/kitex/client"
	"github.com/cloudwego/kitex/pkg/rpcinfo"
	"github.com/cloudwego/kitex/pkg/transmeta"

	"kitex-peer/kitex_gen/labpb"
	"kitex-peer/kitex_gen/labpb/pblab"
)

// runPbServer serves PbLab until it receives a signal.
func runPbServer(o options) {
	serve(pblab.NewServer(&pbHandler{}, serverOptions(o)...))
}

type pbHandler struct{}

func pbEcho(req *labpb.PbReq) *labpb.PbResp {
	return &labpb.PbResp{Msg: req.Msg, Seq: req.Seq, Payload: req.Payload}
}

func (*pbHandler) Unary(ctx context.Context, req *labpb.PbReq) (*labpb.PbResp, error) {
	if req.Msg == "fail" {
		return nil, failure(words{})
	}
	return pbEcho(req), nil
}

func (*pbHandler) Up(ctx context.Context, stream labpb.PbLab_UpServer) error {
	for n := int64(0); ; n++ {
		_, err := stream.Recv(ctx)
		if errors.Is(err, io.EOF) {
			return stream.SendAndClose(ctx, &labpb.PbResp{Msg: fmt.Sprintf("n=%d", n), Seq: n})
		}
		if err != nil {
			return err
		}
	}
}

func (*pbHandler) Down(ctx context.Context, req *labpb.PbReq, stream labpb.PbLab_DownServer) error {
	for seq := int64(0); seq < req.Seq; seq++ {
		if err := stream.Send(ctx, &labpb.PbResp{Msg: req.Msg, Seq: seq, Payload: req.Payload}); err != nil {
			return err
		}
	}
	return nil
}

func (*pbHandler) Bidi(ctx context.Context, stream labpb.PbLab_BidiServer) error {
	for {
		req, err := stream.Recv(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := stream.Send(ctx, pbEcho(req)); err != nil {
			return err
		}
	}
}

// runPbClient calls each mode and prints a line for what came of it.
func runPbClient(o options) {
	opts := []client.Option{
		client.WithClientBasicInfo(&rpcinfo.EndpointBasicInfo{ServiceName: o.self}),
		client.WithHostPorts(o.addr),
		client.WithMetaHandler(transmeta.ClientTTHeaderHandler),
		client.WithMetaHandler(transmeta.ClientHTTP2Handler),
	}
	cli, err := pblab.NewClient(o.name, opts...)
	if err != nil {
		fail(err)
	}
	keep(cli)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	resp, err := cli.Unary(ctx, &labpb.PbReq{Msg: o.msg, Seq: 7, Payload: make([]byte, o.size)})
	pbLine("unary", resp, err)
	_, err = cli.Unary(ctx, &labpb.PbReq{Msg: "fail"})
	pbLine("fail", nil, err)
	resp, err = pbUp(ctx, cli)
	pbLine("up", resp, err)
	down, err := cli.Down(ctx, &labpb.PbReq{Msg: o.msg, Seq: 3, Payload: make([]byte, o.size)})
	for err == nil {
		resp, err = down.Recv(ctx)
		pbLine("down", resp, err)
	}
	pbBidi(ctx, cli, o)
}

func pbUp(ctx context.Context, cli pblab.Client) (*labpb.PbResp, error) {
	up, err := cli.Up(ctx)
	if err != nil {
		return nil, err
	}
	for seq := int64(0); seq < 3; seq++ {
		if err := up.Send(ctx, &labpb.PbReq{Seq: seq}); err != nil {
			return nil, err
		}
	}
	return up.CloseAndRecv(ctx)
}

func pbBidi(ctx context.Context, cli pblab.Client, o options) {
	bidi, err := cli.Bidi(ctx)
	for seq := int64(0); err == nil && seq < 2; seq++ {
		if err = bidi.Send(ctx, &labpb.PbReq{Msg: o.msg, Seq: seq, Payload: make([]byte, o.size)}); err != nil {
			break
		}
		var resp *labpb.PbResp
		resp, err = bidi.Recv(ctx)
		pbLine("bidi", resp, err)
	}
	if err == nil {
		err = bidi.CloseSend(ctx)
	}
	if err == nil {
		_, err = bidi.Recv(ctx)
	}
	pbLine("bidi", nil, err)
}

// pbLine prints what a call brought.
func pbLine(what string, resp *labpb.PbResp, err error) {
	if errors.Is(err, io.EOF) {
		line{"ev": what, "err": "EOF"}.print()
		return
	}
	line{"ev": what, "msg": resp.GetMsg(), "seq": resp.GetSeq(), "len": len(resp.GetPayload()), "err": text(err)}.print()
}
