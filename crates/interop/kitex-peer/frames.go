// Frames decoded by gopkg, for the differential test of decoders.

package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"sort"
	"strings"

	"github.com/cloudwego/gopkg/protocol/ttheader"
)

// runFrames reads frames from standard input, each after its length (u32, big
// endian), and prints one line for each: "refused", or all that the decoder
// says of it, in an order of its own.
func runFrames(options) {
	in := bufio.NewReaderSize(os.Stdin, 1<<20)
	out := bufio.NewWriterSize(os.Stdout, 1<<20)
	defer out.Flush()
	for {
		var length uint32
		err := binary.Read(in, binary.BigEndian, &length)
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			fail(err)
		}
		frame := make([]byte, length)
		if _, err := io.ReadFull(in, frame); err != nil {
			fail(err)
		}
		fmt.Fprintln(out, decoded(frame))
	}
}

func decoded(frame []byte) string {
	p, err := ttheader.DecodeFromBytes(context.Background(), frame)
	if err != nil {
		return "refused"
	}
	var pairs []string
	for k, v := range p.IntInfo {
		pairs = append(pairs, fmt.Sprintf("i%05d=%s", k, hex.EncodeToString([]byte(v))))
	}
	for k, v := range p.StrInfo {
		pairs = append(pairs, fmt.Sprintf("s%s=%s", hex.EncodeToString([]byte(k)), hex.EncodeToString([]byte(v))))
	}
	sort.Strings(pairs)
	return fmt.Sprintf("flags=%d seq=%d protocol=%d header=%d payload=%d %s",
		p.Flags, p.SeqID, p.ProtocolID, p.HeaderLen, p.PayloadLen, strings.Join(pairs, " "))
}
