// Proves the relay with the official DERP client: packets both ways over TLS with the pin of the DERP map, peer-gone,
// admission by known node keys.
package scenario

import (
	"bytes"
	"context"
	"crypto/rand"
	"testing"
	"time"

	"tailscale.com/derp"
	"tailscale.com/derp/derphttp"
	"tailscale.com/net/netmon"
	"tailscale.com/tailcfg"
	"tailscale.com/types/key"
)

func derpClient(t *testing.T, priv key.NodePrivate, m *tailcfg.DERPMap) *derphttp.Client {
	t.Helper()
	c := derphttp.NewRegionClient(priv, t.Logf, netmon.NewStatic(), func() *tailcfg.DERPRegion {
		return m.Regions[900]
	})
	t.Cleanup(func() { c.Close() })
	return c
}

// recv returns the next packet or peer-gone frame.
func recv(t *testing.T, c *derphttp.Client, within time.Duration) derp.ReceivedMessage {
	t.Helper()
	type result struct {
		m   derp.ReceivedMessage
		err error
	}
	out := make(chan result, 1)
	go func() {
		for {
			m, err := c.Recv()
			switch m := m.(type) {
			case derp.ReceivedPacket:
				m.Data = bytes.Clone(m.Data)
				out <- result{m, err}
				return
			case derp.PeerGoneMessage:
				out <- result{m, err}
				return
			}
			if err != nil {
				out <- result{nil, err}
				return
			}
		}
	}()
	select {
	case r := <-out:
		if r.err != nil {
			t.Fatal(r.err)
		}
		return r.m
	case <-time.After(within):
		t.Fatalf("nothing received within %v", within)
	}
	return nil
}

func TestRelayWithOfficialClient(t *testing.T) {
	for _, workers := range []string{"1", "2"} {
		t.Run(workers+" workers", func(t *testing.T) {
			s := startServer(t, "--workers", workers)
			k := s.newKey("--reusable").Key
			var nodes []*lightNode
			for _, name := range []string{"a", "b"} {
				n := newLightNode(s, name)
				defer n.close()
				if err := n.join(ctxFor(t, 10*time.Second), k); err != nil {
					t.Fatal(err)
				}
				nodes = append(nodes, n)
			}
			m := nodes[0].derp
			if m == nil || m.Regions[900] == nil || m.Regions[900].Nodes[0].CertName == "" {
				t.Fatalf("no region 900 with a pin in %+v", m)
			}
			a, b := derpClient(t, nodes[0].node, m), derpClient(t, nodes[1].node, m)
			for _, c := range []*derphttp.Client{a, b} {
				if err := c.Connect(ctxFor(t, 10*time.Second)); err != nil {
					t.Fatal(err)
				}
				// Only now does the relay know the client: a packet sent to it before is dropped.
				if m, err := c.Recv(); err != nil {
					t.Fatal(err)
				} else if _, ok := m.(derp.ServerInfoMessage); !ok {
					t.Fatalf("first frame is %T", m)
				}
			}
			for _, size := range []int{1, 32, 1280, 16 << 10, 64 << 10} {
				data := make([]byte, size)
				rand.Read(data)
				for _, dir := range []struct {
					from, to *derphttp.Client
					src, dst key.NodePublic
				}{{a, b, nodes[0].node.Public(), nodes[1].node.Public()},
					{b, a, nodes[1].node.Public(), nodes[0].node.Public()}} {
					if err := dir.from.Send(dir.dst, data); err != nil {
						t.Fatal(err)
					}
					p, ok := recv(t, dir.to, 5*time.Second).(derp.ReceivedPacket)
					if !ok || p.Source != dir.src || !bytes.Equal(p.Data, data) {
						t.Fatalf("%d bytes: wrong packet", size)
					}
				}
			}
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			defer cancel()
			pong := make(chan error, 1)
			go func() { pong <- a.Ping(ctx) }()
			b.Close()
			gone, ok := recv(t, a, 5*time.Second).(derp.PeerGoneMessage)
			if !ok || gone.Peer != nodes[1].node.Public() {
				t.Fatalf("no peer-gone but %+v", gone)
			}
			go a.Recv()
			if err := <-pong; err != nil {
				t.Fatalf("ping: %v", err)
			}
		})
	}
}

func TestRelayAdmission(t *testing.T) {
	s := startServer(t)
	n := newLightNode(s, "known")
	defer n.close()
	if err := n.join(ctxFor(t, 10*time.Second), s.newKey().Key); err != nil {
		t.Fatal(err)
	}
	stranger := derpClient(t, key.NewNode(), n.derp)
	if err := stranger.Connect(ctxFor(t, 5*time.Second)); err == nil {
		if _, err := stranger.Recv(); err == nil {
			t.Fatal("a stranger uses the relay")
		}
	}
	known := derpClient(t, n.node, n.derp)
	if err := known.Connect(ctxFor(t, 5*time.Second)); err != nil {
		t.Fatal(err)
	}
	s.cli("nodes", "delete", "known")
	ended := make(chan bool, 1)
	go func() {
		for {
			if _, err := known.Recv(); err != nil {
				ended <- true
				return
			}
		}
	}()
	select {
	case <-ended:
	case <-time.After(5 * time.Second):
		t.Fatal("a deleted node still uses the relay")
	}
}
