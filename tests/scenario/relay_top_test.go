// Proves what `fairlead relay top` and its API say of the relay's use, with the official DERP client: exact counts of
// known traffic, drops by reason, home moves, and names.
package scenario

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"tailscale.com/derp"
	"tailscale.com/derp/derphttp"
	"tailscale.com/types/key"
)

type trafficDrops struct{ UnknownDest, QueueHead, QueueTail int }

type trafficNode struct {
	ID, Name, Key                                             string
	Home                                                      bool
	Connections                                               int
	PacketsReceived, BytesReceived, PacketsSent, BytesSent    int
	HomeMoves, BytesQueued                                    int
	BytesReceivedPerSecond, BytesSentPerSecond, PacketsPerSec float64
	Dropped                                                   trafficDrops
}

type traffic struct {
	Connected int
	Total     struct {
		PacketsReceived, BytesReceived, PacketsSent, BytesSent, HomeMovesIn, HomeMovesOut int
		Dropped                                                                           struct {
			trafficDrops
			GoneDisconnected int
		}
		QueueDelay []struct{ Packets int }
	}
	Nodes []trafficNode
	Pairs []struct {
		From, To       struct{ Name, Key string }
		Packets, Bytes int
		BytesPerSecond float64
	}
}

func (s *server) traffic() *traffic {
	s.t.Helper()
	var r traffic
	s.cliJSON(&r, "relay", "top", "--interval", "0.1")
	return &r
}

func (r *traffic) node(t *testing.T, name string) trafficNode {
	t.Helper()
	for _, n := range r.Nodes {
		if n.Name == name {
			return n
		}
	}
	t.Fatalf("no node %s in %+v", name, r.Nodes)
	return trafficNode{}
}

func (r *traffic) pair(from, to string) string {
	for _, p := range r.Pairs {
		if p.From.Name == from && p.To.Name == to {
			return fmt.Sprint(p.Packets, " packets, ", p.Bytes, " bytes")
		}
	}
	return ""
}

// relayed are nodes with a DERP connection each, greeted.
func relayed(t *testing.T, s *server, names ...string) (nodes []*lightNode, clients []*derphttp.Client) {
	t.Helper()
	k := s.newKey("--reusable").Key
	for _, name := range names {
		n := newLightNode(s, name)
		t.Cleanup(n.close)
		if err := n.join(ctxFor(t, 10*time.Second), k); err != nil {
			t.Fatal(err)
		}
		c := derpClient(t, n.node, n.derp)
		if err := c.Connect(ctxFor(t, 10*time.Second)); err != nil {
			t.Fatal(err)
		}
		if m, err := c.Recv(); err != nil {
			t.Fatal(err)
		} else if _, ok := m.(derp.ServerInfoMessage); !ok {
			t.Fatalf("first frame is %T", m)
		}
		nodes, clients = append(nodes, n), append(clients, c)
	}
	return nodes, clients
}

func TestRelayTraffic(t *testing.T) {
	s := startServer(t, "--workers", "2")
	nodes, c := relayed(t, s, "ann", "bob", "idle")
	begin := time.Now()
	send := func(from, to, n, size int) {
		t.Helper()
		for range n {
			if err := c[from].Send(nodes[to].node.Public(), make([]byte, size)); err != nil {
				t.Fatal(err)
			}
			if _, ok := recv(t, c[to], 5*time.Second).(derp.ReceivedPacket); !ok {
				t.Fatal("no packet")
			}
		}
	}
	send(0, 1, 20, 1280)
	send(1, 0, 5, 100)
	for range 3 {
		if err := c[0].Send(key.NewNode().Public(), []byte("nobody")); err != nil {
			t.Fatal(err)
		}
	}
	var r *traffic
	eventually(t, 5*time.Second, "all packets are counted", func() bool {
		r = s.traffic()
		return r.Total.Dropped.UnknownDest == 3
	})
	ann, bob, idle := r.node(t, "ann"), r.node(t, "bob"), r.node(t, "idle")
	if r.Connected != 3 || len(r.Nodes) != 3 || ann.Connections != 1 || ann.Key != nodes[0].node.Public().String() {
		t.Errorf("%d connected; ann is %+v", r.Connected, ann)
	}
	if ann.PacketsReceived != 23 || ann.BytesReceived != 20*1280+3*6 || ann.PacketsSent != 5 || ann.BytesSent != 500 ||
		ann.Dropped != (trafficDrops{UnknownDest: 3}) {
		t.Errorf("ann: %+v", ann)
	}
	if bob.PacketsReceived != 5 || bob.BytesReceived != 500 || bob.PacketsSent != 20 || bob.BytesSent != 20*1280 ||
		bob.Dropped != (trafficDrops{}) {
		t.Errorf("bob: %+v", bob)
	}
	if idle.PacketsReceived+idle.PacketsSent != 0 {
		t.Errorf("idle: %+v", idle)
	}
	if a, b := r.pair("ann", "bob"), r.pair("bob", "ann"); len(r.Pairs) != 2 ||
		a != "20 packets, 25600 bytes" || b != "5 packets, 500 bytes" {
		t.Errorf("pairs: %+v", r.Pairs)
	}
	delayed := 0
	for _, d := range r.Total.QueueDelay {
		delayed += d.Packets
	}
	if r.Total.PacketsSent != 25 || delayed != 25 || r.Total.BytesReceived != 20*1280+3*6+500 {
		t.Errorf("total: %+v", r.Total)
	}
	if n := s.metric("fairlead_derp_queue_delay_seconds_count"); n != 25 {
		t.Errorf("the histogram has %v packets", n)
	}
	text := s.cli("relay", "top", "--once", "--interval", "0.1")
	for _, want := range []string{"3 connected", "ann", "bob", "idle", "25.6 kB"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	// The first choice of a home is no move; later ones are.
	c[0].NotePreferred(true)
	eventually(t, 5*time.Second, "ann is at home", func() bool { return s.traffic().node(t, "ann").Home })
	time.Sleep(time.Until(begin.Add(5500 * time.Millisecond)))
	c[0].NotePreferred(false)
	eventually(t, 5*time.Second, "ann has left home", func() bool { return !s.traffic().node(t, "ann").Home })
	c[0].NotePreferred(true)
	eventually(t, 5*time.Second, "ann is back home", func() bool { return s.traffic().node(t, "ann").Home })
	r = s.traffic()
	if n := r.node(t, "ann").HomeMoves; n != 2 || r.Total.HomeMovesIn != 1 || r.Total.HomeMovesOut != 1 {
		t.Errorf("ann moved %d times, all %d times in and %d out", n, r.Total.HomeMovesIn, r.Total.HomeMovesOut)
	}
}

// A receiver that does not read: what is dropped, what waits and what is sent add up to what came.
func TestRelayTrafficDrops(t *testing.T) {
	const n, size = 600, 60000
	s := startServer(t)
	nodes, c := relayed(t, s, "ann", "bob")
	for range n {
		if err := c[0].Send(nodes[1].node.Public(), make([]byte, size)); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, 20*time.Second, "the relay has read all", func() bool {
		return s.traffic().node(t, "ann").PacketsReceived == n
	})
	if b := s.traffic().node(t, "bob"); b.Dropped.QueueHead == 0 || b.Dropped.UnknownDest+b.Dropped.QueueTail != 0 {
		t.Fatalf("bob: %+v", b)
	}
	got := make(chan int, n)
	go func() {
		for {
			m, err := c[1].Recv()
			if err != nil {
				return
			}
			if p, ok := m.(derp.ReceivedPacket); ok {
				got <- len(p.Data)
			}
		}
	}()
	eventually(t, 20*time.Second, "everything is sent or dropped", func() bool {
		b := s.traffic().node(t, "bob")
		return b.BytesQueued == 0 && b.PacketsSent+b.Dropped.QueueHead == n && len(got) == b.PacketsSent
	})
}
