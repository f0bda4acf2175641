// Figures of the main job, one per line: how long a join and the first relayed ping take.
// go test -run '^$' -bench '^BenchmarkJoin$' -benchtime 1x .
package scenario

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"tailscale.com/tailcfg"
)

type durations []time.Duration

func (d durations) print(what string) {
	s := slices.Sorted(slices.Values(d))
	fmt.Printf("%-34s %8.1f ms (median of %d; %.1f to %.1f)\n", what, ms(s[len(s)/2]), len(s), ms(s[0]), ms(s[len(s)-1]))
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func BenchmarkJoin(t *testing.B) {
	const rounds = 10
	relayOnly(t)
	s := startServer(t)
	k := s.newKey("--reusable").Key
	anchor := joinedNode(t, s, "anchor", k)
	watcher := newLightNode(s, "watcher")
	defer watcher.close()
	if err := watcher.join(ctxFor(t, 10*time.Second), k); err != nil {
		t.Fatal(err)
	}
	var light, up, home, first, later durations
	for i := range rounds {
		n := newLightNode(s, fmt.Sprintf("light-%d", i))
		begin := time.Now()
		if err := n.join(ctxFor(t, 10*time.Second), k); err != nil {
			t.Fatal(err)
		}
		light = append(light, time.Since(begin))
		n.close()

		name := fmt.Sprintf("fresh-%d", i)
		c := newNode(t, nodeOptions{url: s.url, key: k, hostname: name})
		_, took, err := c.up(30 * time.Second)
		if err != nil {
			t.Fatal(err)
		}
		up = append(up, took)
		for range 2 {
			begin = time.Now()
			res, err := c.ping(anchor.ip4(), tailcfg.PingTSMP, 20*time.Second)
			if err != nil || res.Err != "" {
				t.Fatalf("ping: %v %+v", err, res)
			}
			if len(first) == i {
				first = append(first, time.Since(begin))
			} else {
				later = append(later, time.Since(begin))
			}
		}
		p := watcher.peerNamed(name)
		if p == nil || p.HomeDERP != 900 {
			t.Errorf("after its first ping the others do not know the home relay of %s", name)
		}
		home = append(home, homeKnown(t, s, watcher, k, i))
		c.ts.Close()
	}
	light.print("join, light client")
	up.print("join, tailscale client")
	first.print("first relayed ping")
	later.print("second relayed ping")
	home.print("new home relay reaches a peer")
}

// homeKnown is how long it takes from a home relay being reported to a peer's having it.
func homeKnown(t testing.TB, s *server, watcher *lightNode, k string, round int) time.Duration {
	t.Helper()
	name := fmt.Sprintf("home-%d", round)
	n := newLightNode(s, name)
	defer n.close()
	if err := n.join(ctxFor(t, 10*time.Second), k); err != nil {
		t.Fatal(err)
	}
	eventually(t, 5*time.Second, "a peer is seen", func() bool { return watcher.peerNamed(name) != nil })
	begin := time.Now()
	err := n.update(ctxFor(t, 10*time.Second), func(r *tailcfg.MapRequest) {
		r.Hostinfo = n.hostinfo.Clone()
		r.Hostinfo.NetInfo = &tailcfg.NetInfo{PreferredDERP: 900}
	})
	if err != nil {
		t.Fatal(err)
	}
	for watcher.peerNamed(name).HomeDERP != 900 {
		if time.Since(begin) > 5*time.Second {
			t.Fatal("a home relay is not spread")
		}
		time.Sleep(100 * time.Microsecond)
	}
	return time.Since(begin)
}
