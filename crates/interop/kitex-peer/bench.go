// The bench: operations a second and their times.

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"sync"
	"time"

	lab "kitex-peer/kitex_gen/lab"
	labservice "kitex-peer/kitex_gen/lab/lab"
)

// runBench runs --c tasks over one client for --t seconds and prints how many
// operations a second they did and how long an operation took. A task that hangs
// only counts for less.
func runBench(o options) {
	open, ok := benches[o.what]
	if !ok {
		usage("bench cannot " + o.what)
	}
	cli := dial(o, o.self, o.name, o.addr)
	tasks := make([]benchTask, o.count)
	for i := range tasks {
		go tasks[i].run(cli, open, o.size)
	}
	time.Sleep(time.Duration(o.seconds) * time.Second)
	var times []time.Duration
	failed := false
	for i := range tasks {
		tasks[i].mu.Lock() // for good: the task stops here
		times = append(times, tasks[i].times...)
		if err := tasks[i].err; err != nil {
			failed = true
			fmt.Fprintln(os.Stderr, "bench: a task ended early:", err)
		}
	}
	slices.Sort(times)
	line{
		"ev": "bench", "what": o.what, "c": o.count, "b": o.size,
		"ops_s": math.Round(float64(len(times)) / float64(o.seconds)),
		"p50us": percentile(times, 0.5), "p99us": percentile(times, 0.99), "p999us": percentile(times, 0.999),
	}.print()
	if failed {
		os.Exit(1)
	}
}

// benchTask repeats one operation and notes the time of each.
type benchTask struct {
	mu    sync.Mutex
	times []time.Duration
	err   error
}

func (t *benchTask) run(cli labservice.Client, open benchOpen, size int) {
	operation, err := open(context.Background(), cli, size)
	for err == nil {
		start := time.Now()
		if err = operation(); err != nil {
			break
		}
		took := time.Since(start)
		t.mu.Lock()
		t.times = append(t.times, took)
		t.mu.Unlock()
	}
	t.mu.Lock()
	t.err = err
	t.mu.Unlock()
}

// benchOpen prepares a task and gives its operation.
type benchOpen func(ctx context.Context, cli labservice.Client, size int) (operation func() error, err error)

var benches = map[string]benchOpen{
	"echo":  benchEcho,
	"down":  benchDown,
	"open":  benchOpenDown,
	"unary": benchUnary,
}

// benchEcho: one Bidi stream; an operation is one message there and back.
func benchEcho(ctx context.Context, cli labservice.Client, size int) (func() error, error) {
	stream, err := cli.Bidi(ctx)
	if err != nil {
		return nil, err
	}
	req := &lab.Req{Payload: make([]byte, size)}
	return func() error {
		if err := stream.Send(ctx, req); err != nil {
			return err
		}
		_, err := stream.Recv(ctx)
		return err
	}, nil
}

// benchDown: one endless Down stream; an operation is one message received.
func benchDown(ctx context.Context, cli labservice.Client, size int) (func() error, error) {
	stream, err := cli.Down(ctx, &lab.Req{Msg: fmt.Sprintf("n=-1;size=%d", size)})
	if err != nil {
		return nil, err
	}
	return func() error {
		_, err := stream.Recv(ctx)
		return err
	}, nil
}

// benchOpenDown: an operation is a Down stream of one message, read to its end.
func benchOpenDown(ctx context.Context, cli labservice.Client, size int) (func() error, error) {
	req := &lab.Req{Msg: fmt.Sprintf("n=1;size=%d", size)}
	return func() error { return downToEnd(ctx, cli, req) }, nil
}

// benchUnary: an operation is one Unary call.
func benchUnary(ctx context.Context, cli labservice.Client, size int) (func() error, error) {
	req := &lab.Req{Payload: make([]byte, size)}
	return func() error {
		_, err := cli.Unary(ctx, req)
		return err
	}, nil
}

// downToEnd opens a Down stream and reads it to its end.
func downToEnd(ctx context.Context, cli labservice.Client, req *lab.Req) error {
	stream, err := cli.Down(ctx, req)
	if err != nil {
		return err
	}
	return toEnd(ctx, stream)
}

// toEnd reads a Down stream to its end.
func toEnd(ctx context.Context, stream labservice.Lab_DownClient) error {
	for {
		if _, err := stream.Recv(ctx); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// percentile is a percentile of sorted times, in microseconds with one decimal.
func percentile(sorted []time.Duration, p float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	at := min(int(p*float64(len(sorted))), len(sorted)-1)
	return math.Round(float64(sorted[at])/100) / 10
}
