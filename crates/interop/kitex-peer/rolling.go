// Streams at a constant rate while their servers are replaced.

package main

import (
	"context"
	"errors"
	"os"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/cloudwego/kitex/client"
	"github.com/cloudwego/kitex/pkg/discovery"
	"github.com/cloudwego/kitex/pkg/loadbalance"
	"github.com/cloudwego/kitex/pkg/loadbalance/lbcache"
	"github.com/cloudwego/kitex/pkg/rpcinfo"

	lab "kitex-peer/kitex_gen/lab"
	labservice "kitex-peer/kitex_gen/lab/lab"
)

// rollingLimit is how many streams are open at most: a slow machine opens fewer per second.
const rollingLimit = 400

// rollingPatience is how long they have to end after the last opening.
const rollingPatience = 20 * time.Second

// runRolling opens --c streams per second at the servers that the file --addr
// lists, one per line, until the file says end, and prints how they ended. The
// file is read again every --after milliseconds. Without a file of that name
// --addr is the list itself, separated by commas, for --t seconds.
//
// A line of the event left says that no opening can go to a server any more that
// is no longer listed.
func runRolling(o options) {
	r := &listed{path: o.addr, active: map[int64]struct{}{}, gone: map[string]bool{}}
	cli := dialListed(o, r)
	// Its finalizer closes the pool of gRPC.
	defer runtime.KeepAlive(cli)
	slots := make(chan struct{}, rollingLimit)
	ends := ends{failed: map[string]int{}}
	ticker := time.NewTicker(time.Second / time.Duration(o.count))
	until := time.Now().Add(time.Duration(o.seconds) * time.Second)
	for at := 0; !r.ended(until); at++ {
		<-ticker.C
		select {
		case slots <- struct{}{}:
		default:
			continue
		}
		msg := "n=2"
		if at%20 == 0 {
			// One that runs for a second.
			msg = "n=20;delay=50"
		}
		go func() {
			ends.add(r.stream(cli, msg))
			<-slots
		}()
	}
	ends.hang(slots)
	ends.mu.Lock()
	line{"ev": "rolling", "ok": ends.ok, "failed": ends.failed}.print()
}

func dialListed(o options, r *listed) labservice.Client {
	opts := []client.Option{
		client.WithClientBasicInfo(&rpcinfo.EndpointBasicInfo{ServiceName: o.self}),
	}
	if r.static() {
		opts = append(opts, client.WithHostPorts(strings.Split(o.addr, ",")...))
	} else {
		every := lbcache.Options{RefreshInterval: time.Duration(o.after) * time.Millisecond}
		opts = append(opts, client.WithResolver(r),
			client.WithLoadBalancer(loadbalance.NewWeightedRoundRobinBalancer(), &every))
	}
	opts = append(opts, protocolOptions(o)...)
	opts = append(opts, poolOptions(o)...)
	cli, err := labservice.NewClient(o.name, opts...)
	if err != nil {
		fail(err)
	}
	return cli
}

// ends counts how streams have ended.
type ends struct {
	mu     sync.Mutex
	ok     int
	failed map[string]int
}

// hang waits for the streams that are open, and counts those that do not end.
func (e *ends) hang(slots chan struct{}) {
	late := time.After(rollingPatience)
	for free := range rollingLimit {
		select {
		case slots <- struct{}{}:
		case <-late:
			e.mu.Lock()
			defer e.mu.Unlock()
			e.failed["HANGS"] = rollingLimit - free
			return
		}
	}
}

func (e *ends) add(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err == nil {
		e.ok++
	} else {
		e.failed[err.Error()]++
	}
}

// listed is a resolver that reads a file.
type listed struct {
	path string

	mu sync.Mutex
	// last is the number of the last opening, active are those that have not returned.
	last   int64
	active map[int64]struct{}
	// known is what the last Resolve has returned, gone what it has no longer returned:
	// Kitex uses it no more when it resolves again.
	known []string
	gone  map[string]bool
}

var _ discovery.Resolver = (*listed)(nil)

func (r *listed) static() bool { return strings.Contains(r.path, ",") }

func (r *listed) ended(until time.Time) bool {
	if r.static() {
		return time.Now().After(until)
	}
	text, _ := os.ReadFile(r.path)
	return strings.TrimSpace(string(text)) == "end"
}

// stream opens a Down stream and reads it to its end.
func (r *listed) stream(cli labservice.Client, msg string) error {
	r.mu.Lock()
	r.last++
	number := r.last
	r.active[number] = struct{}{}
	r.mu.Unlock()
	ctx := context.Background()
	stream, err := cli.Down(ctx, &lab.Req{Msg: msg})
	r.mu.Lock()
	delete(r.active, number)
	r.mu.Unlock()
	if err != nil {
		return err
	}
	return toEnd(ctx, stream)
}

func (r *listed) Target(context.Context, rpcinfo.EndpointInfo) string { return r.path }

func (r *listed) Name() string { return "listed" }

func (r *listed) Diff(key string, prev, next discovery.Result) (discovery.Change, bool) {
	return discovery.DefaultDiff(key, prev, next)
}

func (r *listed) Resolve(context.Context, string) (discovery.Result, error) {
	text, err := os.ReadFile(r.path)
	if err != nil {
		return discovery.Result{}, err
	}
	addresses := strings.Fields(string(text))
	if len(addresses) == 0 || addresses[0] == "end" {
		return discovery.Result{}, errors.New("no servers any more")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for addr := range r.gone {
		delete(r.gone, addr)
		go r.leave(addr, r.last)
	}
	is := map[string]bool{}
	instances := make([]discovery.Instance, 0, len(addresses))
	for _, addr := range addresses {
		is[addr] = true
		instances = append(instances, discovery.NewInstance("tcp", addr, 10, nil))
	}
	for _, addr := range r.known {
		if !is[addr] {
			r.gone[addr] = true
		}
	}
	r.known = addresses
	return discovery.Result{Cacheable: true, CacheKey: r.path, Instances: instances}, nil
}

// leave waits for the openings up to the last one that may have chosen addr.
func (r *listed) leave(addr string, last int64) {
	for r.isActive(last) {
		time.Sleep(5 * time.Millisecond)
	}
	line{"ev": "left", "addr": addr}.print()
}

func (r *listed) isActive(last int64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for number := range r.active {
		if number <= last {
			return true
		}
	}
	return false
}
