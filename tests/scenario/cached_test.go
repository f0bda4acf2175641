// A server among the nodes that starts again while the control plane cannot be reached is back in the mesh with what it was
// told last. (It has another disco key then, which clients tell each other by a relay: that must be there.)
package scenario

import (
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// gate is a way to an address that can be shut, with all connections.
type gate struct {
	net.Listener
	mu    sync.Mutex
	conns []net.Conn
}

func newGate(t *testing.T, to string) *gate {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{Listener: l}
	t.Cleanup(g.shut)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", to)
			if err != nil {
				c.Close()
				continue
			}
			g.mu.Lock()
			g.conns = append(g.conns, c, far)
			g.mu.Unlock()
			for _, pair := range [][2]net.Conn{{c, far}, {far, c}} {
				go func() {
					_, _ = io.Copy(pair[0], pair[1])
					pair[0].Close()
				}()
			}
		}
	}()
	return g
}

func (g *gate) shut() {
	g.Close()
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, c := range g.conns {
		c.Close()
	}
}

func TestRebootWithoutControl(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	g := newGate(t, fmt.Sprintf("127.0.0.1:%d", s.http))
	direct := s.url
	s.url = "http://" + g.Addr().String()
	s.start()
	tagged := s.newKey("--reusable", "--tags", "tag:k3s").Key
	dir, laptopDir := t.TempDir(), t.TempDir()
	one := newNode(t, nodeOptions{url: s.url, key: tagged, hostname: "one", dir: dir})
	one.mustUp()
	two := joinedNode(t, s, "two", tagged)
	laptop := newNode(t, nodeOptions{url: s.url, key: s.newKey().Key, hostname: "laptop", dir: laptopDir})
	laptop.mustUp()
	two.serveHTTP("two")
	one.gets(two.ip4().String(), "two")
	ip := one.ip4()

	g.shut()
	s.url = direct
	eventually(t, 20*time.Second, "one is offline", func() bool { return !s.nodeNamed("one").Online })
	one.ts.Close()
	one = newNode(t, nodeOptions{url: "http://" + g.Addr().String(), hostname: "one", dir: dir})
	begin := time.Now()
	if _, took, err := one.up(20 * time.Second); err != nil {
		t.Fatalf("not up after %v: %v", took, err)
	}
	t.Logf("up after %v", time.Since(begin))
	one.serveHTTP("one")
	if one.ip4() != ip || one.peer("two") == nil || one.peer("laptop") == nil {
		t.Fatalf("it is %v and sees %v", one.ip4(), one.status().Peer)
	}
	one.gets(two.ip4().String(), "two")
	t.Logf("it reaches another one after %v", time.Since(begin))
	two.gets(ip.String(), "one")
	laptop.gets(ip.String(), "one")
	if s.nodeNamed("one").Online {
		t.Error("it is online: this proves nothing")
	}
	// One that is no server keeps nothing of others.
	laptop.ts.Close()
	laptop = newNode(t, nodeOptions{url: one.ts.ControlURL, hostname: "laptop", dir: laptopDir})
	if _, _, err := laptop.up(2 * time.Second); err == nil && len(laptop.status().Peer) != 0 {
		t.Error("the laptop knows its peers as well")
	}
}
