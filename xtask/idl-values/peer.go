package main

import (
	"bufio"
	"encoding/binary"
	"io"
	"os"
	"os/exec"
)

// peer is the program on Rust's side: it answers one request after the other.
type peer struct {
	in  *bufio.Writer
	out *bufio.Reader
}

func start(program string) (*peer, error) {
	command := exec.Command(program)
	command.Stderr = os.Stderr
	in, err := command.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	return &peer{bufio.NewWriter(in), bufio.NewReader(out)}, command.Start()
}

// turn has a value read and written, or says why it was refused.
func (p *peer) turn(number uint32, bytes []byte) (written []byte, refusal string) {
	p.must(binary.Write(p.in, binary.BigEndian, [2]uint32{number, uint32(len(bytes))}))
	_, err := p.in.Write(bytes)
	p.must(err)
	p.must(p.in.Flush())
	var head [5]byte
	_, err = io.ReadFull(p.out, head[:])
	p.must(err)
	answer := make([]byte, binary.BigEndian.Uint32(head[1:]))
	_, err = io.ReadFull(p.out, answer)
	p.must(err)
	if head[0] == 1 {
		return answer, ""
	}
	return nil, string(answer)
}

func (p *peer) must(err error) {
	if err != nil {
		panic("the program on Rust's side has gone: " + err.Error())
	}
}
