// Proves the main job as users have it: real tailscaled with a kernel interface, two NATs, UDP dropped or not, and the
// line that `fairlead serve` prints typed on each node. Needs root.
package scenario

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// The official programs at the pinned version, without what no test uses: smaller and quicker to build.
const clientTags = "ts_omit_aws,ts_omit_bird,ts_omit_kube,ts_omit_completion,ts_omit_systray," +
	"ts_omit_webclient,ts_omit_taildrop,ts_omit_tap"

// clientPrograms builds tailscaled and tailscale and returns their directory.
func clientPrograms(t *testing.T) string {
	t.Helper()
	dir, err := builtClients()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

var builtClients = sync.OnceValues(func() (string, error) {
	dir, err := filepath.Abs(".cache")
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	cmd := exec.Command("go", "build", "-tags", clientTags, "-o", dir+"/",
		"tailscale.com/cmd/tailscaled", "tailscale.com/cmd/tailscale")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("cannot build the clients: %v\n%s", err, out)
	}
	return dir, nil
})

// natNode is a machine behind a NAT: tailscaled in namespaces of its own.
type natNode struct {
	t    *testing.T
	name string
	bin  string
	pid  string
	log  *logBuffer
}

// Own /etc, for tailscaled renames resolv.conf; own state and sockets in their usual places, so that commands are typed
// as on any machine.
const nodeScript = `set -e
mount -t tmpfs tmpfs /var/lib
mkdir /var/lib/upper /var/lib/work
mount -t overlay overlay -o lowerdir=/etc,upperdir=/var/lib/upper,workdir=/var/lib/work /etc
mount -t tmpfs tmpfs /run
echo "nameserver 127.0.0.1" >/etc/resolv.conf
echo "$1" >/proc/sys/kernel/hostname
exec tailscaled --tun=tailscale0 --statedir="$2" --no-logs-no-support`

func startNatNode(t *testing.T, l *lab, ns, name string) *natNode {
	t.Helper()
	return startNatNodeIn(t, l, ns, name, "/var/lib/tailscale")
}

// startNatNodeIn keeps the state in that directory; one outside of /var/lib stays there for the next start.
func startNatNodeIn(t *testing.T, l *lab, ns, name, state string) *natNode {
	t.Helper()
	n := &natNode{t: t, name: name, bin: l.clients, log: &logBuffer{}}
	cmd := exec.Command("ip", "netns", "exec", ns, "unshare", "--mount", "--uts",
		"sh", "-c", nodeScript, "sh", name, state)
	cmd.Env = append(os.Environ(), "PATH="+l.clients+":"+os.Getenv("PATH"), "TS_NO_LOGS_NO_SUPPORT=true",
		"TS_DEBUG_FIREWALL_MODE=nftables")
	cmd.Stdout, cmd.Stderr = n.log, n.log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	n.pid = itoa(cmd.Process.Pid)
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGCONT) // a test may have stopped it
		_ = cmd.Process.Signal(syscall.SIGTERM)
		kill := time.AfterFunc(10*time.Second, func() { _ = cmd.Process.Kill() })
		_ = cmd.Wait()
		kill.Stop()
		if t.Failed() {
			t.Logf("log of %s:\n%s", name, n.log.String())
		}
	})
	eventually(t, 20*time.Second, "tailscaled of "+name+" answers", func() bool {
		_, err := n.try("tailscale status --json")
		return err == nil
	})
	return n
}

// try types a line on the node.
func (n *natNode) try(line string) (string, error) {
	cmd := exec.Command("timeout", "90", "nsenter", "--target", n.pid, "--mount", "--uts", "--net", "sh", "-c", line)
	cmd.Env = append(os.Environ(), "PATH="+n.bin+":"+os.Getenv("PATH"))
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (n *natNode) sh(line string) string {
	n.t.Helper()
	out, err := n.try(line)
	if err != nil {
		n.t.Fatalf("%s: %s: %v\n%s", n.name, strings.Fields(line)[:2], err, out)
	}
	return out
}

// up types the line that the server printed, without sudo. It says how long that took, and after how long the server
// had the node online: what lies between is the client's own, above all waiting for UDP (3 s where it is dropped).
func (n *natNode) up(s *server, line string) (took, online time.Duration) {
	n.t.Helper()
	begin := time.Now()
	n.sh(strings.TrimPrefix(line, "sudo ") + " --timeout=40s")
	took = time.Since(begin)
	for _, m := range onlineRE.FindAllStringSubmatch(s.log.String(), -1) {
		if at, err := time.Parse(time.RFC3339Nano, m[1]); err == nil && at.After(begin.Add(-time.Millisecond)) {
			return took, at.Sub(begin)
		}
	}
	n.t.Fatalf("%s is up, but not online for the server", n.name)
	return
}

var onlineRE = regexp.MustCompile(`(?m)^time=(\S+) .*event="node online"`)

func (n *natNode) ip4() netip.Addr {
	n.t.Helper()
	a, err := netip.ParseAddr(strings.TrimSpace(n.sh("tailscale ip -4")))
	if err != nil {
		n.t.Fatal(err)
	}
	return a
}

type netcheckReport struct {
	UDP           bool
	GlobalV4      string
	PreferredDERP int
	RegionLatency map[int]time.Duration
}

func (n *natNode) netcheck() (r netcheckReport, took time.Duration) {
	n.t.Helper()
	begin := time.Now()
	out := n.sh("tailscale netcheck --format=json 2>/dev/null")
	took = time.Since(begin)
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		n.t.Fatalf("%v in %s", err, out)
	}
	return r, took
}

var joinLineRE = regexp.MustCompile(`(?m)^\s*(sudo tailscale up --login-server=\S+ --authkey=\S+)\s*$`)

// joinLine is what the server printed at its first start for people to type.
func (s *server) joinLine() string {
	s.t.Helper()
	var m []string
	eventually(s.t, 5*time.Second, "the server prints how to join", func() bool {
		m = joinLineRE.FindStringSubmatch(s.log.String())
		return m != nil
	})
	return m[1]
}

func TestTwoNATsRelayOnly(t *testing.T) {
	t.Parallel()
	l := newLab(t, true)
	line := l.server.joinLine()
	if !strings.Contains(line, "--login-server=http://"+labServerIP+" ") {
		t.Errorf("not the address that nodes reach: %s", strings.Split(line, " --authkey")[0])
	}
	a := startNatNode(t, l, l.nodes[0], "alpha")
	took, online := a.up(l.server, line)
	t.Logf("tailscale up of alpha took %v, online after %v", took, online)
	b := startNatNode(t, l, l.nodes[1], "beta")
	ipA := a.ip4()
	took, online = b.up(l.server, line)
	first := nsPing(t, l.nodes[1], ipA, 20*time.Second)
	ipB := b.ip4()
	back := nsPing(t, l.nodes[0], ipB, 20*time.Second)
	t.Logf("tailscale up of beta took %v, online after %v, first relayed ping %v, first one back %v", took, online, first, back)
	for _, d := range []time.Duration{first, back} {
		if d > 3*time.Second {
			t.Errorf("the first answer came after %v: a handshake was lost", d)
		}
	}

	out := a.sh("tailscale ping --c=3 --until-direct=false beta")
	if strings.Count(out, "pong from beta") != 3 || strings.Count(out, "via DERP(fairlead)") != 3 {
		t.Errorf("tailscale ping does not go through our relay:\n%s", out)
	}
	begin := time.Now()
	const size = 16 << 20
	nsTransfer(t, l.nodes[0], l.nodes[1], ipB, size)
	took = time.Since(begin)
	t.Logf("%d MiB of TCP through the relay: %.0f Mbit/s", size>>20, size*8/took.Seconds()/1e6)

	// Both UDP and ICMP are dropped, so only https to the relay, by the pin of the DERP map, can give a latency.
	r, took := a.netcheck()
	t.Logf("netcheck took %v: %+v", took, r)
	if r.UDP || r.GlobalV4 != "" {
		t.Error("UDP was meant to be blocked")
	}
	if r.PreferredDERP != 900 || r.RegionLatency[900] <= 0 {
		t.Error("netcheck did not measure the relay over https")
	}
	for _, n := range []*natNode{a, b} {
		if s := n.sh("tailscale status"); strings.Contains(s, "direct") {
			t.Errorf("%s has a direct path:\n%s", n.name, s)
		}
	}
}

func TestTwoNATsWithUDP(t *testing.T) {
	t.Parallel()
	l := newLab(t, false)
	line := l.server.joinLine()
	a := startNatNode(t, l, l.nodes[0], "alpha")
	took, online := a.up(l.server, line)
	t.Logf("tailscale up of alpha took %v, online after %v", took, online)
	edge := startNatNode(t, l, l.nodes[1], "some-host")
	ipA := a.ip4()
	// What K3s guides print.
	took, online = edge.up(l.server, line+" --advertise-tags=tag:k3s,tag:edge --hostname=edge-node-01")
	first := nsPing(t, l.nodes[1], ipA, 20*time.Second)
	t.Logf("tailscale up of the edge node took %v, online after %v, first ping %v", took, online, first)
	if first > 3*time.Second {
		t.Errorf("the first answer came after %v", first)
	}
	nsPing(t, l.nodes[0], edge.ip4(), 20*time.Second)

	info := l.server.nodeNamed("edge-node-01")
	if info == nil || strings.Join(info.Tags, " ") != "tag:edge tag:k3s" || !info.Online {
		t.Errorf("the server has the edge node as %+v", info)
	}
	for i, n := range []*natNode{a, edge} {
		r, took := n.netcheck()
		t.Logf("netcheck of %s took %v: %+v", n.name, took, r)
		if !r.UDP || !strings.HasPrefix(r.GlobalV4, labNATIPs[i]+":") {
			t.Errorf("%s did not learn its address %s by STUN", n.name, labNATIPs[i])
		}
		if r.PreferredDERP != 900 {
			t.Errorf("%s has no home relay", n.name)
		}
		var st struct{ Self struct{ Addrs []string } }
		if err := json.Unmarshal([]byte(n.sh("tailscale status --json")), &st); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(strings.Join(st.Self.Addrs, " "), labNATIPs[i]+":") {
			t.Errorf("no endpoint of type STUN among %v of %s", st.Self.Addrs, n.name)
		}
	}
	// Whether it is direct depends on the kernel's NAT; that it answers does not.
	out, _ := a.try("tailscale ping --c=10 edge-node-01")
	if !strings.Contains(out, "pong from edge-node-01") {
		t.Errorf("tailscale ping:\n%s", out)
	}
	t.Logf("tailscale ping:\n%s", out)
}
