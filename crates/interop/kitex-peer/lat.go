// How soon a server sees a cancel.

package main

import (
	"context"
	"sync"
	"time"

	lab "kitex-peer/kitex_gen/lab"
)

// runLat opens --c idle Down streams, 10 ms apart, and cancels each 300 ms
// after it opened; the server's own lines show how late it sees
// it. With recv something is receiving on each stream, with norecv
// nothing is.
func runLat(o options) {
	if o.what != "recv" && o.what != "norecv" {
		usage("lat cannot " + o.what)
	}
	cli := dial(o, o.self, o.name, o.addr)
	var canceled sync.WaitGroup
	for seq := range int64(o.count) {
		ctx, cancel := context.WithCancel(context.Background())
		stream, err := cli.Down(ctx, &lab.Req{Msg: "idle", Seq: seq})
		if err != nil {
			fail(err)
		}
		if o.what == "recv" {
			go func() { _, _ = stream.Recv(ctx) }()
		}
		canceled.Add(1)
		time.AfterFunc(300*time.Millisecond, func() {
			line{"ev": "cancel", "seq": seq, "ts": now()}.print()
			cancel()
			canceled.Done()
		})
		time.Sleep(10 * time.Millisecond)
	}
	canceled.Wait()
	time.Sleep(6 * time.Second)
}
