// Healthy clients that watch what attacks on the same server do to them: map streams, relayed packets, pings.
package scenario

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tailscale.com/derp"
	"tailscale.com/tailcfg"
	"tailscale.com/types/key"
)

const (
	witnesses      = 50
	worstDelay     = 250 * time.Millisecond
	sanitizedExtra = 20 // times slower: sanitizers, and other load on the machine, are not what is measured
)

// isSanitized says that the server is a build with sanitizers: delays and memory say nothing then.
func isSanitized() bool { return os.Getenv("FAIRLEAD_SANITIZED") != "" }

// delays keeps the worst of one kind since the last take.
type delays struct {
	name  string
	worst atomic.Int64
	count atomic.Int64
}

func (d *delays) note(took time.Duration) {
	d.count.Add(1)
	for {
		old := d.worst.Load()
		if int64(took) <= old || d.worst.CompareAndSwap(old, int64(took)) {
			return
		}
	}
}

func (d *delays) take() (worst time.Duration, count int64) {
	return time.Duration(d.worst.Swap(0)), d.count.Swap(0)
}

type witness struct {
	t                   *testing.T
	s                   *server
	nodes               []*lightNode
	relays              []*derp.Client
	begin               time.Time
	relay, pong, change delays
	lag                 delays        // of this process itself: a busy machine is not the server's fault
	worst               time.Duration // that a delay may be, beyond the lag of this process
	lags                time.Duration // so many times that lag
	stop                chan struct{}
	wg                  sync.WaitGroup
	lost                atomic.Int64 // connections that ended
}

// relayPlain is the official DERP client over plain TCP from an address of loopback.
func relayPlain(s *server, from string, priv key.NodePrivate) (*derp.Client, net.Conn, error) {
	c, br, err := upgradeDERP(s, from)
	if err != nil {
		return nil, nil, err
	}
	dc, err := derp.NewClient(priv, c, bufio.NewReadWriter(br, bufio.NewWriter(c)), func(string, ...any) {})
	if err != nil {
		c.Close()
		return nil, nil, err
	}
	return dc, c, nil
}

func dialFrom(from, addr string) (net.Conn, error) {
	d := net.Dialer{Timeout: 5 * time.Second, LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	return d.Dial("tcp", addr)
}

func upgradeDERP(s *server, from string) (net.Conn, *bufio.Reader, error) {
	c, err := dialFrom(from, s.plain())
	if err != nil {
		return nil, nil, err
	}
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	fmt.Fprintf(c, "GET /derp HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: DERP\r\n\r\n")
	br := bufio.NewReader(c)
	res, err := http.ReadResponse(br, nil)
	if err == nil && res.StatusCode != 101 {
		err = fmt.Errorf("/derp answered %s", res.Status)
	}
	if err != nil {
		c.Close()
		return nil, nil, err
	}
	_ = c.SetDeadline(time.Time{})
	return c, br, nil
}

func (s *server) plain() string { return fmt.Sprintf("127.0.0.1:%d", s.http) }

func newWitness(t *testing.T, s *server, authKey string) *witness {
	t.Helper()
	w := &witness{t: t, s: s, begin: time.Now(), worst: worstDelay, lags: 1, stop: make(chan struct{})}
	w.relay.name, w.pong.name, w.change.name, w.lag.name = "relayed packet", "pong", "change", "own lag"
	w.nodes = joinMany(t, s, authKey, witnesses)
	for _, n := range w.nodes {
		dc, c, err := relayPlain(s, "127.0.0.1", n.node)
		if err != nil {
			t.Fatal(err)
		}
		w.relays = append(w.relays, dc)
		t.Cleanup(func() { c.Close() })
	}
	for i := range w.relays {
		w.wg.Add(2)
		go w.receive(i)
		go w.send(i)
	}
	w.wg.Add(2)
	go w.changes()
	go w.oversleep()
	t.Cleanup(w.end)
	time.Sleep(300 * time.Millisecond)
	w.check("nothing", 0)
	return w
}

func (w *witness) end() {
	select {
	case <-w.stop:
	default:
		close(w.stop)
	}
}

func (w *witness) isOver() bool {
	select {
	case <-w.stop:
		return true
	default:
		return false
	}
}

func (w *witness) stamp() (b [8]byte) {
	binary.BigEndian.PutUint64(b[:], uint64(time.Since(w.begin)))
	return b
}

func (w *witness) age(b []byte) time.Duration {
	return time.Since(w.begin) - time.Duration(binary.BigEndian.Uint64(b))
}

func (w *witness) receive(i int) {
	defer w.wg.Done()
	for {
		m, err := w.relays[i].Recv()
		if err != nil {
			if !w.isOver() {
				w.lost.Add(1)
			}
			return
		}
		switch m := m.(type) {
		case derp.ReceivedPacket:
			if len(m.Data) == 8 {
				w.relay.note(w.age(m.Data))
			}
		case derp.PongMessage:
			w.pong.note(w.age(m[:]))
		}
	}
}

func (w *witness) send(i int) {
	defer w.wg.Done()
	partner := w.nodes[(i+witnesses/2)%witnesses].node.Public()
	for n := i; ; n++ {
		select {
		case <-w.stop:
			return
		case <-time.After(100 * time.Millisecond):
		}
		b := w.stamp()
		if w.relays[i].Send(partner, b[:]) != nil || (n%5 == 0 && w.relays[i].SendPing(w.stamp()) != nil) {
			return // receive tells
		}
	}
}

func endpointOf(port uint16) netip.AddrPort {
	return netip.AddrPortFrom(netip.MustParseAddr("198.51.100.9"), port)
}

func withEndpoint(e netip.AddrPort) func(*tailcfg.MapRequest) {
	return func(r *tailcfg.MapRequest) {
		r.Endpoints = []netip.AddrPort{e}
		r.EndpointTypes = []tailcfg.EndpointType{tailcfg.EndpointSTUN}
	}
}

// hasEndpoint says that this is what the watcher knows of the node.
func hasEndpoint(watcher *lightNode, hostname string, e netip.AddrPort) bool {
	p := watcher.peerNamed(hostname)
	return p != nil && len(p.Endpoints) == 1 && p.Endpoints[0] == e
}

// changes has one node after the other report a new endpoint; its neighbour must hear of it.
func (w *witness) changes() {
	defer w.wg.Done()
	for port := uint16(1); !w.isOver(); port++ {
		n, watcher := w.nodes[int(port)%witnesses], w.nodes[int(port+1)%witnesses]
		want := endpointOf(port)
		begin := time.Now()
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		err := n.update(ctx, withEndpoint(want))
		cancel()
		if err != nil {
			if !w.isOver() {
				w.lost.Add(1)
			}
			return
		}
		for !w.isOver() && time.Since(begin) < 20*time.Second && !hasEndpoint(watcher, n.hostname, want) {
			time.Sleep(2 * time.Millisecond)
		}
		w.change.note(time.Since(begin))
		time.Sleep(100 * time.Millisecond)
	}
}

func (w *witness) oversleep() {
	defer w.wg.Done()
	for !w.isOver() {
		begin := time.Now()
		time.Sleep(5 * time.Millisecond)
		w.lag.note(time.Since(begin) - 5*time.Millisecond)
	}
}

// check fails when an attack was noticed: a delay, a lost connection, memory, descriptors, the log.
func (w *witness) check(attack string, before int) {
	w.t.Helper()
	lag, _ := w.lag.take()
	allowed := w.worst + w.lags*lag
	if isSanitized() {
		allowed *= sanitizedExtra
	}
	said := []string{fmt.Sprintf("own lag %v", lag.Round(time.Millisecond))}
	for _, d := range []*delays{&w.relay, &w.pong, &w.change} {
		worst, count := d.take()
		said = append(said, fmt.Sprintf("%s %v (%d)", d.name, worst.Round(time.Millisecond), count))
		if worst > allowed {
			w.t.Errorf("%s: a %s took %v, more than %v (own lag %v)", attack, d.name, worst, w.worst, lag)
		}
	}
	if n := w.lost.Load(); n != 0 {
		w.t.Errorf("%s: %d connections of healthy clients ended", attack, n)
		w.lost.Store(0)
	}
	for i, n := range w.nodes {
		if err := n.ended(); err != nil {
			w.t.Fatalf("%s: the stream of node %d ended: %v", attack, i, err)
		}
	}
	w.t.Logf("%-30s %s; rss %d MB, log +%d bytes", attack, strings.Join(said, ", "), w.s.rssMB(),
		len(w.s.log.String())-before)
}

// rssMB and openFiles are of the server's process.
func (s *server) rssMB() int {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.pid()))
	var kb int
	if _, after, ok := strings.Cut(string(b), "VmRSS:"); ok {
		fmt.Sscan(after, &kb)
	}
	return kb / 1024
}

func (s *server) openFiles() int {
	list, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.pid()))
	return len(list)
}
