// gopkg-bench measures how long gopkg takes for a data frame's header, and how
// often it asks for memory: beside bench-codec, which does the same with
// ttheader-codec and prints the same lines.
package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/cloudwego/gopkg/bufiox"
	"github.com/cloudwego/gopkg/protocol/ttheader"
)

const (
	payload = 1024
	// headers that one reader reads and one writer writes, so that making them
	// costs next to nothing.
	together = 1024
	// batches of which the fastest counts: what else the machine does can only
	// slow one down.
	batches   = 15
	batchTime = 20 * time.Millisecond
)

func main() {
	ctx := context.Background()
	measure("decode", decode(ctx))
	measure("encode", encode(ctx, false))
	// As Kitex calls it, which makes a map for each frame.
	measure("encode pairs", encode(ctx, true))
}

// measure prints how long one of the headers takes that work does together.
func measure(what string, work func()) {
	rounds := 1
	for timed(work, rounds) < batchTime {
		rounds *= 2
	}
	allocs := testing.AllocsPerRun(rounds, work) / together
	fastest := timed(work, rounds)
	for range batches {
		fastest = min(fastest, timed(work, rounds))
	}
	ns := float64(fastest.Nanoseconds()) / float64(rounds*together)
	line, err := json.Marshal(map[string]any{"ev": "codec", "what": what, "ns": ns, "allocs": allocs})
	check(err)
	fmt.Println(string(line))
}

func timed(work func(), rounds int) time.Duration {
	start := time.Now()
	for range rounds {
		work()
	}
	return time.Since(start)
}

func ints() map[uint16]string {
	return map[uint16]string{ttheader.FrameType: ttheader.FrameTypeData, ttheader.ToMethod: "Bidi"}
}

// encode writes headers one behind the other, with the length that is known
// only afterwards.
func encode(ctx context.Context, mapEach bool) func() {
	out := make([]byte, 0, together*64)
	param := ttheader.EncodeParam{
		Flags:      ttheader.HeaderFlagsStreaming,
		SeqID:      7,
		ProtocolID: ttheader.ProtocolIDThriftStruct,
		IntInfo:    ints(),
	}
	return func() {
		buf := out
		writer := bufiox.NewBytesWriter(&buf)
		for range together {
			if mapEach {
				param.IntInfo = ints()
			}
			before := writer.WrittenLen()
			length, err := ttheader.Encode(ctx, param, writer)
			check(err)
			binary.BigEndian.PutUint32(length, uint32(writer.WrittenLen()-before+payload-4))
		}
	}
}

// decode reads headers one behind the other, and looks at what a frame is
// routed by.
func decode(ctx context.Context) func() {
	one, err := ttheader.EncodeToBytes(ctx, ttheader.EncodeParam{
		Flags:      ttheader.HeaderFlagsStreaming,
		SeqID:      7,
		ProtocolID: ttheader.ProtocolIDThriftStruct,
		IntInfo:    ints(),
	})
	check(err)
	binary.BigEndian.PutUint32(one, uint32(len(one)+payload-4))
	var wire []byte
	for range together {
		wire = append(wire, one...)
	}
	return func() {
		reader := bufiox.NewBytesReader(wire)
		for range together {
			param, err := ttheader.Decode(ctx, reader)
			check(err)
			if param.IntInfo[ttheader.FrameType] != ttheader.FrameTypeData || param.PayloadLen != payload {
				check(fmt.Errorf("not what was written: %+v", param))
			}
		}
	}
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
