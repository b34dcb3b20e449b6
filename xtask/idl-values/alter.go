package main

import (
	"encoding/binary"
	"math/rand/v2"
)

// changes is how many ways of changing bytes there are.
const changes = 7

const (
	fieldDropped = iota
	unknownField
	otherType
	fieldTwice
	fieldsSwapped
	shortened
	bytesBehind
)

// span is a field of a struct in encoded bytes: from its type to the end of its value.
type span struct {
	from, to int
	// of is the struct's number, in order of appearance.
	of int
}

// alter changes encoded bytes as another version of the IDL, or a peer that writes otherwise, would.
func alter(random *rand.Rand, bytes []byte, change int) ([]byte, bool) {
	w := &walker{bytes: bytes}
	w.record(0)
	pick := func() span { return w.spans[random.IntN(len(w.spans))] }
	switch change {
	case unknownField:
		stop := w.stops[random.IntN(len(w.stops))]
		return replaced(bytes, stop, stop, foreign(random, 32_767)), true
	case shortened:
		return bytes[:random.IntN(len(bytes))], true
	case bytesBehind:
		return replaced(bytes, len(bytes), len(bytes), []byte{0, 1, 2}), true
	}
	if len(w.spans) == 0 {
		return nil, false
	}
	field := pick()
	own := bytes[field.from:field.to]
	switch change {
	case fieldDropped:
		return replaced(bytes, field.from, field.to, nil), true
	case otherType:
		other := foreign(random, binary.BigEndian.Uint16(own[1:]))
		if other[0] == own[0] {
			return nil, false
		}
		return replaced(bytes, field.from, field.to, other), true
	case fieldTwice:
		return replaced(bytes, field.to, field.to, own), true
	default:
		other := pick()
		if other.of != field.of || other.from <= field.from {
			return nil, false
		}
		later := append([]byte(nil), bytes[other.from:other.to]...)
		swapped := replaced(bytes, other.from, other.to, own)
		return replaced(swapped, field.from, field.to, later), true
	}
}

func replaced(bytes []byte, from, to int, by []byte) []byte {
	made := append([]byte(nil), bytes[:from]...)
	return append(append(made, by...), bytes[to:]...)
}

// foreign is a field of some type with nothing much in it.
func foreign(random *rand.Rand, id uint16) []byte {
	values := [][]byte{
		{2, 1}, {3, 7}, {6, 0, 1}, {8, 0, 0, 0, 1}, {10, 0, 0, 0, 0, 0, 0, 0, 1}, {4, 0, 0, 0, 0, 0, 0, 0, 0},
		{11, 0, 0, 0, 1, 'x'}, {12, 8, 0, 1, 0, 0, 0, 1, 0}, {15, 8, 0, 0, 0, 1, 0, 0, 0, 9},
		{14, 11, 0, 0, 0, 1, 0, 0, 0, 0}, {13, 8, 12, 0, 0, 0, 1, 0, 0, 0, 1, 0},
	}
	value := values[random.IntN(len(values))]
	return append([]byte{value[0], byte(id >> 8), byte(id)}, value[1:]...)
}

// walker finds the fields in bytes that Kitex wrote, which are not checked.
type walker struct {
	bytes []byte
	spans []span
	stops []int
}

func (w *walker) record(at int) int {
	number := len(w.stops)
	w.stops = append(w.stops, 0)
	for w.bytes[at] != 0 {
		end := w.value(w.bytes[at], at+3)
		w.spans = append(w.spans, span{at, end, number})
		at = end
	}
	w.stops[number] = at
	return at + 1
}

func (w *walker) value(kind byte, at int) int {
	switch kind {
	case 2, 3:
		return at + 1
	case 6:
		return at + 2
	case 8:
		return at + 4
	case 4, 10:
		return at + 8
	case 11:
		return at + 4 + w.length(at)
	case 12:
		return w.record(at)
	case 13:
		end := at + 6
		for left := w.length(at + 2); left > 0; left-- {
			end = w.value(w.bytes[at+1], w.value(w.bytes[at], end))
		}
		return end
	default:
		end := at + 5
		for left := w.length(at + 1); left > 0; left-- {
			end = w.value(w.bytes[at], end)
		}
		return end
	}
}

func (w *walker) length(at int) int {
	return int(binary.BigEndian.Uint32(w.bytes[at:]))
}
