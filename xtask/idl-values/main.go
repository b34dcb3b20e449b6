// Command idl-values makes random values of generated types, writes them with Kitex's code, gives them to a program
// on Rust's side, reads what comes back with Kitex's code, and compares.
//
// registry.go, which is generated, lists the types.
package main

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"reflect"

	"github.com/cloudwego/gopkg/protocol/thrift"
)

// value is what Kitex's generator makes of a struct, union, exception, arguments or result.
type value interface {
	BLength() int
	FastWriteNocopy(buf []byte, w thrift.NocopyWriter) int
	FastRead(buf []byte) (int, error)
}

type kind struct {
	name string
	make func() any
}

type tally struct{ values, kept, refused, types, impossible, failures int }

func main() {
	program := flag.String("rust", "", "program of Rust's side")
	seed := flag.Uint64("seed", 1, "seed of the values")
	count := flag.Int("values", 20, "values of each type")
	flag.Parse()
	rust, err := start(*program)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	var sum tally
	for number, kind := range kinds {
		sum.types++
		random := rand.New(rand.NewPCG(*seed, uint64(number)))
		kept := sum.kept
		for turn := 0; turn < *count; turn++ {
			try(rust, uint32(number), kind, &maker{random}, &sum)
		}
		if kept == sum.kept {
			// A struct that must hold itself, for one.
			sum.impossible++
		}
	}
	fmt.Printf("%d types, %d of which no value can be read; %d values: %d kept, %d refused by both, %d faults\n",
		sum.types, sum.impossible, sum.values, sum.kept, sum.refused, sum.failures)
	if sum.failures > 0 || sum.impossible*10 > sum.types {
		os.Exit(1)
	}
}

// try sends one value, and changed forms of its bytes.
func try(rust *peer, number uint32, kind kind, maker *maker, sum *tally) {
	original := kind.make()
	maker.fill(original)
	if made := reflect.ValueOf(original); isUnion(made.Type()) && variants(made.Elem()) == 0 {
		return // each of its variants lies too deep
	}
	bytes, err := write(original)
	if err != nil {
		sum.failures++
		fmt.Printf("%s: Kitex does not write what was made: %v\n", kind.name, err)
		return
	}
	for change := -1; change < changes; change++ {
		changed, ok := bytes, true
		if change >= 0 {
			changed, ok = alter(maker.random, bytes, change)
		}
		if !ok {
			continue
		}
		sum.values++
		if fault := through(rust, number, kind, changed, sum); fault != "" {
			sum.failures++
			if sum.failures < 50 {
				fmt.Printf("%s: %s, change %d\n  %x\n", kind.name, fault, change, changed)
			}
		}
	}
}

// through gives bytes to both sides and says what differs.
func through(rust *peer, number uint32, kind kind, bytes []byte, sum *tally) string {
	theirs, theirErr := read(kind, bytes)
	there, refusal := rust.turn(number, bytes)
	switch {
	case theirErr == nil && isEmptyResult(theirs):
		// Kitex's client returns nil then, ours an error.
		return ""
	case theirErr != nil && refusal != "":
		sum.refused++
		return ""
	case theirErr != nil:
		return fmt.Sprintf("refused by Kitex alone: %v", theirErr)
	case refusal != "":
		return "refused by Rust alone: " + refusal
	}
	back, err := read(kind, there)
	if err != nil {
		return fmt.Sprintf("Kitex refuses what Rust wrote: %v", err)
	}
	if difference := differs(kind, theirs, back); difference != "" {
		return "differs: " + difference
	}
	if difference := andBack(rust, number, kind, back); difference != "" {
		return difference
	}
	sum.kept++
	return ""
}

// andBack sends what came from Rust there again. What Kitex has read and does not read again, as a nil struct with
// required fields, goes no further.
func andBack(rust *peer, number uint32, kind kind, of any) string {
	bytes, err := write(of)
	if err != nil {
		return ""
	}
	want, err := read(kind, bytes)
	if err != nil || isEmptyResult(want) {
		return ""
	}
	there, refusal := rust.turn(number, bytes)
	if refusal != "" {
		return "refused by Rust at the second time: " + refusal
	}
	got, err := read(kind, there)
	if err != nil {
		return fmt.Sprintf("Kitex refuses what Rust wrote at the second time: %v", err)
	}
	if difference := differs(kind, want, got); difference != "" {
		return "differs at the second time: " + difference
	}
	return ""
}

// differs compares what Kitex has read with what it has read behind Rust. Kitex writes some values so that they are
// others when they are read (a nil list in a struct of a default, for one): then as if Kitex had been in between.
func differs(kind kind, want, got any) string {
	ambiguous = false
	if shown(want) == shown(got) || ambiguous {
		return ""
	}
	if bytes, err := write(want); err == nil {
		if again, err := read(kind, bytes); err == nil && shown(again) == shown(got) {
			return ""
		}
	}
	return fmt.Sprintf("\n  want %s\n  got  %s", shown(want), shown(got))
}

func write(of any) (bytes []byte, err error) {
	defer func() {
		if fault := recover(); fault != nil {
			err = fmt.Errorf("%v", fault)
		}
	}()
	withoutEmptyUnions(reflect.ValueOf(of))
	v := of.(value)
	bytes = make([]byte, v.BLength())
	written := v.FastWriteNocopy(bytes, nil)
	return bytes[:written], nil
}

func read(kind kind, bytes []byte) (of any, err error) {
	defer func() {
		if fault := recover(); fault != nil {
			err = fmt.Errorf("%v", fault)
		}
	}()
	of = kind.make()
	_, err = of.(value).FastRead(bytes)
	return of, err
}
