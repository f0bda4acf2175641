// A small internet of network namespaces: the server, two NATs, a node behind each.
//
//	node a 192.168.11.2 -- .1 NAT 203.0.113.21 --\
//	                                             core 203.0.113.1 -- 203.0.113.10 server
//	node b 192.168.12.2 -- .1 NAT 203.0.113.22 --/
//
// The core answers "unreachable" for everything else: clients that try the real internet must not wait for it.
package scenario

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"
)

const labServerIP = "203.0.113.10"

var labNATIPs = [2]string{"203.0.113.21", "203.0.113.22"}

func itoa(n int) string { return strconv.Itoa(n) }

type lab struct {
	server  *server
	clients string // directory of tailscaled and tailscale
	core    string // names of the namespaces
	nodes   [2]string
	nats    [2]string // in front of them
}

// needRoot skips where namespaces cannot be made, but not in CI.
func needRoot(t *testing.T) {
	t.Helper()
	why := ""
	if os.Geteuid() != 0 {
		why = "not root"
	}
	for _, tool := range []string{"ip", "nft", "nsenter", "unshare"} {
		if _, err := exec.LookPath(tool); err != nil && why == "" {
			why = "no " + tool
		}
	}
	if _, err := os.Stat("/dev/net/tun"); err != nil && why == "" {
		why = "no /dev/net/tun"
	}
	switch {
	case why == "":
	case os.Getenv("CI") == "true":
		t.Fatalf("this test must run in CI: %s", why)
	default:
		fmt.Fprintf(os.Stderr, "\n*** NOT TESTED: two nodes behind two NATs (%s) ***\n\n", why)
		t.Skip(why)
	}
}

func run(t *testing.T, input string, argv ...string) {
	t.Helper()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdin = strings.NewReader(input)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(argv, " "), err, out)
	}
}

// sweep deletes namespaces of runs that ended without their clean-up (a test binary's timeout).
func sweep(t *testing.T) {
	t.Helper()
	names, _ := filepath.Glob("/run/netns/fl*-*")
	for _, path := range names {
		var pid int
		name := filepath.Base(path)
		if n, _ := fmt.Sscanf(name, "fl%d-", &pid); n == 1 && unix.Kill(pid, 0) == unix.ESRCH {
			run(t, "", "ip", "netns", "delete", name)
		}
	}
}

var netnsCount atomic.Int32 // labs stand beside each other

func newNetns(t *testing.T, name string) string {
	t.Helper()
	name = fmt.Sprintf("fl%d-%d-%s", os.Getpid(), netnsCount.Add(1), name)
	run(t, "", "ip", "netns", "add", name)
	t.Cleanup(func() { run(t, "", "ip", "netns", "delete", name) })
	run(t, "", "ip", "-n", name, "link", "set", "lo", "up")
	return name
}

// wire joins two namespaces by interfaces ifA and ifB.
func wire(t *testing.T, nsA, ifA, nsB, ifB string) {
	t.Helper()
	run(t, "", "ip", "link", "add", ifA, "netns", nsA, "type", "veth", "peer", "name", ifB, "netns", nsB)
	run(t, "", "ip", "-n", nsA, "link", "set", ifA, "up")
	run(t, "", "ip", "-n", nsB, "link", "set", ifB, "up")
}

func address(t *testing.T, ns, dev, prefix, gateway string) {
	t.Helper()
	run(t, "", "ip", "-n", ns, "address", "add", prefix, "dev", dev)
	if gateway != "" {
		run(t, "", "ip", "-n", ns, "route", "add", "default", "via", gateway)
	}
}

func sysctl(t *testing.T, ns, name, value string) {
	t.Helper()
	run(t, "", "ip", "netns", "exec", ns, "sh", "-c", "echo "+value+" >/proc/sys/net/"+name)
}

// What comes uninvited to the NAT itself is dropped: refusing it would make the kernel give the node's own packets to
// that peer another port.
const natRules = `table ip nat {
	chain out { type nat hook postrouting priority srcnat; oifname "wan" masquerade; }
}
table ip filter {
	chain in { type filter hook input priority filter; iifname "wan" meta l4proto udp ct state new drop; }
	chain forward { type filter hook forward priority filter; }
}
`

const dropUDPRules = `add rule ip filter forward iifname "lan" meta l4proto udp drop
add rule ip filter forward iifname "lan" icmp type echo-request drop
`

// attach wires a namespace to the core's segment.
func (l *lab) attach(t *testing.T, ns, dev, ip string) {
	t.Helper()
	port := "p" + ip[strings.LastIndex(ip, ".")+1:]
	wire(t, l.core, port, ns, dev)
	run(t, "", "ip", "-n", l.core, "link", "set", port, "master", "br0")
	address(t, ns, dev, ip+"/24", "203.0.113.1")
}

// newLab makes the namespaces and starts the server as root with default ports in its own.
func newLab(t *testing.T, isUDPDropped bool) *lab {
	t.Helper()
	needRoot(t)
	sweep(t)
	l := &lab{clients: clientPrograms(t)}
	core := newNetns(t, "core")
	srv := newNetns(t, "srv")
	l.core = core
	run(t, "", "ip", "-n", core, "link", "add", "br0", "type", "bridge")
	run(t, "", "ip", "-n", core, "link", "set", "br0", "up")
	address(t, core, "br0", "203.0.113.1/24", "")
	run(t, "", "ip", "-n", core, "route", "add", "unreachable", "default")
	sysctl(t, core, "ipv4/ip_forward", "1")
	sysctl(t, core, "ipv4/icmp_ratelimit", "0")
	l.attach(t, srv, "eth0", labServerIP)
	for i, name := range []string{"a", "b"} {
		nat, node := newNetns(t, "nat-"+name), newNetns(t, "node-"+name)
		l.nats[i] = nat
		l.attach(t, nat, "wan", labNATIPs[i])
		wire(t, nat, "lan", node, "eth0")
		lan := fmt.Sprintf("192.168.%d.", 11+i)
		address(t, nat, "lan", lan+"1/24", "")
		address(t, node, "eth0", lan+"2/24", lan+"1")
		sysctl(t, nat, "ipv4/ip_forward", "1")
		rules := natRules
		if isUDPDropped {
			rules += dropUDPRules
		}
		run(t, rules, "ip", "netns", "exec", nat, "nft", "-f", "-")
		l.nodes[i] = node
	}
	s := newServer(t)
	s.argv = []string{"ip", "netns", "exec", srv, s.bin, "serve", "--data-dir", s.dir, "--unix-socket", s.socket}
	s.start()
	l.server = s
	return l
}

// inNetns runs fn on a thread inside the namespace; sockets that fn makes stay there. The thread comes back: children
// that it started are killed when it ends (Pdeathsig).
func inNetns(t *testing.T, ns string, fn func() error) {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- inNetnsThread(filepath.Join("/run/netns", ns), fn) }()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func inNetnsThread(path string, fn func() error) error {
	runtime.LockOSThread()
	home, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return err
	}
	defer home.Close()
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.Setns(int(f.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("setns: %w", err)
	}
	err = fn()
	if back := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); back != nil {
		return fmt.Errorf("setns back: %w", back) // locked, so nothing else runs on this thread
	}
	runtime.UnlockOSThread()
	return err
}

// nsPing sends an ICMP echo request every 100 ms until one is answered, and says when that was.
func nsPing(t *testing.T, ns string, to netip.Addr, within time.Duration) time.Duration {
	t.Helper()
	return nsPingFrom(t, ns, "0.0.0.0", to, within)
}

// nsPingFrom does so from an address of the namespace.
func nsPingFrom(t *testing.T, ns, source string, to netip.Addr, within time.Duration) time.Duration {
	t.Helper()
	took, ok := nsAnswers(t, ns, source, to, within)
	if !ok {
		t.Fatalf("no answer from %v in %v", to, within)
	}
	return took
}

// nsAnswers says whether there is an answer, and after how long.
func nsAnswers(t *testing.T, ns, source string, to netip.Addr, within time.Duration) (took time.Duration, ok bool) {
	t.Helper()
	inNetns(t, ns, func() error {
		c, err := icmp.ListenPacket("ip4:icmp", source)
		if err != nil {
			return err
		}
		defer c.Close()
		begin, id := time.Now(), os.Getpid()&0xffff
		buf := make([]byte, 1500)
		for seq := 1; time.Since(begin) < within; seq++ {
			m := icmp.Message{Type: ipv4.ICMPTypeEcho, Body: &icmp.Echo{ID: id, Seq: seq, Data: []byte("fairlead")}}
			b, err := m.Marshal(nil)
			if err != nil {
				return err
			}
			// A route that is not there yet is what a person would see as an unanswered ping, too.
			_, _ = c.WriteTo(b, &net.IPAddr{IP: to.AsSlice()})
			_ = c.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
			for {
				n, from, err := c.ReadFrom(buf)
				if err != nil {
					break
				}
				m, err := icmp.ParseMessage(1, buf[:n])
				if err != nil || from.String() != to.String() || m.Type != ipv4.ICMPTypeEchoReply {
					continue
				}
				if e, isEcho := m.Body.(*icmp.Echo); isEcho && e.ID == id {
					took, ok = time.Since(begin), true
					return nil
				}
			}
		}
		return nil
	})
	return took, ok
}

// nsTransfer sends size bytes by TCP from one namespace to an address of the other; all of them must arrive.
func nsTransfer(t *testing.T, from, to string, addr netip.Addr, size int64) {
	t.Helper()
	var l net.Listener
	inNetns(t, to, func() (err error) {
		l, err = net.Listen("tcp", netip.AddrPortFrom(addr, 7777).String())
		return err
	})
	defer l.Close()
	got := make(chan int64, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			got <- -1
			return
		}
		defer c.Close()
		n, _ := io.Copy(io.Discard, c)
		got <- n
	}()
	inNetns(t, from, func() error {
		c, err := net.DialTimeout("tcp", l.Addr().String(), 10*time.Second)
		if err != nil {
			return err
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(60 * time.Second))
		block := make([]byte, 64<<10)
		for left := size; left > 0; left -= int64(len(block)) {
			if _, err := c.Write(block[:min(left, int64(len(block)))]); err != nil {
				return err
			}
		}
		return nil
	})
	select {
	case n := <-got:
		if n != size {
			t.Fatalf("%d of %d bytes arrived", n, size)
		}
	case <-time.After(60 * time.Second):
		t.Fatal("the transfer did not end")
	}
}
