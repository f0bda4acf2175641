// Proves that nothing acknowledged is lost and nothing is given twice: 200 streaming clients, a restart, and kill -9
// in the middle of a storm of registrations.
package scenario

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"tailscale.com/tailcfg"
)

const many = 200

func joinMany(t *testing.T, s *server, key string, n int) []*lightNode {
	t.Helper()
	nodes := make([]*lightNode, n)
	for i := range nodes {
		nodes[i] = newLightNode(s, fmt.Sprintf("light-%03d", i))
	}
	t.Cleanup(func() {
		for _, n := range nodes {
			n.close()
		}
	})
	err := parallel(n, 50, func(i int) error {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		return nodes[i].join(ctx, key)
	})
	if err != nil {
		t.Fatal(err)
	}
	return nodes
}

func seesAll(n *lightNode, count int) bool {
	ok := false
	n.view(func(self *tailcfg.Node, peers map[tailcfg.NodeID]*tailcfg.Node) { ok = len(peers) == count-1 })
	return ok
}

func TestManyStreams(t *testing.T) {
	s := startServer(t)
	begin := time.Now()
	nodes := joinMany(t, s, s.newKey("--reusable").Key, many)
	t.Logf("%d nodes joined in %v", many, time.Since(begin))
	eventually(t, 10*time.Second, "everybody sees everybody", func() bool {
		for _, n := range nodes {
			if !seesAll(n, many) {
				return false
			}
		}
		return true
	})
	seen := map[netip.Prefix]bool{}
	for _, n := range nodes {
		for _, a := range n.selfNode().Addresses {
			if seen[a] {
				t.Fatalf("address %v given twice", a)
			}
			seen[a] = true
		}
	}

	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	want := netip.MustParseAddrPort("198.51.100.7:41641")
	begin = time.Now()
	if err := nodes[7].update(ctx, func(r *tailcfg.MapRequest) {
		r.Endpoints = []netip.AddrPort{want}
		r.EndpointTypes = []tailcfg.EndpointType{tailcfg.EndpointSTUN}
		r.Hostinfo = nodes[7].hostinfo.Clone()
		r.Hostinfo.NetInfo = &tailcfg.NetInfo{PreferredDERP: 900}
	}); err != nil {
		t.Fatal(err)
	}
	eventually(t, 5*time.Second, "an endpoint and a home relay reach all", func() bool {
		for i, n := range nodes {
			p := n.peerNamed("light-007")
			if i != 7 && (p == nil || len(p.Endpoints) != 1 || p.Endpoints[0] != want || p.HomeDERP != 900) {
				return false
			}
		}
		return true
	})
	t.Logf("one change was seen by all after %v", time.Since(begin))

	s.cli("nodes", "delete", "light-009")
	eventually(t, 5*time.Second, "a deleted node leaves all maps, and is told", func() bool {
		for i, n := range nodes {
			if i != 9 && n.peerNamed("light-009") != nil {
				return false
			}
		}
		exp := nodes[9].selfNode().KeyExpiry
		return !exp.IsZero() && exp.Before(time.Now()) && nodes[9].ended() != nil
	})

	nodes[11].close()
	eventually(t, 20*time.Second, "a node that left is offline for all after the grace", func() bool {
		for i, n := range nodes {
			if i == 11 || i == 9 {
				continue
			}
			p := n.peerNamed("light-011")
			if p == nil || p.Online == nil || *p.Online || p.LastSeen == nil {
				return false
			}
		}
		return true
	})
	if took := s.stop(); took > 2*time.Second {
		t.Errorf("stopping took %v", took)
	}
}

// Every registration that was answered is there after kill -9, with the address it was given.
func TestKillInMidStorm(t *testing.T) {
	s := startServer(t)
	key := s.newKey("--reusable").Key
	const rounds, perRound = 5, 150
	var mu sync.Mutex
	var acknowledged []*lightNode
	serial := 0
	for range rounds {
		stop := make(chan struct{})
		var wg sync.WaitGroup
		next := make(chan int, perRound)
		for i := range perRound {
			next <- serial + i
		}
		serial += perRound
		close(next)
		for range 20 {
			wg.Add(1)
			go func() {
				defer wg.Done()
				for i := range next {
					select {
					case <-stop:
						return
					default:
					}
					n := newLightNode(s, fmt.Sprintf("storm-%04d", i))
					ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
					err := n.dial(ctx)
					if err == nil {
						err = n.register(ctx, key)
					}
					cancel()
					n.close()
					if err == nil {
						mu.Lock()
						acknowledged = append(acknowledged, n)
						mu.Unlock()
					}
				}
			}()
		}
		time.Sleep(150 * time.Millisecond)
		s.kill()
		close(stop)
		wg.Wait()
		s.start()
	}
	t.Logf("%d registrations were acknowledged in %d storms", len(acknowledged), rounds)
	if len(acknowledged) < rounds {
		t.Fatal("the storms were too short to prove anything")
	}
	addresses := map[string]string{}
	for _, n := range s.nodes() {
		for _, a := range n.Addresses {
			if other := addresses[a]; other != "" {
				t.Fatalf("%s given to %s and %s", a, other, n.Name)
			}
			addresses[a] = n.Name
		}
	}
	// A client comes back as itself, without a key.
	err := parallel(len(acknowledged), 20, func(i int) error {
		n := acknowledged[i]
		n.h2 = nil
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		defer n.close()
		if err := n.join(ctx, ""); err != nil {
			return fmt.Errorf("%s was acknowledged and is lost: %w", n.hostname, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Clients come back by themselves after a restart, to the same ids and addresses.
func TestRestart(t *testing.T) {
	relayOnly(t)
	s := startServer(t)
	key := s.newKey("--reusable").Key
	a, b := joinedNode(t, s, "alpha", key), joinedNode(t, s, "beta", key)
	before := s.nodes()
	b.serveHTTP("still here")
	for _, end := range []struct {
		name string
		fn   func()
	}{{"SIGTERM", func() { s.stop() }}, {"SIGKILL", s.kill}} {
		end.fn()
		s.start()
		after := s.nodes()
		for i := range before {
			if i >= len(after) || after[i].ID != before[i].ID || after[i].Addresses[0] != before[i].Addresses[0] {
				t.Fatalf("after %s: %+v, before: %+v", end.name, after, before)
			}
		}
		eventually(t, 60*time.Second, "clients are back after "+end.name, func() bool {
			for _, n := range s.nodes() {
				if !n.Online {
					return false
				}
			}
			body, err := a.fetch(b.ip4(), 5*time.Second)
			return err == nil && body == "still here"
		})
		// A change made now arrives only over streams that were opened again.
		want := "tag:after-" + strings.ToLower(end.name)
		s.cli("nodes", "tag", "beta", want)
		eventually(t, 60*time.Second, "both stream again after "+end.name, func() bool {
			p, self := a.peer("beta"), b.status().Self
			return p != nil && p.Tags != nil && p.Tags.At(0) == want &&
				self.Tags != nil && self.Tags.At(0) == want
		})
	}
}
