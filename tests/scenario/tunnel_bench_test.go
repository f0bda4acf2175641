// What two nodes have of each other that can only relay: a TCP stream inside WireGuard inside the relay, and pings beside
// it. With stock derper as another server's relay (BENCH_DERPER), and with the relay inside Headscale (BENCH_HEADSCALE),
// in turns in one run:
//
//	BENCH_DERPER=/path/to/derper BENCH_HEADSCALE=/path/to/headscale go test -run '^$' -bench '^BenchmarkTunnel$' -benchtime 1x .
package scenario

import (
	"crypto/sha256"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
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

// startStock runs somebody else's relay until the bench ends.
func startStock(t testing.TB, program string, args ...string) *logBuffer {
	t.Helper()
	log := &logBuffer{}
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return log
}

// stockDerper is derper in a process of its own: the flags of `fairlead regions add`.
func stockDerper(t testing.TB, program string) []string {
	t.Helper()
	dir := t.TempDir()
	https, stun := freePort(t, "tcp"), freePort(t, "udp")
	log := startStock(t, program, "-a", fmt.Sprintf("127.0.0.1:%d", https), "-http-port", "-1",
		"-stun-port", fmt.Sprint(stun), "-certmode", "manual", "-certdir", filepath.Join(dir, "certs"),
		"-hostname", "127.0.0.1", "-c", filepath.Join(dir, "key"))
	var pin []string
	eventually(t, 10*time.Second, "derper has a certificate", func() bool {
		pin = certNameRE.FindStringSubmatch(log.String())
		return pin != nil
	})
	return []string{fmt.Sprintf("127.0.0.1:%d", https), "--pin", pin[1], "--stun-port", fmt.Sprint(stun)}
}

const headscaleConfig = `server_url: https://127.0.0.1:%[1]d
listen_addr: 127.0.0.1:%[1]d
metrics_listen_addr: 127.0.0.1:%[2]d
grpc_listen_addr: 127.0.0.1:%[3]d
unix_socket: %[5]s/sock
tls_cert_path: %[5]s/cert.pem
tls_key_path: %[5]s/key.pem
noise: {private_key_path: %[5]s/noise.key}
prefixes: {v4: 100.64.0.0/10, v6: "fd7a:115c:a1e0::/48"}
database: {type: sqlite, sqlite: {path: %[5]s/db}}
dns: {magic_dns: false, base_domain: hs.test, override_local_dns: false}
disable_check_updates: true
derp:
  urls: []
  server: {enabled: true, region_id: 12, region_code: hs, region_name: hs, verify_clients: false,
    stun_listen_addr: "127.0.0.1:%[4]d", private_key_path: %[5]s/derp.key}
`

// headscaleRelay is the relay inside Headscale, as a region of ours.
func headscaleRelay(t testing.TB, program string) []string {
	t.Helper()
	dir, err := os.MkdirTemp("", "hs") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	https, stun := freePort(t, "tcp"), freePort(t, "udp")
	if out, err := exec.Command("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
		"-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2", "-keyout", dir+"/key.pem",
		"-out", dir+"/cert.pem").CombinedOutput(); err != nil {
		t.Fatalf("openssl: %v\n%s", err, out)
	}
	text, err := os.ReadFile(dir + "/cert.pem")
	if err != nil {
		t.Fatal(err)
	}
	der, _ := pem.Decode(text)
	if err := os.WriteFile(dir+"/config.yaml", fmt.Appendf(nil, headscaleConfig, https, freePort(t, "tcp"),
		freePort(t, "tcp"), stun, dir), 0o600); err != nil {
		t.Fatal(err)
	}
	startStock(t, program, "serve", "--config", dir+"/config.yaml")
	eventually(t, 30*time.Second, "headscale listens", func() bool {
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", https))
		if err != nil {
			return false
		}
		c.Close()
		return true
	})
	return []string{fmt.Sprintf("127.0.0.1:%d", https), "--pin", fmt.Sprintf("sha256-raw:%x", sha256.Sum256(der.Bytes)),
		"--stun-port", fmt.Sprint(stun)}
}

// tunnelPair are two nodes and what they measured.
type tunnelPair struct {
	name        string
	from, to    *node
	addr        netip.Addr
	mbit        []float64
	sent, lost  int
	pingsBeside []float64 // ms
	seconds     float64   // of streaming
	clientCPU   float64   // seconds of both clients and the load, in one process
	relay       *server   // nil: somebody else's
	relayCPU    float64   // seconds of it
}

func ownCPU(t testing.TB) float64 {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
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
	begin, cpu, relayCPU := time.Now(), ownCPU(t), p.cpuOfRelay()
	n := send(tunnelTime)
	took := time.Since(begin).Seconds()
	p.mbit = append(p.mbit, float64(n)*8/1e6/took)
	p.seconds += took
	p.clientCPU += ownCPU(t) - cpu
	p.relayCPU += p.cpuOfRelay() - relayCPU
	close(end)
	<-ended
}

func (p *tunnelPair) cpuOfRelay() float64 {
	if p.relay == nil {
		return 0
	}
	return p.relay.metric("process_cpu_seconds_total")
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
		for _, kind := range []string{"disco", "other"} {
			n += s.metric(`derp_packets_dropped{reason="` + reason + `",kind="` + kind + `"}`)
		}
	}
	return n
}

func BenchmarkTunnel(t *testing.B) {
	relayOnly(t)
	own := startServer(t)
	pairs := []*tunnelPair{newTunnelPair(t, own, "fairlead", 900)}
	pairs[0].relay = own
	for _, stock := range []struct {
		name, env string
		start     func(testing.TB, string) []string
	}{{"derper", "BENCH_DERPER", stockDerper}, {"headscale", "BENCH_HEADSCALE", headscaleRelay}} {
		if program := os.Getenv(stock.env); program != "" {
			s := startServer(t, "--derp-enabled=false")
			s.cli(append([]string{"regions", "add", "stock", "--id", "11"}, stock.start(t, program)...)...)
			pairs = append(pairs, newTunnelPair(t, s, stock.name, 11))
		}
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
		fmt.Printf("%s tunnel: clients used %.2f of %d cores\n", p.name, p.clientCPU/p.seconds, runtime.NumCPU())
		if p.relay != nil {
			fmt.Printf("%s tunnel: the relay used %.2f\n", p.name, p.relayCPU/p.seconds)
		}
	}
	fmt.Printf("fairlead tunnel: dropped by the relay %.0f of %.0f packets\n", own.relayDrops(),
		own.metric("derp_packets_received"))
	for _, p := range pairs[1:] {
		fmt.Printf("tunnel: TCP %.2f times that of %s\n", median(pairs[0].mbit, 0.5)/median(p.mbit, 0.5), p.name)
	}
}
