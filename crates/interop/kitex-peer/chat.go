// The agent of the chat (crates/chat/idl): a Kitex service between a gateway and a model.

package main

import (
	"context"
	"errors"
	"io"

	"github.com/cloudwego/kitex/client"
	"github.com/cloudwego/kitex/pkg/rpcinfo"
	"github.com/cloudwego/kitex/pkg/transmeta"

	"kitex-peer/kitex_gen/chat"
	chatservice "kitex-peer/kitex_gen/chat/chat"
)

// runChatAgent serves Chat until a signal stops it. It passes on the reply of the
// model, which is the next server.
func runChatAgent(o options) {
	opts := []client.Option{
		client.WithClientBasicInfo(&rpcinfo.EndpointBasicInfo{ServiceName: o.name}),
		client.WithHostPorts(o.next),
		client.WithMetaHandler(transmeta.ClientTTHeaderHandler),
		client.WithMetaHandler(transmeta.ClientHTTP2Handler),
	}
	model, err := chatservice.NewClient(o.nextName, append(opts, protocolOptions(o)...)...)
	if err != nil {
		fail(err)
	}
	keep(model)
	serve(chatservice.NewServer(&chatAgent{name: o.name, model: model}, serverOptions(o)...))
}

type chatAgent struct {
	name  string
	model chatservice.Client
}

// Ask asks the model under the handler's own context, so that a cancel goes on,
// and prints how that ended.
func (a *chatAgent) Ask(ctx context.Context, question *chat.Question, stream chat.Chat_AskServer) error {
	n, err := a.pass(ctx, question, stream)
	line{"ev": "server", "svc": a.name, "m": "Ask", "err": text(err), "kind": kind(err), "n": n, "ts": now()}.print()
	return err
}

func (a *chatAgent) pass(ctx context.Context, question *chat.Question, stream chat.Chat_AskServer) (int, error) {
	reply, err := a.model.Ask(ctx, question)
	if err != nil {
		return 0, err
	}
	for n := 0; ; n++ {
		token, err := reply.Recv(ctx)
		if errors.Is(err, io.EOF) {
			return n, nil
		}
		if err != nil {
			return n, err
		}
		if err := stream.Send(ctx, token); err != nil {
			return n, err
		}
	}
}
