// Calls to a server that may not be up.

package main

import (
	"context"
	"time"

	lab "kitex-peer/kitex_gen/lab"
)

// runRedial calls Down once a second, --t times, each with a deadline of 0.9 s,
// and prints what came of it within 0.95 s.
func runRedial(o options) {
	cli := dial(o, o.self, o.name, o.addr)
	for k := range o.seconds {
		start := time.Now()
		result := make(chan error, 1)
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), 900*time.Millisecond)
			defer cancel()
			result <- downToEnd(ctx, cli, &lab.Req{Msg: "n=1"})
		}()
		said := "ok"
		select {
		case err := <-result:
			if err != nil {
				said = err.Error()
			}
		case <-time.After(950 * time.Millisecond):
			said = "HANGS"
		}
		line{"ev": "redial", "k": k, "r": said}.print()
		time.Sleep(time.Until(start.Add(time.Second)))
	}
}
