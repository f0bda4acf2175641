// The policy that K3s users paste, word for word, with routes as K3s advertises them: pods and nodes of the cluster reach
// each other through the nodes as subnet routers, approved by the policy or by hand; who is not of the cluster does not see
// it and reaches nothing of it.
package scenario

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// servePod answers on an address behind the node, as a pod there would. (A listener would not do: tsnet takes the address
// away once the connection is accepted.)
func (n *node) servePod(ip, body string) {
	n.t.Helper()
	pod := netip.AddrPortFrom(netip.MustParseAddr(ip), 80)
	stop := n.ts.RegisterFallbackTCPHandler(func(_, dst netip.AddrPort) (func(net.Conn), bool) {
		return func(c net.Conn) {
			defer c.Close()
			if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
				fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", len(body), body)
			}
		}, dst == pod
	})
	n.t.Cleanup(stop)
}

// gets waits until the page at the address is that. A handshake that was lost, because the other one was not at its relay
// yet, say, is tried again after five seconds.
func (n *node) gets(ip, want string) {
	n.t.Helper()
	eventually(n.t, 20*time.Second, n.ts.Hostname+" gets "+want, func() bool {
		body, err := n.fetch(netip.MustParseAddr(ip), time.Second)
		return err == nil && body == want
	})
}

// getsNot: what is no tailnet address for the client is asked for outside, where anybody may answer, but none of ours.
func (n *node) getsNot(ips ...string) {
	n.t.Helper()
	for _, ip := range ips {
		body, err := n.fetch(netip.MustParseAddr(ip), 500*time.Millisecond)
		if err == nil && strings.HasPrefix(body, "fairlead ") {
			n.t.Errorf("%s gets %q of %s", n.ts.Hostname, body, ip)
		}
	}
}

func TestPolicyK3sPods(t *testing.T) {
	const approvers = `"autoApprovers": {"routes": {"10.42.0.0/16": ["tag:testing-k3s"]}},`
	for name, policy := range map[string]string{
		"by hand":   k3sPolicy,
		"by policy": strings.Replace(k3sPolicy, "{\n", "{\n    \"tagOwners\": {\"tag:testing-k3s\": []}, "+approvers+"\n", 1),
	} {
		t.Run(name, func(t *testing.T) { podsBehindNodes(t, policy, name == "by hand") })
	}
}

func podsBehindNodes(t *testing.T, policy string, isByHand bool) {
	s := startServer(t)
	others := s.newKey("--tags", "tag:other").Key
	s.setPolicy(policy)
	tagged := s.newKey("--reusable", "--tags", "tag:testing-k3s").Key
	one, two := joinedNode(t, s, "one", tagged), joinedNode(t, s, "two", tagged)
	laptop := joinedNode(t, s, "laptop", s.newKey().Key)
	other := joinedNode(t, s, "other", others)
	for i, n := range []*node{one, two} {
		pods := fmt.Sprintf("10.42.%d.", i)
		n.serveHTTP("fairlead node " + n.ts.Hostname)
		n.servePod(pods+"7", "fairlead pod "+n.ts.Hostname)
		n.advertise(pods + "0/24")
		if isByHand {
			eventually(t, 3*time.Second, "it is advertised", func() bool { return s.routes(n.ts.Hostname)[pods+"0/24"].Advertised })
			one.getsNot(pods + "7")
			two.getsNot(pods + "7")
			s.cli("routes", "approve", n.ts.Hostname)
		}
	}
	two.awaitRoutes("one", "10.42.0.0/24", time.Second)
	one.awaitRoutes("two", "10.42.1.0/24", time.Second)
	one.gets("10.42.1.7", "fairlead pod two")
	two.gets("10.42.0.7", "fairlead pod one")
	one.gets(two.ip4().String(), "fairlead node two")

	// An untagged one, and one with another tag, also when they take every route that they are offered.
	for _, n := range []*node{laptop, other} {
		n.advertise()
		if peers := n.status().Peer; len(peers) != 0 {
			t.Errorf("%s sees %v", n.ts.Hostname, peers)
		}
		n.getsNot("10.42.0.7", "10.42.1.7", one.ip4().String(), two.ip4().String())
	}
	for _, c := range []struct {
		from, to string
		want     bool
	}{
		{"10.42.0.9", "10.42.1.7", true}, {"10.42.0.9", two.ip4().String(), true}, {one.ip4().String(), "10.42.1.7", true},
		{"10.43.0.1", "10.42.1.7", false}, {"192.168.1.1", two.ip4().String(), false},
		{laptop.ip4().String(), "10.42.1.7", false}, {laptop.ip4().String(), two.ip4().String(), false},
		{other.ip4().String(), "10.42.1.7", false}, {other.ip4().String(), two.ip4().String(), false},
	} {
		if got := two.allows(c.from, c.to); got != c.want {
			t.Errorf("two lets %s to %s in: %v", c.from, c.to, got)
		}
	}

	// A node that claims pods' addresses without being of the cluster gets none of their packets.
	laptop.servePod("10.42.1.7", "fairlead stolen")
	laptop.advertise("10.42.1.0/24")
	eventually(t, 3*time.Second, "the laptop's claim is known", func() bool { return s.routes("laptop")["10.42.1.0/24"].Advertised })
	if r := s.routes("laptop")["10.42.1.0/24"]; r.Approved || one.peer("laptop") != nil {
		t.Errorf("%+v", r)
	}
	one.gets("10.42.1.7", "fairlead pod two")

	// The node that leaves takes its pods along.
	two.advertise()
	one.awaitRoutes("two", "", time.Second)
	one.getsNot("10.42.1.7")
	two.advertise("10.42.1.0/24")
	one.gets("10.42.1.7", "fairlead pod two")
}

// The same policy in kernels: packets of pods keep the pods' addresses. Who is not of the cluster sends to it in vain, also
// with a route of its own making; so does a node of the cluster from an address that is no pod's.
func TestPolicyK3sPodsInKernel(t *testing.T) {
	t.Parallel()
	l := newLab(t, false)
	s := l.server
	s.setPolicy(k3sPolicy)
	outside := newNetns(t, "laptop")
	l.attach(t, outside, "eth0", "203.0.113.50")
	up := "tailscale up --accept-dns=false --timeout=40s --login-server=http://" + labServerIP + " --authkey="
	key := s.newKey("--reusable", "--tags", "tag:testing-k3s").Key
	nodes, pods := [2]*natNode{}, [2]netip.Addr{}
	for i, ns := range l.nodes {
		nodes[i] = startNatNode(t, l, ns, fmt.Sprintf("k3s-%d", i))
		pods[i] = netip.AddrFrom4([4]byte{10, 42, byte(i), 5})
		nodes[i].sh(up + key)
		run(t, "", "ip", "-n", ns, "address", "add", pods[i].String()+"/32", "dev", "lo")
		nodes[i].sh(fmt.Sprintf("tailscale set --accept-routes --advertise-routes=10.42.%d.0/24", i))
		prefix := fmt.Sprintf("10.42.%d.0/24", i)
		eventually(t, 3*time.Second, "it is advertised", func() bool { return s.routes(nodes[i].name)[prefix].Advertised })
		s.cli("routes", "approve", nodes[i].name, prefix)
	}
	for _, n := range nodes { // K3s stops without an address of its host's family
		if out := n.sh("tailscale status --json --peers=false"); !strings.Contains(out, `"100.64.0.`) ||
			!strings.Contains(out, `"fd7a:115c:a1e0::`) {
			t.Errorf("%s has not both families: %s", n.name, out)
		}
	}
	laptop := startNatNode(t, l, outside, "laptop")
	laptop.sh(up + s.newKey().Key + " --accept-routes")
	for i, ns := range l.nodes {
		t.Logf("pod %v reaches pod %v after %v", pods[i], pods[1-i], nsPingFrom(t, ns, pods[i].String(), pods[1-i], 10*time.Second))
		nsPingFrom(t, ns, pods[i].String(), nodes[1-i].ip4(), 10*time.Second)
		nsPing(t, ns, pods[1-i], 10*time.Second)
	}
	if out := laptop.sh("tailscale status"); strings.Contains(out, "k3s-") {
		t.Errorf("the laptop sees\n%s", out)
	}
	laptop.sh("ip route add 10.42.0.0/16 dev tailscale0")
	run(t, "", "ip", "-n", l.nodes[0], "address", "add", "10.43.0.5/32", "dev", "lo")
	for i := range pods {
		for _, to := range []netip.Addr{pods[i], nodes[i].ip4()} {
			if _, ok := nsAnswers(t, outside, "0.0.0.0", to, time.Second); ok {
				t.Errorf("the laptop reaches %v", to)
			}
		}
	}
	if _, ok := nsAnswers(t, l.nodes[0], "10.43.0.5", pods[1], time.Second); ok {
		t.Error("what is no pod reaches a pod")
	}
	nsPingFrom(t, l.nodes[0], pods[0].String(), pods[1], time.Second)
}

// K3s's other way, --flannel-iface=tailscale0: flannel's VXLAN between the nodes' addresses, with the pods inside; the same
// policy lets it through, no route is advertised.
func TestPolicyK3sFlannel(t *testing.T) {
	t.Parallel()
	l := newLab(t, false)
	s := l.server
	s.setPolicy(k3sPolicy)
	key := s.newKey("--reusable", "--tags", "tag:testing-k3s").Key
	nodes := [2]*natNode{}
	for i, ns := range l.nodes {
		nodes[i] = startNatNode(t, l, ns, fmt.Sprintf("k3s-%d", i))
		nodes[i].sh("tailscale up --accept-dns=false --timeout=40s --login-server=http://" + labServerIP + " --authkey=" + key)
	}
	for i, n := range nodes {
		far := nodes[1-i].ip4().String()
		n.sh("ip link add flannel.1 type vxlan id 1 dev tailscale0 local " + n.ip4().String() + " dstport 8472 nolearning")
		n.sh(fmt.Sprintf("ip link set flannel.1 address 02:00:00:00:00:0%d mtu 1230 up", i))
		n.sh(fmt.Sprintf("ip address add 10.42.%d.0/32 dev flannel.1", i))
		n.sh(fmt.Sprintf("ip neigh add 10.42.%d.0 lladdr 02:00:00:00:00:0%d dev flannel.1 nud permanent", 1-i, 1-i))
		n.sh(fmt.Sprintf("bridge fdb add 02:00:00:00:00:0%d dst %s dev flannel.1", 1-i, far))
		n.sh(fmt.Sprintf("ip route add 10.42.%d.0/24 via 10.42.%d.0 dev flannel.1 onlink", 1-i, 1-i))
		n.sh(fmt.Sprintf("ip address add 10.42.%d.5/32 dev lo", i))
	}
	for i, ns := range l.nodes {
		to := netip.AddrFrom4([4]byte{10, 42, byte(1 - i), 5})
		t.Logf("to pod %v after %v", to, nsPingFrom(t, ns, fmt.Sprintf("10.42.%d.5", i), to, 15*time.Second))
	}
	nsTransfer(t, l.nodes[0], l.nodes[1], netip.MustParseAddr("10.42.1.5"), 4<<20)
	// Without the tag's rule it is over.
	s.setPolicy(`{"acls": [{"action": "accept", "src": ["tag:testing-k3s"], "dst": ["tag:testing-k3s:6443"]}]}`)
	eventually(t, 10*time.Second, "VXLAN is not let through", func() bool {
		_, ok := nsAnswers(t, l.nodes[0], "10.42.0.5", netip.MustParseAddr("10.42.1.5"), time.Second)
		return !ok
	})
}

// Where everything is allowed, pods come through by their nodes' approved routes, and by nothing else: `*` is the tailnet and
// what is routed to it.
func TestOpenPolicyAndPods(t *testing.T) {
	s := startServer(t)
	tagged := s.newKey("--reusable", "--tags", "tag:k3s").Key
	one, two := joinedNode(t, s, "one", tagged), joinedNode(t, s, "two", tagged)
	for _, policy := range []string{"{}", openPolicy} {
		s.setPolicy(policy)
		one.advertise("10.42.0.0/24")
		two.advertise("10.42.1.0/24")
		s.cli("routes", "unapprove", "one", "10.42.0.0/24")
		eventually(t, inForceWithin, "pods of one are strangers", func() bool { return !two.allows("10.42.0.9", "10.42.1.9") })
		s.cli("routes", "approve", "one", "10.42.0.0/24")
		eventually(t, inForceWithin, "pods of one are let in", func() bool { return two.allows("10.42.0.9", "10.42.1.9") })
		if two.allows("10.43.0.9", "10.42.1.9") || two.allows("192.168.1.9", two.ip4().String()) {
			t.Error("what nobody routes is let in")
		}
	}
}
