//go:build !kitex_v0_15

// What is called otherwise in older versions of Kitex.

package main

import (
	"time"

	"github.com/cloudwego/kitex/client/callopt/streamcall"
	"github.com/cloudwego/kitex/pkg/kerrors"
	"github.com/cloudwego/kitex/pkg/streaming"
)

var errStreamTimeout error = kerrors.ErrStreamingTimeout

func withRecvTimeout(limit time.Duration) streamcall.Option {
	return streamcall.WithRecvTimeoutConfig(streaming.TimeoutConfig{Timeout: limit})
}
