// Proves that a server without free descriptors refuses newcomers, serves those it has, costs no CPU meanwhile, and is
// as before when some are free again; and that ^C ends it in the middle of every attack.
package scenario

import (
	"context"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"tailscale.com/types/key"
)

// cpuTime is what the server has used so far.
func (s *server) cpuTime() time.Duration {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.pid()))
	f := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	var user, system int
	fmt.Sscan(f[11], &user)
	fmt.Sscan(f[12], &system)
	return time.Duration(user+system) * 10 * time.Millisecond
}

// limitFiles leaves the server so many descriptors more than it has.
func (s *server) limitFiles(t *testing.T, more int) {
	t.Helper()
	var l unix.Rlimit
	err := unix.Prlimit(s.pid(), unix.RLIMIT_NOFILE, nil, &l)
	l.Cur = uint64(s.openFiles() + more)
	if err == nil {
		err = unix.Prlimit(s.pid(), unix.RLIMIT_NOFILE, &l, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestNoDescriptorLeft(t *testing.T) {
	s := startServer(t)
	k := s.newKey("--reusable").Key
	nodes := joinMany(t, s, k, 10)
	for _, left := range []int{0, 1, 2, 3, 5, 8} {
		t.Run(fmt.Sprint(left), func(t *testing.T) {
			before := unix.Rlimit{}
			if err := unix.Prlimit(s.pid(), unix.RLIMIT_NOFILE, nil, &before); err != nil {
				t.Fatal(err)
			}
			s.limitFiles(t, left)
			defer func() { _ = unix.Prlimit(s.pid(), unix.RLIMIT_NOFILE, &before, nil) }()
			logged := len(s.log.String())
			var conns []net.Conn
			for i := range 60 {
				addr := []string{s.plain(), fmt.Sprintf("127.0.0.1:%d", s.https), s.socket}[i%3]
				network := "tcp"
				if i%3 == 2 {
					network = "unix"
				}
				c, err := net.DialTimeout(network, addr, time.Second)
				if err != nil {
					continue
				}
				fmt.Fprintf(c, "GET /api/fairlead/v1/status HTTP/1.1\r\nHost: x\r\n\r\n")
				conns = append(conns, c)
			}
			cpu := s.cpuTime()
			time.Sleep(500 * time.Millisecond)
			if took := s.cpuTime() - cpu; took > 150*time.Millisecond && !isSanitized() {
				t.Errorf("%v of CPU in half a second of waiting for descriptors", took)
			}
			// Those who are there notice nothing.
			want := uint16(1000 + left)
			noticed(t, nodes[1], nodes[2], want)
			for _, c := range conns {
				c.Close()
			}
			_ = unix.Prlimit(s.pid(), unix.RLIMIT_NOFILE, &before, nil)
			n := newLightNode(s, fmt.Sprintf("after-%d", left))
			defer n.close()
			eventually(t, 5*time.Second, "newcomers are served again", func() bool {
				n.h2 = nil
				ctx, cancel := context.WithTimeout(context.Background(), time.Second)
				defer cancel()
				return n.join(ctx, k) == nil
			})
			s.cli("status")
			if got := len(s.log.String()) - logged; got > 4<<10 {
				t.Errorf("%d bytes were logged:\n%.2000s", got, s.log.String()[logged:])
			}
		})
	}
}

// noticed has n report an endpoint, which watcher must hear of.
func noticed(t *testing.T, n, watcher *lightNode, port uint16) {
	t.Helper()
	want := endpointOf(port)
	if err := n.update(ctxFor(t, 5*time.Second), withEndpoint(want)); err != nil {
		t.Fatal(err)
	}
	eventually(t, 5*time.Second, "a change reaches a peer", func() bool { return hasEndpoint(watcher, n.hostname, want) })
}

// ^C in the middle of storms of all kinds: it ends in time and cleanly.
func TestInterruptUnderAttack(t *testing.T) {
	for round := range 3 {
		s := startServer(t)
		k := s.newKey("--reusable").Key
		nodes := joinMany(t, s, k, 20)
		stop := make(chan struct{})
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Add(1)
			go func() {
				defer wg.Done()
				for {
					select {
					case <-stop:
						return
					default:
					}
					pester(s, i, k, nodes[i])
				}
			}()
		}
		time.Sleep(time.Duration(200+100*round) * time.Millisecond)
		took := s.interrupt()
		close(stop)
		wg.Wait()
		if took > 3*time.Second && !isSanitized() {
			t.Errorf("the end took %v", took)
		}
	}
}

// pester does one thing of the i-th kind.
func pester(s *server, i int, authKey string, n *lightNode) {
	from := loopback(i)
	switch i % 4 {
	case 0:
		if c, err := dialFrom(from, s.plain()); err == nil {
			fmt.Fprintf(c, "POST /api/v2/x HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n")
			_, _ = c.Write(make([]byte, 70000))
			c.Close()
		}
	case 1:
		if m, err := lightFrom(s, from); err == nil {
			m.postRaw("/machine/register", registerBody(m.node, authKey))
			m.close()
		}
	case 2:
		if dc, c, err := relayPlain(s, from, n.node); err == nil {
			for range 20 {
				_ = dc.Send(n.node.Public(), make([]byte, 1000))
			}
			c.Close()
		}
	case 3:
		if f, err := newH2Client(s, from, key.NewMachine()); err == nil {
			_ = f.open("/machine/register", false)
			_ = f.WriteData(f.last, true, registerBody(key.NewNode(), authKey))
			_ = f.w.Flush()
			f.conn.Close()
		}
	}
	time.Sleep(time.Millisecond)
}
