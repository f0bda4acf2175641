// Proves that a busy relay may be restarted: official relay clients come back within the back-off that real clients
// have, packets of all pairs flow again, and the server keeps nothing of those that were there before.
package scenario

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sort"
	"sync/atomic"
	"testing"
	"time"

	"tailscale.com/derp"
	"tailscale.com/derp/derphttp"
	"tailscale.com/net/netmon"
	"tailscale.com/tailcfg"
	"tailscale.com/types/key"
	"tailscale.com/types/logger"
	"tailscale.com/util/backoff"
)

const (
	relayPairs = 40
	// The longest that a real client waits before it tries again.
	longestBackoff = 5 * time.Second
)

// relayPair sends a packet every few milliseconds; its clients read and come back as those of magicsock do.
type relayPair struct {
	src, dst *derphttp.Client
	to       key.NodePublic
	sent     atomic.Uint64
	got      atomic.Uint64 // number of the newest packet received
	gotAt    atomic.Int64
	gap      atomic.Int64 // longest between two packets received, ns
	returns  atomic.Int64 // connections that were made again, of both
}

func (p *relayPair) read(ctx context.Context, c *derphttp.Client, packet func(number uint64)) {
	bo := backoff.NewBackoff("derp", logger.Discard, longestBackoff)
	for {
		m, err := c.Recv()
		if errors.Is(err, derphttp.ErrClientClosed) || ctx.Err() != nil {
			return
		}
		bo.BackOff(ctx, err)
		switch m := m.(type) {
		case derp.ServerInfoMessage:
			p.returns.Add(1)
		case derp.ReceivedPacket:
			packet(binary.BigEndian.Uint64(m.Data))
		}
	}
}

func (p *relayPair) received(number uint64) {
	now := time.Now().UnixNano()
	if was := p.gotAt.Swap(now); was > 0 && now-was > p.gap.Load() {
		p.gap.Store(now - was)
	}
	p.got.Store(number)
}

func (p *relayPair) send(ctx context.Context) {
	data := make([]byte, 1200)
	for tick := time.NewTicker(5 * time.Millisecond); ; {
		select {
		case <-ctx.Done():
			tick.Stop()
			return
		case <-tick.C:
		}
		binary.BigEndian.PutUint64(data, p.sent.Add(1))
		_ = p.src.Send(p.to, data) // fails while the server is away
	}
}

// newRelayPairs registers nodes and connects them; they stop when the returned function is called.
func newRelayPairs(t *testing.T, s *server, count int) (pairs []*relayPair, stop func()) {
	t.Helper()
	authKey := s.newKey("--reusable").Key
	first := newLightNode(s, "first")
	if err := first.join(ctxFor(t, 10*time.Second), authKey); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(first.close)
	nodes := make([]*lightNode, 2*count)
	err := parallel(len(nodes), 20, func(i int) error {
		nodes[i] = newLightNode(s, fmt.Sprintf("relayed-%03d", i))
		defer nodes[i].close()
		if err := nodes[i].dial(t.Context()); err != nil {
			return err
		}
		return nodes[i].register(t.Context(), authKey)
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	client := func(n *lightNode) *derphttp.Client {
		return derphttp.NewRegionClient(n.node, logger.Discard, netmon.NewStatic(), func() *tailcfg.DERPRegion {
			return first.derp.Regions[900]
		})
	}
	stop = func() {
		cancel()
		for _, p := range pairs {
			p.src.Close()
			p.dst.Close()
		}
	}
	t.Cleanup(stop)
	for i := range count {
		p := &relayPair{src: client(nodes[2*i]), dst: client(nodes[2*i+1]), to: nodes[2*i+1].node.Public()}
		pairs = append(pairs, p)
		go p.read(ctx, p.src, func(uint64) {})
		go p.read(ctx, p.dst, p.received)
		go p.send(ctx)
	}
	return pairs, stop
}

// flowing waits until each pair received a packet that was sent after the call; how long that took for each, sorted.
func flowing(t *testing.T, pairs []*relayPair, when string) []time.Duration {
	t.Helper()
	begin, from, took := time.Now(), make([]uint64, len(pairs)), make([]time.Duration, len(pairs))
	for i, p := range pairs {
		from[i] = p.sent.Load()
	}
	eventually(t, 30*time.Second, "packets of all pairs flow "+when, func() bool {
		all := true
		for i, p := range pairs {
			if took[i] == 0 && p.got.Load() > from[i] {
				took[i] = time.Since(begin)
			}
			all = all && took[i] > 0
		}
		return all
	})
	sort.Slice(took, func(i, j int) bool { return took[i] < took[j] })
	return took
}

func TestBusyRelayIsRestarted(t *testing.T) {
	s := newRestartServer(t)
	s.start()
	pairs, stop := newRelayPairs(t, s, relayPairs)
	flowing(t, pairs, "at first")
	settled := func(want int) (files int) {
		t.Helper()
		eventually(t, 20*time.Second, fmt.Sprintf("%d relay connections and no more", want), func() bool {
			return s.metric("derp_current_connections") == float64(want) &&
				s.metric("derp_clients_local") == float64(want) && s.metric("derp_current_dup_client_conns") == 0
		})
		return s.openFiles()
	}
	for _, way := range []struct {
		name string
		act  func()
	}{
		{"fairlead restart", func() { s.restart() }},
		{"SIGTERM and start", func() { s.stop(); s.start() }},
		{"SIGKILL and start", func() { s.kill(); s.start() }},
		{"fairlead restart again", func() { s.restart() }},
	} {
		files, rss := settled(2*relayPairs), s.rssMB()
		for _, p := range pairs {
			p.gap.Store(0)
			p.returns.Store(0)
		}
		begin := time.Now()
		way.act()
		away := time.Since(begin)
		took := flowing(t, pairs, "after "+way.name)
		longest, returns := time.Duration(0), int64(0)
		now := settled(2 * relayPairs)
		for _, p := range pairs {
			longest = max(longest, time.Duration(p.gap.Load()))
			returns += p.returns.Load()
		}
		t.Logf("%s: it took %v; then packets of half of the pairs flow after %v, of all after %v; longest without a packet "+
			"%v; %d connections made; descriptors %d, %d, memory %d, %d MiB", way.name, away, took[len(took)/2],
			took[len(took)-1], longest, returns, files, now, rss, s.rssMB())
		if took[len(took)-1] > longestBackoff {
			t.Errorf("%s: a pair was back after %v only", way.name, took[len(took)-1])
		}
		if returns < 2*relayPairs {
			t.Errorf("%s: %d connections of %d were made again: was it restarted?", way.name, returns, 2*relayPairs)
		}
		if now > files+5 || s.rssMB() > rss+10 && !isSanitized() {
			t.Errorf("%s: %d descriptors became %d, %d MiB became %d", way.name, files, now, rss, s.rssMB())
		}
	}
	stop()
	settled(0)
	eventually(t, 10*time.Second, "nothing is left of them", func() bool { return s.openFiles() < 60 })
}
