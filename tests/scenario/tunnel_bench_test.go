// What two nodes have of each other that can only relay: a TCP stream inside WireGuard inside the relay, and pings beside
// it. With stock derper as another server's relay (BENCH_DERPER), in turns in one run:
//
//	BENCH_DERPER=/path/to/derper go test -run '^$' -bench '^BenchmarkTunnel$' -benchtime 1x .
package scenario

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"tailscale.com/tailcfg"
)

const (
	tunnelRounds = 5
	tunnelTime   = 3 * time.Second
	tunnelPort   = ":5201"
)

var certNameRE = regexp.MustCompile(`"CertName":\s*"(sha256-raw:[0-9a-f]{64})"`)

// stockDerper is derper in a process of its own: the flags of `fairlead regions add`.
func stockDerper(t testing.TB, program string) []string {
	t.Helper()
	dir, log := t.TempDir(), &logBuffer{}
	https, stun := freePort(t, "tcp"), freePort(t, "udp")
	cmd := exec.Command(program, "-a", fmt.Sprintf("127.0.0.1:%d", https), "-http-port", "-1",
		"-stun-port", fmt.Sprint(stun), "-certmode", "manual", "-certdir", filepath.Join(dir, "certs"),
		"-hostname", "127.0.0.1", "-c", filepath.Join(dir, "key"))
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	var pin []string
	eventually(t, 10*time.Second, "derper has a certificate", func() bool {
		pin = certNameRE.FindStringSubmatch(log.String())
		return pin != nil
	})
	return []string{fmt.Sprintf("127.0.0.1:%d", https), "--pin", pin[1], "--stun-port", fmt.Sprint(stun)}
}

// tunnelPair are two nodes and what they measured.
type tunnelPair struct {
	name        string
	from, to    *node
	addr        netip.Addr
	mbit        []float64
	sent, lost  int
	pingsBeside []float64 // ms
}

func newTunnelPair(t testing.TB, s *server, name string, region int) *tunnelPair {
	t.Helper()
	k := s.newKey("--reusable").Key
	p := &tunnelPair{name: name, from: joinedNode(t, s, "from", k), to: joinedNode(t, s, "to", k)}
	p.addr = p.to.ip4()
	l, err := p.to.ts.Listen("tcp", tunnelPort)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	serveEach(l, func(in net.Conn) { _, _ = io.Copy(io.Discard, in) })
	eventually(t, 30*time.Second, name+" relays", func() bool {
		res, err := p.from.ping(p.addr, tailcfg.PingDisco, 2*time.Second)
		return err == nil && res.Err == "" && res.DERPRegionID == region
	})
	return p
}

// ping goes through the tunnel every 20 ms until told to end; who has no answer in a second is lost.
func (p *tunnelPair) ping(end <-chan struct{}) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	for tick := time.NewTicker(20 * time.Millisecond); ; {
		select {
		case <-end:
			tick.Stop()
			wg.Wait()
			return
		case <-tick.C:
		}
		wg.Add(1)
		go func() {
			defer wg.Done()
			begin := time.Now()
			res, err := p.from.ping(p.addr, tailcfg.PingTSMP, time.Second)
			mu.Lock()
			defer mu.Unlock()
			p.sent++
			if err != nil || res.Err != "" {
				p.lost++
				return
			}
			p.pingsBeside = append(p.pingsBeside, ms(time.Since(begin)))
		}()
	}
}

// run sends for the time, and counts what the other side's TCP took in that time.
func (p *tunnelPair) run(t testing.TB) {
	t.Helper()
	c, err := p.from.ts.Dial(ctxFor(t, 20*time.Second), "tcp", p.addr.String()+tunnelPort)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	block := make([]byte, 64<<10)
	send := func(d time.Duration) (n int) {
		for begin := time.Now(); time.Since(begin) < d; {
			k, err := c.Write(block)
			if err != nil {
				t.Fatal(err)
			}
			n += k
		}
		return n
	}
	send(time.Second)
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		p.ping(end)
		close(ended)
	}()
	begin := time.Now()
	n := send(tunnelTime)
	p.mbit = append(p.mbit, float64(n)*8/1e6/time.Since(begin).Seconds())
	close(end)
	<-ended
}

func median(v []float64, q float64) float64 {
	s := slices.Sorted(slices.Values(v))
	if len(s) == 0 {
		return 0
	}
	return s[min(len(s)-1, int(q*float64(len(s))))]
}

// relayDrops are packets that the relay had to drop: queues, and the way between workers.
func (s *server) relayDrops() (n float64) {
	for _, reason := range []string{"queue_head", "queue_tail", "memory", "worker_busy"} {
		n += s.metric(`derp_packets_dropped{reason="` + reason + `"}`)
	}
	return n
}

func BenchmarkTunnel(t *testing.B) {
	relayOnly(t)
	own := startServer(t)
	pairs := []*tunnelPair{newTunnelPair(t, own, "fairlead", 900)}
	if program := os.Getenv("BENCH_DERPER"); program != "" {
		s := startServer(t, "--derp-enabled=false")
		s.cli(append([]string{"regions", "add", "stock", "--id", "11"}, stockDerper(t, program)...)...)
		pairs = append(pairs, newTunnelPair(t, s, "derper", 11))
	}
	for range tunnelRounds {
		for _, p := range pairs {
			p.run(t)
			time.Sleep(500 * time.Millisecond)
		}
	}
	for _, p := range pairs {
		fmt.Printf("%s tunnel: TCP %.0f Mbit/s (median of %d; %.0f to %.0f)\n", p.name, median(p.mbit, 0.5), len(p.mbit),
			median(p.mbit, 0), median(p.mbit, 1))
		fmt.Printf("%s tunnel: pings beside it lost %.1f %% (of %d)\n", p.name,
			100*float64(p.lost)/float64(p.sent), p.sent)
		fmt.Printf("%s tunnel: pings beside it p50 %.1f ms, p99 %.1f ms\n", p.name, median(p.pingsBeside, 0.5),
			median(p.pingsBeside, 0.99))
	}
	fmt.Printf("fairlead tunnel: dropped by the relay %.0f of %.0f packets\n", own.relayDrops(),
		own.metric("derp_packets_received"))
	if len(pairs) == 2 {
		fmt.Printf("tunnel: TCP %.2f times that of derper\n", median(pairs[0].mbit, 0.5)/median(pairs[1].mbit, 0.5))
	}
}
