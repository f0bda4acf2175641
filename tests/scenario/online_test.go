// Proves that online is the truth: a client whose network vanished without a word is offline within a bounded time, last
// seen when it was last heard; one that comes and goes within the grace is no news to anybody.
package scenario

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"testing"
	"time"
)

// dialIn dials from a namespace.
func dialIn(ns, addr string) dialFunc {
	return func() (c net.Conn, err error) {
		done := make(chan error, 1)
		go func() {
			done <- inNetnsThread(filepath.Join("/run/netns", ns), func() (err error) {
				c, err = net.DialTimeout("tcp", addr, 5*time.Second)
				return err
			})
		}()
		err = <-done
		return c, err
	}
}

type onlineInfo struct {
	Online   bool       `json:"online"`
	LastSeen *time.Time `json:"lastSeen"`
}

func (s *server) onlineOf(name string) (o onlineInfo) {
	s.t.Helper()
	s.cliJSON(&o, "nodes", "show", name)
	return o
}

// One client was to hear of something when its network went, of the other nobody had anything to say: a keep-alive after
// 60 s of silence does. Either has 20 s to acknowledge, and 10 s of grace.
func TestHalfOpen(t *testing.T) {
	t.Run("busy", func(t *testing.T) { halfOpen(t, "b", true, 50*time.Second) })
	t.Run("quiet", func(t *testing.T) { halfOpen(t, "q", false, 95*time.Second) })
}

func halfOpen(t *testing.T, short string, isBusy bool, most time.Duration) {
	t.Parallel()
	needRoot(t)
	srv := newNetns(t, short+"srv")
	s := newServer(t)
	s.argv = []string{"ip", "netns", "exec", srv, s.bin, "serve", "--data-dir", s.dir, "--unix-socket", s.socket,
		"--server-url", "http://203.0.113.9"}
	names := []string{"gone", "watcher"}
	var ns []string
	for i, name := range names {
		ns = append(ns, newNetns(t, short+name))
		dev := fmt.Sprintf("eth%d", i)
		wire(t, srv, dev, ns[i], "eth0")
		address(t, srv, dev, fmt.Sprintf("203.0.113.%d/30", 8*(i+1)+1), "")
		address(t, ns[i], "eth0", fmt.Sprintf("203.0.113.%d/30", 8*(i+1)+2), "")
	}
	s.start()
	k := s.newKey("--reusable").Key
	var nodes []*lightNode
	for i, name := range names {
		n := newLightNode(s, name)
		n.addr = tunnel(t, dialIn(ns[i], fmt.Sprintf("203.0.113.%d:80", 8*(i+1)+1)))
		if err := bounded(20*time.Second, func(ctx context.Context) error { return n.join(ctx, k) }); err != nil {
			t.Fatal(err)
		}
		defer n.close()
		nodes = append(nodes, n)
	}
	watcher := nodes[1]
	is := func(online bool) func() bool {
		return func() bool {
			p := watcher.peerNamed("gone")
			return p != nil && p.Online != nil && *p.Online == online
		}
	}
	eventually(t, 10*time.Second, "it is online", is(true))

	// Nothing comes or goes any more, and nobody is told so.
	begin := time.Now()
	run(t, "table ip gone {\n chain in { type filter hook input priority 0; policy drop; }\n"+
		" chain out { type filter hook output priority 0; policy drop; }\n}\n", "ip", "netns", "exec", ns[0], "nft", "-f", "-")
	if isBusy {
		if err := bounded(10*time.Second, func(ctx context.Context) error {
			return watcher.update(ctx, withEndpoint(endpointOf(7)))
		}); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, most, "it is offline for its peers", is(false))
	took := time.Since(begin)
	o := s.onlineOf("gone")
	t.Logf("noticed after %v; last seen %v after its network went", took.Round(time.Second), o.LastSeen.Sub(begin))
	if o.Online {
		t.Error("it is online for the server")
	}
	// In whole seconds. Up to then it was there, and never since.
	if o.LastSeen.After(begin.Add(2*time.Second)) || o.LastSeen.Before(begin.Add(-5*time.Second)) {
		t.Errorf("last seen %v after its network went", o.LastSeen.Sub(begin))
	}
	if took < 20*time.Second {
		t.Errorf("offline after %v, although nothing was known of it", took)
	}
	if err := watcher.ended(); err != nil {
		t.Errorf("the stream of a healthy node ended: %v", err)
	}
}

// A node that comes and goes within the grace: its peers hear nothing, and afterwards it is what it is.
func TestFlapping(t *testing.T) {
	t.Parallel()
	s := startServer(t, "--node-offline-grace-s", "3")
	nodes := joinMany(t, s, s.newKey("--reusable").Key, 3)
	flapper, watcher := nodes[0], nodes[1]
	told := func() int {
		watcher.mu.Lock()
		defer watcher.mu.Unlock()
		return watcher.maps
	}
	eventually(t, 10*time.Second, "all see all", func() bool { return seesAll(watcher, 3) })
	time.Sleep(time.Second)
	before := told()
	for range 30 {
		flapper.close()
		if err := bounded(10*time.Second, func(ctx context.Context) error {
			if err := flapper.dial(ctx); err != nil {
				return err
			}
			return flapper.stream(ctx)
		}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(100 * time.Millisecond)
	}
	if n := told() - before; n > 2 {
		t.Errorf("a peer got %d messages about a node that never was away", n)
	}
	if !s.onlineOf("light-000").Online {
		t.Error("it is offline, with a stream")
	}
	flapper.close()
	gone := time.Now()
	eventually(t, 6*time.Second, "it is offline", func() bool {
		p := watcher.peerNamed("light-000")
		return p != nil && p.Online != nil && !*p.Online
	})
	if took := time.Since(gone); took < 2*time.Second {
		t.Errorf("offline after %v, within the grace", took)
	}
	o := s.onlineOf("light-000")
	if o.Online || o.LastSeen.Sub(gone).Abs() > 2*time.Second {
		t.Errorf("%+v, gone at %v", o, gone)
	}
}
