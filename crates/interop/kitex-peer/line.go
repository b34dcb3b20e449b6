// The JSON lines on standard output, and how they tell of errors.

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/cloudwego/kitex/pkg/kerrors"
)

// line is one JSON object on standard output.
type line map[string]any

var printing sync.Mutex

// print writes the line at once, with its keys in alphabetical order.
func (l line) print() {
	var text bytes.Buffer
	out := json.NewEncoder(&text)
	out.SetEscapeHTML(false) // a cancel path has ->
	if err := out.Encode(l); err != nil {
		fail(err)
	}
	printing.Lock()
	defer printing.Unlock()
	_, _ = os.Stdout.Write(text.Bytes())
}

// now is the time as the lines give it.
func now() int64 { return time.Now().UnixNano() }

// text is the error as the lines give it: empty for none.
func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// kind sorts an error by what a program would ask of it.
func kind(err error) string {
	if biz, ok := kerrors.FromBizStatusError(err); ok {
		return fmt.Sprintf("biz(%d,%s,%v)", biz.BizStatusCode(), biz.BizMessage(), biz.BizExtra())
	}
	switch {
	case errors.Is(err, io.EOF):
		return "eof"
	case errors.Is(err, kerrors.ErrStreamingCanceled):
		return "canceled"
	case errors.Is(err, errStreamTimeout):
		return "timeout"
	case errors.Is(err, kerrors.ErrStreamingProtocol):
		return "protocol"
	}
	return "other"
}
