// Who is there while a server restarts: clients that reconnect as real ones do and note what they are told, new
// connections, STUN requests, nodes that join.
package scenario

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"tailscale.com/net/stun"
	"tailscale.com/tailcfg"
)

// follower is a light client that reconnects as the real one does: after 10, 40, 90 … ms.
type follower struct {
	n       *lightNode
	decodes bool // and notes what it is told of others
	ended   chan time.Time
	stop    chan struct{}

	mu      sync.Mutex
	gaps    []time.Duration
	refused int
	offline []string // what it was told of peers that never left
}

func follow(n *lightNode, decodes bool) *follower {
	f := &follower{n: n, decodes: decodes, ended: make(chan time.Time, 1), stop: make(chan struct{})}
	n.onEnd = func(error) {
		select {
		case f.ended <- time.Now():
		default:
		}
	}
	n.onMap = func(m *tailcfg.MapResponse) {
		for _, c := range m.PeersChangedPatch {
			if c.Online != nil && !*c.Online {
				f.note(fmt.Sprintf("node %v is offline", c.NodeID))
			}
		}
		for _, p := range append(append([]*tailcfg.Node{}, m.Peers...), m.PeersChanged...) {
			// Who only registers was never online.
			if p.Online != nil && !*p.Online && strings.HasPrefix(p.Name, "light-") {
				f.note(p.Name + " is offline")
			}
		}
		for id, is := range m.OnlineChange {
			if !is {
				f.note(fmt.Sprintf("node %v is offline", id))
			}
		}
	}
	return f
}

// followMany joins count nodes, of which the first ten look at what they are told.
func followMany(t *testing.T, s *server, key string, count int) []*follower {
	t.Helper()
	fs := make([]*follower, count)
	for i := range fs {
		fs[i] = follow(newLightNode(s, fmt.Sprintf("light-%03d", i)), i < 10)
	}
	err := parallel(count, 50, func(i int) error {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := fs[i].n.dial(ctx); err != nil {
			return err
		}
		if err := fs[i].n.register(ctx, key); err != nil {
			return err
		}
		return fs[i].open(ctx)
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range fs {
		go f.run()
		t.Cleanup(func() {
			close(f.stop)
			f.n.close()
		})
	}
	eventually(t, 20*time.Second, "all have heard of all", func() bool {
		for _, f := range fs[:min(10, count)] {
			online := 0
			f.n.view(func(_ *tailcfg.Node, peers map[tailcfg.NodeID]*tailcfg.Node) {
				for _, p := range peers {
					if p.Online != nil && *p.Online {
						online++
					}
				}
			})
			if online != count-1 {
				return false
			}
		}
		return true
	})
	return fs
}

// raw opens the stream and counts what comes without decoding it: hundreds of clients would be busy with that alone.
func (n *lightNode) raw(ctx context.Context) error {
	res, err := n.poll(ctx)
	if err != nil {
		return err
	}
	head := make([]byte, 4)
	if _, err := io.ReadFull(res.Body, head); err != nil {
		return err
	}
	_, err = io.CopyN(io.Discard, res.Body, int64(binary.LittleEndian.Uint32(head)))
	if err != nil {
		return err
	}
	go func() {
		_, err := io.Copy(io.Discard, res.Body)
		res.Body.Close()
		n.onEnd(err)
	}()
	return nil
}

func (f *follower) open(ctx context.Context) error {
	if f.decodes {
		return f.n.stream(ctx)
	}
	return f.n.raw(ctx)
}

func (f *follower) note(what string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.offline = append(f.offline, what)
}

func (f *follower) run() {
	for {
		select {
		case <-f.stop:
			return
		case at := <-f.ended:
			f.again(at)
		}
	}
}

func (f *follower) again(since time.Time) {
	for i := 1; ; i++ {
		select {
		case <-f.stop:
			return
		case <-time.After(time.Duration(min(i*i*10, 2000)) * time.Millisecond):
		}
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		f.n.close()
		err := f.n.dial(ctx)
		if err == nil {
			err = f.open(ctx)
		}
		cancel()
		f.mu.Lock()
		if errors.Is(err, syscall.ECONNREFUSED) {
			f.refused++
		}
		if err == nil {
			f.gaps = append(f.gaps, time.Since(since))
		}
		f.mu.Unlock()
		if err == nil {
			return
		}
	}
}

type audienceReport struct {
	reconnects, refused int
	offline             []string
	median, max         time.Duration
}

func report(fs []*follower) (r audienceReport) {
	var gaps []time.Duration
	for _, f := range fs {
		f.mu.Lock()
		gaps = append(gaps, f.gaps...)
		r.refused += f.refused
		r.offline = append(r.offline, f.offline...)
		f.gaps, f.refused, f.offline = nil, 0, nil
		f.mu.Unlock()
	}
	sort.Slice(gaps, func(i, j int) bool { return gaps[i] < gaps[j] })
	r.reconnects = len(gaps)
	if len(gaps) > 0 {
		r.median, r.max = gaps[len(gaps)/2], gaps[len(gaps)-1]
	}
	return r
}

// knocker asks /health on a new connection every few milliseconds.
type knocker struct {
	stop    chan struct{}
	wg      sync.WaitGroup
	asked   atomic.Int64
	mu      sync.Mutex
	faults  []string
	longest time.Duration
}

func knock(s *server) *knocker {
	k := &knocker{stop: make(chan struct{})}
	c := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	for range 4 {
		k.wg.Add(1)
		go func() {
			defer k.wg.Done()
			for {
				select {
				case <-k.stop:
					return
				case <-time.After(5 * time.Millisecond):
				}
				begin := time.Now()
				res, err := c.Get(s.url + "/health")
				if err == nil {
					_, err = io.Copy(io.Discard, res.Body)
					res.Body.Close()
				}
				k.asked.Add(1)
				k.mu.Lock()
				k.longest = max(k.longest, time.Since(begin))
				if err != nil {
					k.faults = append(k.faults, err.Error())
				}
				k.mu.Unlock()
			}
		}()
	}
	return k
}

// askSTUN asks every few milliseconds until stopped, and counts what was not answered within a second.
func askSTUN(s *server) (stop func() (asked, lost int)) {
	quit, done := make(chan struct{}), make(chan struct{})
	asked, lost := 0, 0
	go func() {
		defer close(done)
		for {
			select {
			case <-quit:
				return
			case <-time.After(5 * time.Millisecond):
			}
			conn, err := net.Dial("udp", fmt.Sprintf("127.0.0.1:%d", s.stun))
			if err != nil {
				lost++
				continue
			}
			asked++
			id, b := stun.NewTxID(), make([]byte, 1500)
			_, _ = conn.Write(stun.Request(id))
			_ = conn.SetReadDeadline(time.Now().Add(time.Second))
			n, err := conn.Read(b)
			if err == nil {
				_, _, err = stun.ParseResponse(b[:n])
			}
			if err != nil {
				lost++
			}
			conn.Close()
		}
	}()
	return func() (int, int) {
		close(quit)
		<-done
		return asked, lost
	}
}

func (k *knocker) end() {
	close(k.stop)
	k.wg.Wait()
}

// joiner registers new nodes one after the other; what was acknowledged must be there afterwards.
type joiner struct {
	stop   chan struct{}
	wg     sync.WaitGroup
	mu     sync.Mutex
	joined []string
	again  int // tries that ended with the connection
}

func joinOn(s *server, key, prefix string) *joiner {
	j := &joiner{stop: make(chan struct{})}
	for w := range 4 {
		j.wg.Add(1)
		go func() {
			defer j.wg.Done()
			for i := 0; ; i++ {
				n := newLightNode(s, fmt.Sprintf("%s-%d-%03d", prefix, w, i))
				for {
					select {
					case <-j.stop:
						return
					case <-time.After(10 * time.Millisecond):
					}
					ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
					err := n.dial(ctx)
					if err == nil {
						err = n.register(ctx, key)
					}
					cancel()
					n.close()
					j.mu.Lock()
					if err == nil {
						j.joined = append(j.joined, n.hostname)
					} else {
						j.again++
					}
					j.mu.Unlock()
					if err == nil {
						break
					}
				}
			}
		}()
	}
	return j
}

// end checks that every acknowledged node is there, once, with addresses of its own.
func (j *joiner) end(s *server) {
	s.t.Helper()
	close(j.stop)
	j.wg.Wait()
	names, addresses := map[string]bool{}, map[string]bool{}
	for _, n := range s.nodes() {
		if names[n.Name] {
			s.t.Errorf("%s is there twice", n.Name)
		}
		names[n.Name] = true
		for _, a := range n.Addresses {
			if addresses[a] {
				s.t.Errorf("%s was given twice", a)
			}
			addresses[a] = true
		}
	}
	for _, name := range j.joined {
		if !names[name] {
			s.t.Errorf("%s was acknowledged and is lost", name)
		}
	}
}
