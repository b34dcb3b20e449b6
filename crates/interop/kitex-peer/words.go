// The words of a request's msg.

package main

import (
	"strconv"
	"strings"
	"time"
)

// words are what a request's msg asks of the server's handler. A word that is
// not known says nothing.
type words struct {
	n     int           // messages to send, negative: without end
	delay time.Duration // after each message
	size  int           // payload bytes of each message
	biz   int32         // end with this biz status error
	hdr   bool          // set a header and a trailer
	fail  bool          // end with an error
	panic bool          // panic
	idle  bool          // wait until canceled

	headers, trailers pairs // more of them in header and trailer
	text              int   // more bytes in the text of fail
}

// pairs are keys with a number, each with so many bytes.
type pairs struct{ count, bytes int }

func parsePairs(value string) pairs {
	count, bytes, _ := strings.Cut(value, "x")
	var p pairs
	p.count, _ = strconv.Atoi(count)
	p.bytes, _ = strconv.Atoi(bytes)
	return p
}

func (p pairs) add(to map[string]string, key string) map[string]string {
	for at := 0; at < p.count; at++ {
		to[key+strconv.Itoa(at)] = strings.Repeat("v", p.bytes)
	}
	return to
}

func parseWords(msg string) words {
	var w words
	for _, word := range strings.Split(msg, ";") {
		key, value, _ := strings.Cut(word, "=")
		number, _ := strconv.Atoi(value)
		switch key {
		case "n":
			w.n = number
		case "delay":
			w.delay = time.Duration(number) * time.Millisecond
		case "size":
			w.size = number
		case "biz":
			w.biz = int32(number)
		case "hdr":
			w.hdr = true
		case "fail":
			w.fail = true
		case "panic":
			w.panic = true
		case "idle":
			w.idle = true
		case "headers":
			w.headers = parsePairs(value)
		case "trailers":
			w.trailers = parsePairs(value)
		case "text":
			w.text = number
		}
	}
	return w
}
