//go:build kitex_v0_15

// The same names for Kitex v0.15, which has no error of a timeout of its own.

package main

import (
	"errors"
	"time"

	"github.com/cloudwego/kitex/client/callopt/streamcall"
)

var errStreamTimeout = errors.New("no error of Kitex v0.15 is this")

func withRecvTimeout(limit time.Duration) streamcall.Option {
	return streamcall.WithRecvTimeout(limit)
}
