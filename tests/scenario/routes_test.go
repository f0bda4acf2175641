// Routes with real clients: approved by the policy as K3s advertises them, by the API, withdrawn; exit nodes, via
// grants, 4via6; several routers of one network, one of which is killed, or hangs.
package scenario

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"tailscale.com/tailcfg"
)

func prefixes(texts ...string) (out []netip.Prefix) {
	for _, s := range texts {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

// routesOf is what n may send to that peer besides its own addresses.
func (n *node) routesOf(hostname string) string {
	p := n.peer(hostname)
	if p == nil || p.AllowedIPs == nil {
		return "not there"
	}
	var out []string
	for _, r := range p.AllowedIPs.All() {
		if !r.IsSingleIP() {
			out = append(out, r.String())
		}
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

func (n *node) awaitRoutes(hostname, want string, within time.Duration) {
	n.t.Helper()
	begin := time.Now()
	for n.routesOf(hostname) != want {
		if time.Since(begin) > within {
			n.t.Fatalf("%s has %q of %s after %v, not %q", n.ts.Hostname, n.routesOf(hostname), hostname, within, want)
		}
		time.Sleep(10 * time.Millisecond)
	}
	n.t.Logf("%s has %q of %s after %v", n.ts.Hostname, want, hostname, time.Since(begin))
}

type routeInfo struct {
	ID, Name, Prefix                                       string
	Advertised, Approved, Primary, ByPolicy, AnswersProbes bool
}

// routes is what the command lists of the node, by prefix.
func (s *server) routes(node string) map[string]routeInfo {
	s.t.Helper()
	var list struct{ Routes []routeInfo }
	s.cliJSON(&list, "routes", "list", node)
	out := map[string]routeInfo{}
	for _, r := range list.Routes {
		out[r.Prefix] = r
	}
	return out
}

// What K3s does: the node joins, and advertises its part of the pods' network later; the policy has the whole of it.
func TestRoutesApprovedByPolicy(t *testing.T) {
	s := startServer(t)
	s.setPolicy(`{
		"tagOwners": {"tag:k3s": []},
		"autoApprovers": {"routes": {"10.42.0.0/16": ["tag:k3s"], "2001:cafe:42::/56": ["tag:k3s"]}},
		"acls": [{"action": "accept", "src": ["tag:k3s", "10.42.0.0/16", "2001:cafe:42::/56"],
			"dst": ["tag:k3s:*", "10.42.0.0/16:*", "2001:cafe:42::/56:*"]}],
	}`)
	k := s.newKey("--reusable", "--tags", "tag:k3s").Key
	one, two := joinedNode(t, s, "one", k), joinedNode(t, s, "two", k)
	laptop := joinedNode(t, s, "laptop", s.newKey().Key)

	one.advertise("10.42.7.0/24", "2001:cafe:42:7::/64")
	two.awaitRoutes("one", "10.42.7.0/24 2001:cafe:42:7::/64", time.Second)
	if p := two.peer("one"); p.PrimaryRoutes == nil || p.PrimaryRoutes.Len() != 2 {
		t.Errorf("primary routes of one: %v", p.PrimaryRoutes)
	}
	two.advertise("10.42.8.0/24")
	one.awaitRoutes("two", "10.42.8.0/24", time.Second)
	if laptop.peer("one") != nil {
		t.Error("the laptop sees the cluster")
	}
	// Pods' packets keep their addresses: the filter of each takes what comes from all of them.
	if !two.allows("10.42.7.9", "10.42.8.9") || two.allows(laptop.ip4().String(), "10.42.8.9") {
		t.Error("the filter of two")
	}

	// Another one, and one that the policy does not have.
	one.advertise("10.42.7.0/24", "10.42.9.0/24", "192.168.7.0/24")
	two.awaitRoutes("one", "10.42.7.0/24 10.42.9.0/24", time.Second)
	if r := s.routes("one")["192.168.7.0/24"]; !r.Advertised || r.Approved || r.ByPolicy {
		t.Errorf("%+v", r)
	}
	one.advertise("10.42.9.0/24")
	two.awaitRoutes("one", "10.42.9.0/24", time.Second)
	one.advertise()
	two.awaitRoutes("one", "", time.Second)
	one.advertise("10.42.7.0/24")
	two.awaitRoutes("one", "10.42.7.0/24", time.Second)

	audit := s.cli("audit", "list", "-o", "json")
	if !strings.Contains(audit, `"node.routes"`) || !strings.Contains(audit, `"policy"`) {
		t.Error("the approval is not in the audit record")
	}
	s.kill()
	s.start()
	if !s.routes("one")["10.42.7.0/24"].Approved {
		t.Error("the approval is not there after a start")
	}
	eventually(t, 40*time.Second, "it is advertised again", func() bool {
		r := s.routes("one")["10.42.7.0/24"]
		return r.Approved && r.Primary && r.Advertised
	})
}

// Policy, tag and route in each order.
func TestRoutesApprovedInAnyOrder(t *testing.T) {
	const policy = `{"tagOwners": {"tag:r": []}, "autoApprovers": {"routes": {"10.0.0.0/8": ["tag:r"]}}, ` +
		`"acls": [{"action": "accept", "src": ["*"], "dst": ["*:*"]}]}`
	steps := map[string]func(s *server, n *node){
		"policy": func(s *server, n *node) { s.setPolicy(policy) },
		"tag":    func(s *server, n *node) { s.cli("nodes", "tag", "router", "tag:r") },
		"route":  func(s *server, n *node) { n.advertise("10.7.0.0/24") },
	}
	for _, order := range []string{"policy tag route", "tag route policy", "route policy tag", "route tag policy"} {
		t.Run(order, func(t *testing.T) {
			s := startServer(t)
			k := s.newKey("--reusable").Key
			n, peer := joinedNode(t, s, "router", k), joinedNode(t, s, "peer", k)
			words := strings.Fields(order)
			for i, step := range words {
				if got := peer.routesOf("router"); got != "" {
					t.Fatalf("%q before %s", got, step)
				}
				steps[step](s, n)
				if i < len(words)-1 {
					time.Sleep(200 * time.Millisecond)
				}
			}
			peer.awaitRoutes("router", "10.7.0.0/24", time.Second)
		})
	}
}

func TestRoutesApprovedByHand(t *testing.T) {
	s := startServer(t)
	k := s.newKey("--reusable").Key
	n, peer := joinedNode(t, s, "router", k), joinedNode(t, s, "peer", k)
	c := s.apiClient(t)
	c.APIKey = s.apiKey()
	ctx := ctxFor(t, 60*time.Second)
	devices := c.Devices()
	id := s.nodeNamed("router").ID

	n.advertise("10.1.0.0/24", "10.2.0.0/24")
	eventually(t, 3*time.Second, "they are advertised", func() bool {
		r, err := devices.SubnetRoutes(ctx, id)
		return err == nil && len(r.Advertised) == 2 && len(r.Enabled) == 0
	})
	if err := devices.SetSubnetRoutes(ctx, id, []string{"10.2.0.0/24", "10.3.0.0/24"}); err != nil {
		t.Fatal(err)
	}
	peer.awaitRoutes("router", "10.2.0.0/24", time.Second)
	n.advertise("10.2.0.0/24", "10.3.0.0/24")
	peer.awaitRoutes("router", "10.2.0.0/24 10.3.0.0/24", time.Second)
	all, err := devices.ListWithAllFields(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range all {
		if d.Hostname == "router" && (len(d.AdvertisedRoutes) != 2 || len(d.EnabledRoutes) != 2) {
			t.Errorf("%v %v", d.AdvertisedRoutes, d.EnabledRoutes)
		}
	}
	if err := devices.SetSubnetRoutes(ctx, id, []string{"10.2.0.7/24"}); err == nil {
		t.Error("host bits were taken")
	}
	if err := devices.SetSubnetRoutes(ctx, id, nil); err != nil {
		t.Fatal(err)
	}
	peer.awaitRoutes("router", "", time.Second)

	s.cli("routes", "approve", "router")
	peer.awaitRoutes("router", "10.2.0.0/24 10.3.0.0/24", time.Second)
	s.cli("routes", "unapprove", "router", "10.3.0.0/24")
	peer.awaitRoutes("router", "10.2.0.0/24", time.Second)
	s.cli("nodes", "approve-routes", "--identifier", id, "--routes", "10.3.0.0/24")
	peer.awaitRoutes("router", "10.3.0.0/24", time.Second)
	if out := s.cli("nodes", "list-routes"); !strings.Contains(out, "waits for approval") ||
		!strings.Contains(out, "primary") {
		t.Error(out)
	}
	if _, err := s.tryCLI("routes", "approve", "router", "100.64.3.0/24"); err == nil ||
		!strings.Contains(err.Error(), "addresses of the nodes") {
		t.Errorf("a route to the nodes' own addresses: %v", err)
	}

	// Prefixes of 4via6 are routes like others.
	const via = "fd7a:115c:a1e0:b1a:0:7:a01:100/120" // 10.1.1.0/24 at site 7
	n.advertise(via, "100.64.9.0/24")
	s.cli("routes", "approve", "router", via)
	peer.awaitRoutes("router", via, time.Second)
}

// v4 and v6 are approved together, and are given to whom the policy gives the internet.
func TestExitNode(t *testing.T) {
	s := startServer(t)
	s.setPolicy(`{
		"tagOwners": {"tag:exit": [], "tag:inside": []},
		"autoApprovers": {"exitNode": ["tag:exit"]},
		"acls": [{"action": "accept", "src": ["autogroup:member"], "dst": ["autogroup:internet:*"]},
			{"action": "accept", "src": ["tag:inside"], "dst": ["tag:inside:22"]}],
	}`)
	auto := joinedNode(t, s, "auto", s.newKey("--tags", "tag:exit").Key)
	hand := joinedNode(t, s, "hand", s.newKey().Key)
	user := joinedNode(t, s, "user", s.newKey().Key)
	inside := joinedNode(t, s, "inside", s.newKey("--tags", "tag:inside").Key)
	tagged := joinedNode(t, s, "tagged", s.newKey("--tags", "tag:inside").Key)

	for _, n := range []*node{auto, hand} {
		n.advertise("0.0.0.0/0", "::/0")
	}
	user.awaitRoutes("auto", "0.0.0.0/0 ::/0", time.Second)
	if p := user.peer("auto"); !p.ExitNodeOption || (p.PrimaryRoutes != nil && p.PrimaryRoutes.Len() != 0) {
		t.Errorf("%+v", p)
	}
	if user.peer("hand") != nil {
		t.Error("an exit node that nobody approved is there")
	}
	s.cli("routes", "approve", "hand", "0.0.0.0/0")
	user.awaitRoutes("hand", "0.0.0.0/0 ::/0", time.Second)
	inside.awaitRoutes("tagged", "", time.Second)
	if inside.peer("auto") != nil || tagged.peer("auto") != nil {
		t.Error("who may not use it sees it")
	}
	s.cli("routes", "unapprove", "hand", "::/0")
	user.awaitRoutes("hand", "not there", time.Second)
	user.awaitRoutes("auto", "0.0.0.0/0 ::/0", time.Second)
}

// Two routers of one network: a grant sends some through the one with the tag, whoever is primary.
func TestRouteVia(t *testing.T) {
	s := startServer(t)
	s.setPolicy(`{
		"tagOwners": {"tag:r1": [], "tag:r2": [], "tag:near": []},
		"autoApprovers": {"routes": {"10.9.0.0/16": ["tag:r1", "tag:r2"]}},
		"grants": [
			{"src": ["tag:near"], "dst": ["10.9.0.0/16"], "ip": ["*"], "via": ["tag:r2"]},
			{"src": ["autogroup:member"], "dst": ["10.9.0.0/16"], "ip": ["*"]},
		],
	}`)
	r1 := joinedNode(t, s, "r1", s.newKey("--tags", "tag:r1").Key)
	r2 := joinedNode(t, s, "r2", s.newKey("--tags", "tag:r2").Key)
	near := joinedNode(t, s, "near", s.newKey("--tags", "tag:near").Key)
	user := joinedNode(t, s, "user", s.newKey().Key)
	r1.advertise("10.9.0.0/16")
	user.awaitRoutes("r1", "10.9.0.0/16", 3*time.Second)
	r2.advertise("10.9.0.0/16")
	near.awaitRoutes("r2", "10.9.0.0/16", 3*time.Second)
	if got := near.routesOf("r1"); got != "" && got != "not there" {
		t.Errorf("%q of r1 for who goes by r2", got)
	}
	user.awaitRoutes("r1", "10.9.0.0/16", 3*time.Second)
	if got := user.routesOf("r2"); got != "" {
		t.Errorf("%q of r2, which is not primary", got)
	}
}

// A client that goes without a word, and comes back: its routes move once.
func TestRoutersComeAndGo(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	k := s.newKey("--reusable").Key
	a, b, peer := newLightNode(s, "a"), newLightNode(s, "b"), newLightNode(s, "peer")
	for _, n := range []*lightNode{a, b, peer} {
		defer n.close()
		if err := n.join(ctxFor(t, 10*time.Second), k); err != nil {
			t.Fatal(err)
		}
	}
	has := func(name string) bool {
		n := peer.peerNamed(name)
		return n != nil && slices.Contains(n.AllowedIPs, netip.MustParsePrefix("10.5.0.0/16"))
	}
	for i, n := range []*lightNode{a, b} {
		err := n.update(ctxFor(t, 5*time.Second), func(r *tailcfg.MapRequest) {
			r.Hostinfo.RoutableIPs = prefixes("10.5.0.0/16")
		})
		if err != nil {
			t.Fatal(err)
		}
		s.cli("routes", "approve", []string{"a", "b"}[i])
	}
	eventually(t, time.Second, "a has it", func() bool { return has("a") && !has("b") })
	begin := time.Now()
	a.close()
	eventually(t, 6*time.Second, "b has it", func() bool { return has("b") && !has("a") })
	t.Logf("moved %v after the connection was gone", time.Since(begin))
	if got := s.metric("fairlead_route_failovers_total"); got != 1 {
		t.Errorf("%v failovers", got)
	}
	b.close()
	time.Sleep(5 * time.Second)
	if !has("b") || has("a") {
		t.Error("a route moved although nobody is there")
	}
}

const lanHost = "10.99.0.10"

// routerLab is a server, two routers of a network with one host, and a client; all but the host in one segment.
type routerLab struct {
	*lab
	routers [2]*natNode
	client  *natNode
	lan     string
	ns      [3]string
	state   [2]string
}

func (n *natNode) signal(sig syscall.Signal) {
	n.t.Helper()
	var pid int
	fmt.Sscan(n.pid, &pid)
	if err := syscall.Kill(pid, sig); err != nil {
		n.t.Fatal(err)
	}
}

func newRouterLab(t *testing.T) *routerLab {
	t.Helper()
	needRoot(t)
	sweep(t)
	l := &routerLab{lab: &lab{clients: clientPrograms(t)}}
	core, srv, lan := newNetns(t, "core"), newNetns(t, "srv"), newNetns(t, "lan")
	l.lan = lan
	for ns, prefix := range map[string]string{core: "203.0.113.1/24", lan: lanHost + "/24"} {
		run(t, "", "ip", "-n", ns, "link", "add", "br0", "type", "bridge")
		run(t, "", "ip", "-n", ns, "link", "set", "br0", "up")
		address(t, ns, "br0", prefix, "")
	}
	attach := func(bridge, port, ns, dev, prefix, gateway string) {
		wire(t, bridge, port, ns, dev)
		run(t, "", "ip", "-n", bridge, "link", "set", port, "master", "br0")
		address(t, ns, dev, prefix, gateway)
	}
	run(t, "", "ip", "-n", core, "route", "add", "unreachable", "default")
	sysctl(t, core, "ipv4/ip_forward", "1")
	attach(core, "ps", srv, "eth0", labServerIP+"/24", "203.0.113.1")
	for i, name := range []string{"r1", "r2", "client"} {
		l.ns[i] = newNetns(t, name)
		attach(core, "p"+name, l.ns[i], "eth0", fmt.Sprintf("203.0.113.%d/24", 31+i), "203.0.113.1")
		if i < 2 {
			attach(lan, "p"+name, l.ns[i], "eth1", fmt.Sprintf("10.99.0.%d/24", 1+i), "")
			sysctl(t, l.ns[i], "ipv4/ip_forward", "1")
			l.state[i] = t.TempDir()
		}
	}
	s := newServer(t)
	s.argv = []string{"ip", "netns", "exec", srv, s.bin, "serve", "--data-dir", s.dir, "--unix-socket", s.socket}
	s.start()
	l.server = s
	s.setPolicy(`{"tagOwners": {"tag:router": []}, "autoApprovers": {"routes": {"10.99.0.0/16": ["tag:router"]}}, ` +
		`"acls": [{"action": "accept", "src": ["*"], "dst": ["*:*"]}]}`)
	up := "tailscale up --timeout=40s --login-server=http://" + labServerIP + " --authkey="
	key := s.newKey("--reusable", "--tags", "tag:router").Key
	for i, name := range []string{"r1", "r2"} {
		l.routers[i] = startNatNodeIn(t, l.lab, l.ns[i], name, l.state[i])
		l.routers[i].sh(up + key)
		l.routers[i].sh("tailscale set --advertise-routes=10.99.0.0/24")
		eventually(t, 3*time.Second, "approved", func() bool { return s.routes(name)["10.99.0.0/24"].Approved })
	}
	l.client = startNatNode(t, l.lab, l.ns[2], "client")
	l.client.sh(up + s.newKey().Key + " --accept-routes")
	return l
}

func (l *routerLab) primary() string {
	for _, name := range []string{"r1", "r2"} {
		if l.server.routes(name)["10.99.0.0/24"].Primary {
			return name
		}
	}
	return ""
}

// reach pings the host behind the routers until it answers.
func (l *routerLab) reach(t *testing.T, within time.Duration) time.Duration {
	t.Helper()
	return nsPing(t, l.ns[2], netip.MustParseAddr(lanHost), within)
}

func TestRouterFailover(t *testing.T) {
	t.Parallel()
	l := newRouterLab(t)
	t.Logf("first ping after %v", l.reach(t, 10*time.Second))
	if p := l.primary(); p != "r1" {
		t.Fatalf("%q is primary", p)
	}

	begin := time.Now()
	l.routers[0].signal(syscall.SIGKILL)
	time.Sleep(100 * time.Millisecond) // what is under way answers no more
	l.reach(t, 15*time.Second)
	t.Logf("kill -9: reached again after %v", time.Since(begin))
	if p := l.primary(); p != "r2" {
		t.Errorf("%q is primary", p)
	}

	// Back, and nothing moves.
	l.routers[0] = startNatNodeIn(t, l.lab, l.ns[0], "r1", l.state[0])
	eventually(t, 20*time.Second, "r1 is online again", func() bool { return l.server.nodeNamed("r1").Online })
	time.Sleep(12 * time.Second)
	if p := l.primary(); p != "r2" {
		t.Errorf("%q is primary", p)
	}
	l.reach(t, time.Second)

	// One that hangs keeps its connections: only the probe finds out.
	begin = time.Now()
	l.routers[1].signal(syscall.SIGSTOP)
	time.Sleep(100 * time.Millisecond)
	l.reach(t, 15*time.Second)
	t.Logf("SIGSTOP: reached again after %v", time.Since(begin))
	if r := l.server.routes("r2")["10.99.0.0/24"]; r.Primary || r.AnswersProbes {
		t.Errorf("%+v", r)
	}
	l.routers[1].signal(syscall.SIGCONT)
	eventually(t, 10*time.Second, "r2 answers again", func() bool {
		return l.server.routes("r2")["10.99.0.0/24"].AnswersProbes
	})
	time.Sleep(6 * time.Second)
	if p := l.primary(); p != "r1" {
		t.Errorf("%q is primary", p)
	}
	if got := strings.Count(l.server.log.String(), "route moved to another router"); got != 2 {
		t.Errorf("it moved %d times", got)
	}
	l.reach(t, time.Second)
}

// Packets, not only routes: out through an exit node, and to a network that several sites have, by 4via6.
func TestExitNodeAndSitesCarryPackets(t *testing.T) {
	t.Parallel()
	l := newRouterLab(t)
	s := l.server
	const outside = "198.51.100.10"
	run(t, "", "ip", "-n", l.lan, "address", "add", outside+"/32", "dev", "lo")
	run(t, "", "ip", "-n", l.ns[0], "route", "add", outside, "via", lanHost)
	r1, client := l.routers[0], l.client
	to := netip.MustParseAddr(outside)
	l.reach(t, 10*time.Second)

	r1.sh("tailscale set --advertise-exit-node")
	eventually(t, 3*time.Second, "it is offered", func() bool { return s.routes("r1")["0.0.0.0/0"].Advertised })
	if out, err := client.try("tailscale set --exit-node=r1"); err == nil {
		t.Errorf("an exit node that nobody approved is taken: %s", out)
	}
	s.cli("routes", "approve", "r1", "0.0.0.0/0")
	eventually(t, 3*time.Second, "it can be chosen", func() bool {
		_, err := client.try("tailscale set --exit-node=r1")
		return err == nil
	})
	t.Logf("out after %v", nsPing(t, l.ns[2], to, 10*time.Second))
	client.sh("tailscale set --exit-node=")
	if _, ok := nsAnswers(t, l.ns[2], "0.0.0.0", to, time.Second); ok {
		t.Error("the outside is there without an exit node: this proves nothing")
	}

	site := strings.TrimSpace(client.sh("tailscale debug via 7 10.99.0.0/24"))
	r1.sh("tailscale set --advertise-exit-node=false --advertise-routes=10.99.0.0/24," + site)
	s.cli("routes", "approve", "r1", site)
	host := netip.MustParsePrefix(site).Addr().As16()
	host[15] = 10
	var web net.Listener
	inNetns(t, l.lan, func() (err error) {
		web, err = net.Listen("tcp", lanHost+":80")
		return err
	})
	defer web.Close()
	go http.Serve(web, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "site 7") }))
	url := "http://" + netip.AddrPortFrom(netip.AddrFrom16(host), 80).String() + "/"
	eventually(t, 10*time.Second, "the host of site 7 answers", func() bool {
		_, body := nsHTTP(t, l.ns[2], "GET", url, "")
		return body == "site 7"
	})
}
