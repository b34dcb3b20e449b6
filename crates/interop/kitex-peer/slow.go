// The memory that a slow reader takes.

package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	lab "kitex-peer/kitex_gen/lab"
)

// runSlow reads one message a second from an endless Down stream and prints
// how much memory that takes.
func runSlow(o options) {
	cli := dial(o, o.self, o.name, o.addr)
	ctx := context.Background()
	stream, err := cli.Down(ctx, &lab.Req{Msg: "n=-1;size=1024"})
	if err != nil {
		fail(err)
	}
	for second := 1; second <= o.seconds; second++ {
		if _, err := stream.Recv(ctx); err != nil {
			fmt.Fprintln(os.Stderr, "slow:", err)
		}
		time.Sleep(time.Second)
		line{"ev": "rss", "s": second, "kb": residentKB()}.print()
	}
}

// residentKB is VmRSS of this process.
func residentKB() int {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		fail(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	kb, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		fail(err)
	}
	return kb
}
