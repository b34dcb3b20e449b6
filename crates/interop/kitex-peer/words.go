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
		}
	}
	return w
}
