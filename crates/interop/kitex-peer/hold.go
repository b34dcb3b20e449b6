// Many idle streams, left without a word.

package main

import (
	"context"
	"time"

	lab "kitex-peer/kitex_gen/lab"
)

// runHold opens --c idle Down streams, keeps them for --t seconds and leaves
// without a word to the server.
func runHold(o options) {
	cli := dial(o, o.self, o.name, o.addr)
	for seq := range int64(o.count) {
		if _, err := cli.Down(context.Background(), &lab.Req{Msg: "idle", Seq: seq}); err != nil {
			fail(err)
		}
	}
	line{"ev": "held"}.print()
	time.Sleep(time.Duration(o.seconds) * time.Second)
}
