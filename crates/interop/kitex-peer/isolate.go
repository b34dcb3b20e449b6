// Many streams on one connection, half of them canceled. The Rust peer
// draws the same lots from the same seed.

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/cloudwego/kitex/pkg/kerrors"
	"github.com/cloudwego/kitex/pkg/remote/trans/nphttp2/codes"
	"github.com/cloudwego/kitex/pkg/remote/trans/nphttp2/status"

	lab "kitex-peer/kitex_gen/lab"
	labservice "kitex-peer/kitex_gen/lab/lab"
)

// Messages of each stream, with such pauses that all streams are open at once.
const (
	isolateMessages = 6
	isolateWords    = "n=6;delay=700"
	// Of a stream that is canceled: so many that its handler cannot have sent
	// all of them before a cancel that arrives late.
	isolateCanceled = "n=1000;delay=700"
)

// lot is what becomes of a stream: canceled after so many messages, never if
// negative; and how long before a cancel that waits for no message.
type lot struct {
	after int
	wait  time.Duration
}

// drawLot is splitmix64, as in the Rust peer.
func drawLot(seed, number uint64) lot {
	bits := seed + (number+1)*0x9e3779b97f4a7c15
	bits = (bits ^ bits>>30) * 0xbf58476d1ce4e5b9
	bits = (bits ^ bits>>27) * 0x94d049bb133111eb
	bits ^= bits >> 31
	l := lot{after: -1, wait: time.Duration(bits>>8&0x3fff) * time.Microsecond}
	switch bits & 3 {
	case 1:
		l.after = 0
	case 3:
		l.after = 1 + int(bits>>2&3)
	}
	return l
}

// runIsolate opens --c streams, cancels half of them and prints how all have
// ended.
func runIsolate(o options) {
	cli := dial(o, o.self, o.name, o.addr)
	ends := make([]error, o.count)
	var met sync.WaitGroup
	for i := range ends {
		met.Add(1)
		go func() {
			defer met.Done()
			ends[i] = meetLot(cli, drawLot(uint64(o.seed), uint64(i)), o.cross)
		}()
	}
	met.Wait()
	survivors, canceled, before := 0, 0, 0
	broken := []line{}
	for i, err := range ends {
		l := drawLot(uint64(o.seed), uint64(i))
		switch {
		case err != nil:
			broken = append(broken, line{"seq": i, "err": err.Error()})
		case l.after < 0:
			survivors++
		default:
			canceled++
			if l.after == 0 {
				before++
			}
		}
	}
	line{
		"ev": "isolated", "c": o.count, "survivors": survivors, "canceled": canceled, "before": before,
		"broken": broken,
	}.print()
	time.Sleep(200 * time.Millisecond) // for the last cancels to be written
}

// meetLot gives what the stream ended with, if that is not its lot.
func meetLot(cli labservice.Client, l lot, cross bool) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	words := isolateWords
	switch {
	case l.after == 0 && !cross:
		words = "idle"
	case l.after >= 0:
		words = isolateCanceled
	}
	stream, err := cli.Down(ctx, &lab.Req{Msg: words})
	if err != nil {
		return err
	}
	canceled := false
	for n := 0; ; n++ {
		if n == l.after {
			if n == 0 {
				time.Sleep(l.wait)
			}
			cancel()
			canceled = true
		}
		_, err := stream.Recv(ctx)
		switch {
		case err == nil: // behind a cancel: what had arrived before it
		case !canceled && n == isolateMessages && errors.Is(err, io.EOF):
			return nil
		case canceled && (errors.Is(err, kerrors.ErrStreamingCanceled) || status.Code(err) == codes.Canceled):
			return nil
		default:
			return fmt.Errorf("after %d messages: %w", n, err)
		}
	}
}
