// kitex-lab-peer is lab-peer in Go, on real CloudWeGo Kitex: the same
// arguments on the command line, the same lines on standard output. It shows Kitex
// as it is and works around none of its faults. What Kitex logs goes to
// standard error.
//
// The generated code is not kept in the repository. In this folder:
//
//	go tool kitex -streamx -module kitex-peer ../idl/lab.thrift
//	go tool kitex -streamx -module kitex-peer -I ../idl ../idl/lab_pb.proto
//	go tool kitex -streamx -module kitex-peer ../../chat/idl/chat.thrift
//	go build -o kitex-lab-peer .
package main

import (
	"flag"
	"fmt"
	"os"
)

// options are the words of the command line; each subcommand reads its own.
type options struct {
	addr     string
	name     string
	self     string
	next     string
	nextName string
	proto    string
	pool     string
	poolSize int

	what    string
	msg     string
	after   int
	count   int
	size    int
	seconds int
	seed    int
	cross   bool
	pairs   int
	payload int
	ca      string
}

// subcommands says what each subcommand runs and the defaults that differ
// from one to another.
var subcommands = map[string]struct {
	run     func(options)
	what    string
	count   int
	seconds int
}{
	"server":  {run: runServer},
	"client":  {run: runClient, what: "down"},
	"bench":   {run: runBench, what: "echo", count: 100, seconds: 4},
	"lat":     {run: runLat, what: "recv", count: 100},
	"slow":    {run: runSlow, seconds: 8},
	"hold":    {run: runHold, count: 10000, seconds: 3},
	"redial":  {run: runRedial, seconds: 8},
	"rolling": {run: runRolling, count: 200, seconds: 60},
	// Beyond the words that both peers were given.
	"isolate":   {run: runIsolate, count: 10000},
	"pbserver":  {run: runPbServer},
	"pbclient":  {run: runPbClient},
	"chatagent": {run: runChatAgent},
	"frames":    {run: runFrames},
}

func main() {
	if len(os.Args) < 2 {
		usage("no subcommand")
	}
	sub, ok := subcommands[os.Args[1]]
	if !ok {
		usage("unknown subcommand " + os.Args[1])
	}
	var o options
	flags := flag.NewFlagSet(os.Args[1], flag.ExitOnError)
	flags.StringVar(&o.addr, "addr", "127.0.0.1:9001", "address to listen on or to call")
	flags.StringVar(&o.name, "name", "ServiceB", "name of the server")
	flags.StringVar(&o.self, "self", "ServiceA", "name of the client")
	flags.StringVar(&o.next, "next", "", "address of the next server of the chain")
	flags.StringVar(&o.nextName, "nextname", "ServiceC", "name of the next server of the chain")
	flags.StringVar(&o.proto, "proto", "tt", "how the client calls: tt, grpc, framed or ttheader")
	flags.StringVar(&o.pool, "pool", "mux", "connections of the client: mux, long or short")
	flags.IntVar(&o.poolSize, "psize", 1, "connections of a mux pool")
	flags.StringVar(&o.what, "what", sub.what, "what to do")
	flags.StringVar(&o.msg, "msg", "", "words for the server, parted by ;")
	flags.IntVar(&o.after, "after", 3, "messages before a cancel, milliseconds of a timeout")
	flags.IntVar(&o.count, "c", sub.count, "tasks or streams")
	flags.IntVar(&o.size, "b", 1024, "payload bytes")
	flags.IntVar(&o.seconds, "t", sub.seconds, "seconds")
	flags.IntVar(&o.seed, "seed", 1, "what isolate draws its lots from")
	flags.BoolVar(&o.cross, "cross", false, "isolate: a cancel before the first message meets it on its way")
	flags.IntVar(&o.pairs, "pairs", 0, "client: more pairs of metainfo")
	flags.IntVar(&o.payload, "payload", 0, "client: bytes in the request of down or ping")
	flags.StringVar(&o.ca, "ca", "", "client over grpc: use TLS, and trust the CAs of this PEM file")
	_ = flags.Parse(os.Args[2:])
	if flags.NArg() > 0 {
		usage("unknown word " + flags.Arg(0))
	}
	sub.run(o)
}

// usage ends the program because its words make no sense.
func usage(why string) {
	fmt.Fprintln(os.Stderr, why)
	fmt.Fprintln(os.Stderr, "usage: kitex-lab-peer server|client|bench|lat|slow|hold|redial|rolling|isolate|pbserver|pbclient|chatagent|frames [--word value]...")
	os.Exit(2)
}

// fail ends the program because what it needs did not work.
func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
