// Proves that what the relay holds for all its clients together stays within limits.relay_memory_bytes: many receivers
// that read slowly or not at all, and a flood for each; a healthy pair goes on, a new client is told to come again.
package scenario

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tailscale.com/derp"
)

// slowReaders are connected clients, read 1 KiB at a time, every so often; 0: not at all.
type slowReaders struct {
	conns []net.Conn
	pause atomic.Int64 // nanoseconds
	done  chan struct{}
}

func newSlowReaders(t *testing.T, s *server, nodes []*lightNode) *slowReaders {
	t.Helper()
	r := &slowReaders{done: make(chan struct{})}
	for i, n := range nodes {
		_, c, err := relayPlain(s, loopback(i), n.node)
		if err != nil {
			t.Fatal(err)
		}
		_ = c.(*net.TCPConn).SetReadBuffer(4096)
		r.conns = append(r.conns, c)
		t.Cleanup(func() { c.Close() })
		go func() {
			buf := make([]byte, 1024)
			for {
				pause := time.Duration(r.pause.Load())
				select {
				case <-r.done:
					return
				case <-time.After(max(pause, 10*time.Millisecond)):
				}
				if pause == 0 {
					continue
				}
				if _, err := c.Read(buf); err != nil {
					return
				}
			}
		}()
	}
	t.Cleanup(func() { close(r.done) })
	return r
}

// flood sends to all of them in turn until stop is closed.
func flood(t *testing.T, s *server, from *lightNode, to []*lightNode, stop chan struct{}) {
	t.Helper()
	dc, c, err := relayPlain(s, "127.0.1.250", from.node)
	if err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = io.Copy(io.Discard, c) }()
	go func() {
		defer c.Close()
		data := make([]byte, 1400)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			if err := dc.Send(to[i%len(to)].node.Public(), data); err != nil {
				return
			}
			if i%16 == 0 {
				time.Sleep(time.Millisecond) // the rest of this process has to run, too
			}
		}
	}()
}

func TestRelayMemoryIsBounded(t *testing.T) {
	const memory, slow, floods = 2 << 20, 60, 4
	s := startServer(t, "--workers", "1", "--limits-relay-memory-bytes", fmt.Sprint(memory))
	k := s.newKey("--reusable").Key
	nodes := joinMany(t, s, k, slow+floods+1)
	readers := newSlowReaders(t, s, nodes[:slow])
	good, sink := newRelayUser(t, s, "good", k), newRelayUser(t, s, "sink", k)
	good.sendTo(t, sink, 1)
	// The test's own load may slow the pair down, so what counts is what is lost.
	unharmed := func(what string) {
		sent, got := good.sent.Load(), sink.got.Load()
		time.Sleep(2 * time.Second)
		sent, got = good.sent.Load()-sent, sink.got.Load()-got
		if sent < 20000 || float64(got) < 0.97*float64(sent)-20*1400 {
			t.Errorf("%s: of %d bytes that the healthy pair sent %d arrived", what, sent, got)
		}
	}
	before := s.rssMB()

	readers.pause.Store(int64(30 * time.Millisecond))
	stop := make(chan struct{})
	for i := range floods {
		flood(t, s, nodes[slow+i], nodes[:slow], stop)
	}
	// A new client is told so, before it is greeted.
	upgrade := func() (*http.Response, string) {
		req, _ := http.NewRequest("GET", "http://"+s.plain()+"/derp", nil)
		req.Header.Set("Connection", "Upgrade")
		req.Header.Set("Upgrade", "DERP")
		res, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if res.StatusCode == http.StatusSwitchingProtocols {
			return res, ""
		}
		body, _ := io.ReadAll(res.Body)
		return res, string(body)
	}
	refused := 0
	eventually(t, 15*time.Second, "a client is turned away", func() bool {
		res, body := upgrade()
		if res.StatusCode != http.StatusServiceUnavailable {
			return false
		}
		if res.Header.Get("Retry-After") == "" || !strings.Contains(body, "the relay's memory is full") {
			t.Fatalf("%v %q", res.Header, body)
		}
		refused++
		return refused >= 3
	})
	worst := 0.0
	watch := func(what string) {
		for range 6 {
			got := s.metric("fairlead_derp_memory_bytes")
			worst = max(worst, got)
			if got > memory+256<<10 {
				t.Errorf("%s: %.0f bytes are held of %d", what, got, memory)
			}
			time.Sleep(100 * time.Millisecond)
		}
	}
	watch("readers are slow")
	unharmed("readers are slow")
	if worst < memory/2 {
		t.Errorf("%.0f bytes at most: the readers are not slow enough for this test", worst)
	}
	// Nobody reads any more: what is kept for them is only what was sealed already.
	readers.pause.Store(0)
	time.Sleep(2 * time.Second)
	watch("readers stand still")
	unharmed("readers stand still")
	if s.metric(`derp_packets_dropped{reason="memory",kind="other"}`) == 0 {
		t.Error("nothing was dropped for want of memory")
	}
	if got := s.rssMB(); got > before+24 && !isSanitized() {
		t.Errorf("%d MB before, %d MB in the flood", before, got)
	}
	close(stop)
	for _, c := range readers.conns {
		c.Close()
	}
	eventually(t, 10*time.Second, "all is given back", func() bool {
		return s.metric("fairlead_derp_memory_bytes") < 64<<10
	})
	late, c, err := relayPlain(s, "127.0.1.240", nodes[slow+floods].node)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if m, err := late.Recv(); err != nil {
		t.Fatal(err)
	} else if _, ok := m.(derp.ServerInfoMessage); !ok {
		t.Fatalf("first frame is %T", m)
	}
	if n := strings.Count(s.log.String(), "the relay's memory is full"); n < 1 || n > 4 {
		t.Errorf("it was logged %d times", n)
	}
}
