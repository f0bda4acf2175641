// Proves that nothing acknowledged is lost and nothing is given twice: 200 streaming clients, a restart, and kill -9
// in the middle of a storm of registrations.
package scenario

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"tailscale.com/tailcfg"
	"tailscale.com/types/key"
)

const many = 200

func joinMany(t *testing.T, s *server, key string, n int) []*lightNode {
	t.Helper()
	return joinOver(t, s, key, n, "")
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

// deathRounds are how often a server dies in a storm: few in a check, as many as $FAIRLEAD_DEATH_ROUNDS says otherwise.
func deathRounds(t *testing.T, few int) int {
	t.Helper()
	text := os.Getenv("FAIRLEAD_DEATH_ROUNDS")
	if text == "" {
		return few
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// registrations is a storm of nodes that register, each once, as fast as they can, until the server dies.
type registrations struct {
	s            *server
	authKey      string
	identity     key.MachinePublic
	mu           sync.Mutex
	serial       int
	acknowledged []*lightNode
	rates        []float64 // registrations per second, of each round
}

func newRegistrations(t *testing.T, s *server) *registrations {
	t.Helper()
	identity, err := serverKey(context.Background(), s.plain())
	if err != nil {
		t.Fatal(err)
	}
	return &registrations{s: s, authKey: s.newKey("--reusable").Key, identity: identity}
}

func (r *registrations) one() {
	r.mu.Lock()
	r.serial++
	n := newLightNode(r.s, fmt.Sprintf("storm-%05d", r.serial))
	r.mu.Unlock()
	n.server = r.identity
	err := bounded(5*time.Second, func(ctx context.Context) error { return n.register(ctx, r.authKey) })
	n.close()
	if err == nil {
		r.mu.Lock()
		r.acknowledged = append(r.acknowledged, n)
		r.mu.Unlock()
	}
}

func (r *registrations) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.acknowledged)
}

// round kills the server a little after so many were acknowledged.
func (r *registrations) round(least int) {
	const width = 32
	var wg sync.WaitGroup
	stop := make(chan struct{})
	before, begin := r.count(), time.Now()
	for range width {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for {
				r.one()
				select {
				case <-stop:
					return
				default:
				}
			}
		}()
	}
	eventually(r.s.t, 20*time.Second, "a storm", func() bool { return r.count()-before >= least })
	time.Sleep(time.Duration(rand.IntN(200)) * time.Millisecond)
	r.s.kill()
	r.rates = append(r.rates, float64(r.count()-before)/time.Since(begin).Seconds())
	close(stop)
	wg.Wait()
}

// check finds every one that was acknowledged, and no address twice; some come back as themselves, without a key.
func (r *registrations) check(t *testing.T, rounds int) {
	t.Helper()
	t.Logf("%d registrations were acknowledged in %d storms, at %.0f to %.0f per second, median %.0f", len(r.acknowledged),
		rounds, median(r.rates, 0), median(r.rates, 1), median(r.rates, 0.5))
	var list struct{ Nodes []faultNode }
	r.s.cliJSON(&list, "nodes", "list")
	owner, there := map[string]string{}, map[string]bool{}
	for _, n := range list.Nodes {
		there[n.NodeKey] = true
		for _, a := range n.Addresses {
			if owner[a] != "" {
				t.Errorf("%s is given to %s and %s", a, owner[a], n.Name)
			}
			owner[a] = n.Name
		}
	}
	lost := 0
	for _, n := range r.acknowledged {
		if !there[n.node.Public().String()] {
			lost++
		}
	}
	if lost > 0 {
		t.Errorf("%d were acknowledged and are lost", lost)
	}
	err := parallel(100, 20, func(i int) error {
		n := r.acknowledged[i*len(r.acknowledged)/100]
		n.h2 = nil
		defer n.close()
		return bounded(10*time.Second, func(ctx context.Context) error { return n.join(ctx, "") })
	})
	if err != nil {
		t.Errorf("one cannot come back: %v", err)
	}
}

// Every registration that was answered is there after kill -9, with the address it was given.
func TestKillInMidStorm(t *testing.T) {
	s := startServer(t, "--limits-half-open-per-source", "100000")
	r := newRegistrations(t, s)
	rounds := deathRounds(t, 5)
	for range rounds {
		r.round(200)
		s.start()
	}
	r.check(t, rounds)
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
