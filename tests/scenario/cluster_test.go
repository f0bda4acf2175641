// K3s clusters: what `fairlead clusters create` prints works when it is used as K3s uses it; routes that nodes advertise
// after they registered are approved and seen by peers within a second; pods reach pods of their cluster and nothing else
// does; a second cluster gets other ranges; clusters that claim the same are told everywhere, once, and refused where that
// is wanted. And what servers among the nodes are given: the attributes that keep them in the mesh.
package scenario

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"tailscale.com/ipn"
	"tailscale.com/tailcfg"
)

type clusterInfo struct {
	Name, Tag, Key, KeyID  string
	Recorded               bool
	PodCIDRs, ServiceCIDRs []string
	Nodes, NodesOnline     int
	Routes                 []string
	Lines                  map[string]string
}

type clusterList struct {
	Clusters  []clusterInfo
	Conflicts []struct {
		Text     string
		Clusters []string
		Prefixes []string
		Nodes    []struct{ ID, Name string }
	}
}

func (s *server) newCluster(name string, flags ...string) (c clusterInfo) {
	s.t.Helper()
	s.cliJSON(&c, append([]string{"clusters", "create", name}, flags...)...)
	return c
}

func (s *server) clusters() (l clusterList) {
	s.t.Helper()
	s.cliJSON(&l, "clusters", "list")
	return l
}

// k3sUp is the command that K3s makes of its option (pkg/vpn/vpn.go of k3s-io/k3s): everything before ",extraArgs=" is
// split at commas, each piece at "=", of which the second field is kept; then `tailscale up` with --reset.
func k3sUp(t *testing.T, vpnAuth string) []string {
	t.Helper()
	front, extra, _ := strings.Cut(vpnAuth, ",extraArgs=")
	fields := map[string]string{}
	for _, piece := range strings.Split(front, ",") {
		parts := strings.Split(piece, "=")
		if len(parts) < 2 {
			t.Fatalf("K3s does not take %q", piece)
		}
		fields[parts[0]] = parts[1]
	}
	if fields["name"] != "tailscale" || len(fields) != 3 {
		t.Fatalf("K3s does not take %v", fields)
	}
	return append([]string{"up", "--authkey", fields["joinKey"], "--timeout=30s", "--reset", "--login-server",
		fields["controlServerURL"]}, strings.Fields(extra)...)
}

// vpnAuth is the value of the option in a printed line.
func vpnAuth(t *testing.T, line string) string {
	t.Helper()
	_, after, ok := strings.Cut(line, `--vpn-auth="`)
	value, rest, ok2 := strings.Cut(after, `"`)
	if !ok || !ok2 || rest != "" {
		t.Fatalf("no --vpn-auth at the end of %s", line)
	}
	return value
}

// advertise is what K3s does once the node has its pods' range.
func (n *node) advertise(routes ...string) {
	n.t.Helper()
	p := &ipn.MaskedPrefs{AdvertiseRoutesSet: true, RouteAllSet: true}
	p.RouteAll = true
	for _, r := range routes {
		p.AdvertiseRoutes = append(p.AdvertiseRoutes, netip.MustParsePrefix(r))
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if _, err := n.lc.EditPrefs(ctx, p); err != nil {
		n.t.Fatal(err)
	}
}

// seesRoute: is the other node its way to the prefix?
func (n *node) seesRoute(hostname, prefix string) bool {
	n.t.Helper()
	p := n.peer(hostname)
	return p != nil && p.AllowedIPs != nil && slices.Contains(p.AllowedIPs.AsSlice(), netip.MustParsePrefix(prefix))
}

// allows: does the node's filter let packets from there to that address in?
func (n *node) allows(from, to string) bool {
	n.t.Helper()
	covers := func(list, ip string) bool {
		if list == "*" {
			return true
		}
		if lo, hi, ok := strings.Cut(list, "-"); ok {
			a := netip.MustParseAddr(ip)
			return netip.MustParseAddr(lo).Compare(a) <= 0 && a.Compare(netip.MustParseAddr(hi)) <= 0
		}
		if !strings.Contains(list, "/") {
			return list == ip
		}
		return netip.MustParsePrefix(list).Contains(netip.MustParseAddr(ip))
	}
	for _, r := range n.netMap().PacketFilterRules.All() {
		src := slices.ContainsFunc(r.SrcIPs, func(s string) bool { return covers(s, from) })
		dst := slices.ContainsFunc(r.DstPorts, func(d tailcfg.NetPortRange) bool { return covers(d.IP, to) })
		if src && dst {
			return true
		}
	}
	return false
}

const ownOnly = `// people
{
  "acls": [
    // themselves
    {"action": "accept", "src": ["autogroup:member"], "dst": ["autogroup:self:*"]},
  ],
}
`

func TestClusters(t *testing.T) {
	s := startServer(t)
	s.setPolicy(ownOnly)
	a := s.newCluster("edge-a")
	if !slices.Equal(a.PodCIDRs, []string{"10.42.0.0/16"}) || !slices.Equal(a.ServiceCIDRs, []string{"10.43.0.0/16"}) ||
		a.Tag != "tag:k3s-edge-a" {
		t.Fatalf("%+v", a)
	}
	b := s.newCluster("edge-b", "--dual-stack")
	if b.PodCIDRs[0] != "10.44.0.0/16" || b.ServiceCIDRs[0] != "10.45.0.0/16" || len(b.PodCIDRs) != 2 {
		t.Fatalf("%+v", b)
	}
	pods6 := netip.MustParsePrefix(b.PodCIDRs[1])
	policy := s.policy().Text
	for _, want := range []string{"// people\n", "    // themselves\n", `"10.42.0.0/16": ["tag:k3s-edge-a"]`,
		`"src": ["tag:k3s-edge-a", "10.42.0.0/16"]`, `"dst": ["tag:k3s-edge-a:*", "10.42.0.0/16:*"]`, pods6.String()} {
		if !strings.Contains(policy, want) {
			t.Errorf("the policy lacks %s:\n%s", want, policy)
		}
	}

	a1, a2 := joinedNode(t, s, "a-1", a.Key), joinedNode(t, s, "a-2", a.Key)
	b1, b2 := joinedNode(t, s, "b-1", b.Key), joinedNode(t, s, "b-2", b.Key)
	laptop := joinedNode(t, s, "laptop", s.newKey().Key)
	if n := s.nodeNamed("a-1"); !slices.Equal(n.Tags, []string{"tag:k3s-edge-a"}) {
		t.Fatalf("%+v", n)
	}

	// Advertised after registration, approved and seen by the peer within a second.
	begin := time.Now()
	a1.advertise("10.42.0.0/24")
	eventually(t, time.Second, "the peer has the route", func() bool { return a2.seesRoute("a-1", "10.42.0.0/24") })
	t.Logf("approved and seen after %v", time.Since(begin))
	a2.advertise("10.42.1.0/24")
	node6 := netip.PrefixFrom(pods6.Addr(), 64).String()
	begin = time.Now()
	b1.advertise("10.44.0.0/24", node6)
	eventually(t, time.Second, "both families", func() bool {
		return b2.seesRoute("b-1", "10.44.0.0/24") && b2.seesRoute("b-1", node6)
	})
	t.Logf("both families after %v", time.Since(begin))
	eventually(t, time.Second, "the other way", func() bool { return a1.seesRoute("a-2", "10.42.1.0/24") })

	// Pods reach pods and nodes of their cluster, and nothing else does.
	for _, c := range []struct {
		on       *node
		from, to string
		want     bool
	}{
		{a2, "10.42.0.7", "10.42.1.7", true}, {a2, "10.42.0.7", a2.ip4().String(), true},
		{a2, a1.ip4().String(), "10.42.1.7", true}, {a2, a1.ip4().String(), a2.ip4().String(), true},
		{a2, "10.44.0.7", "10.42.1.7", false}, {a2, b1.ip4().String(), "10.42.1.7", false},
		{a2, laptop.ip4().String(), "10.42.1.7", false}, {a2, laptop.ip4().String(), a2.ip4().String(), false},
		{b1, "10.44.1.9", "10.44.0.7", true}, {b1, "10.42.1.9", "10.44.0.7", false},
	} {
		if got := c.on.allows(c.from, c.to); got != c.want {
			t.Errorf("%s lets %s to %s in: %v", c.on.ts.Hostname, c.from, c.to, got)
		}
	}
	if !b1.allows(pods6.Addr().Next().Next().String(), pods6.Addr().Next().String()) {
		t.Error("pods do not reach pods by IPv6")
	}
	if len(laptop.status().Peer) != 0 || a1.peer("b-1") != nil || b1.peer("a-1") != nil {
		t.Error("clusters, or the laptop, see each other")
	}
	if l := s.clusters(); len(l.Clusters) != 2 || len(l.Conflicts) != 0 || l.Clusters[0].NodesOnline != 2 ||
		!slices.Equal(l.Clusters[0].Routes, []string{"10.42.0.0/24", "10.42.1.0/24"}) {
		t.Errorf("%+v", l)
	}
	conflicts(t, s, a1, b1)
}

// conflicts: a node of one cluster claims pods of the other.
func conflicts(t *testing.T, s *server, a1, b1 *node) {
	const line = "clusters edge-a and edge-b both claim 10.42.0.0/24"
	begin := time.Now()
	b1.advertise("10.44.0.0/24", "10.42.0.0/24")
	eventually(t, time.Second, "the conflict is found", func() bool { return len(s.clusters().Conflicts) == 1 })
	t.Logf("found after %v", time.Since(begin))
	c := s.clusters().Conflicts[0]
	if c.Text != line || !slices.Equal(c.Clusters, []string{"edge-a", "edge-b"}) || len(c.Nodes) != 2 {
		t.Errorf("%+v", c)
	}
	if out := s.cli("clusters", "list"); !strings.Contains(out, "CONFLICT: "+line) {
		t.Error(out)
	}
	if out := s.cli("status"); !strings.Contains(out, "CONFLICT: "+line) {
		t.Error(out)
	}
	if v := s.metric("fairlead_cluster_conflicts"); v != 1 {
		t.Errorf("metric: %v", v)
	}
	healthy := func(n *node) bool {
		return !slices.ContainsFunc(n.status().Health, func(h string) bool { return strings.Contains(h, line) })
	}
	eventually(t, 5*time.Second, "both nodes' clients say so", func() bool { return !healthy(a1) && !healthy(b1) })
	audits := func(what string) int { return strings.Count(s.cli("audit", "list"), what+" ") }
	told := func() int { return strings.Count(s.log.String(), `event="clusters claim the same addresses`) }
	if audits("cluster.conflict") != 1 || told() != 1 {
		t.Errorf("recorded %d times, logged %d times", audits("cluster.conflict"), told())
	}
	b1.advertise("10.44.0.0/24")
	eventually(t, time.Second, "it is over", func() bool { return len(s.clusters().Conflicts) == 0 })
	eventually(t, 5*time.Second, "the clients say so no longer", func() bool { return healthy(a1) && healthy(b1) })
	if v := s.metric("fairlead_cluster_conflicts"); v != 0 || audits("cluster.conflict_end") != 1 {
		t.Errorf("metric %v, %d records of the end", v, audits("cluster.conflict_end"))
	}

	// Two that exist already with one range: only by force, and not where overlaps are refused.
	if _, err := s.tryCLI("clusters", "create", "lab", "--pod-cidr", "10.42.0.0/16"); err == nil ||
		!strings.Contains(err.Error(), "10.42.0.0/16 overlaps 10.42.0.0/16 of cluster edge-a") {
		t.Errorf("%v", err)
	}
	s.newCluster("lab", "--pod-cidr", "10.42.0.0/16", "--force")
	eventually(t, time.Second, "the conflict of records is found", func() bool { return len(s.clusters().Conflicts) == 1 })
	s.cli("clusters", "delete", "lab")
	eventually(t, time.Second, "it is over", func() bool { return len(s.clusters().Conflicts) == 0 })
	s.cli("settings", "set", "refuse-cluster-overlap", "on")
	if _, err := s.tryCLI("clusters", "create", "lab", "--pod-cidr", "10.42.0.0/16", "--force"); err == nil ||
		!strings.Contains(err.Error(), "overlapping ranges are refused") {
		t.Errorf("%v", err)
	}
}

// What the policy approves is refused all the same when another cluster claims it, until that ends.
func TestClusterOverlapRefused(t *testing.T) {
	s := startServer(t)
	a, b := s.newCluster("edge-a"), s.newCluster("edge-b")
	b1, b2 := joinedNode(t, s, "b-1", b.Key), joinedNode(t, s, "b-2", b.Key)
	a1 := joinedNode(t, s, "a-1", a.Key)
	s.setPolicy(strings.Replace(s.policy().Text, `"10.42.0.0/16": ["tag:k3s-edge-a"]`,
		`"10.42.0.0/16": ["tag:k3s-edge-a", "tag:k3s-edge-b"]`, 1))
	s.cli("settings", "set", "refuse-cluster-overlap", "on")
	a1.advertise("10.42.1.0/24")
	b1.advertise("10.44.0.0/24", "10.42.7.0/24")
	eventually(t, 2*time.Second, "its own range is approved", func() bool { return b2.seesRoute("b-1", "10.44.0.0/24") })
	eventually(t, 2*time.Second, "that of the other cluster, too", func() bool { return b2.seesRoute("a-1", "10.42.1.0/24") })
	eventually(t, 2*time.Second, "the conflict is told", func() bool { return len(s.clusters().Conflicts) == 1 })
	if b2.seesRoute("b-1", "10.42.7.0/24") {
		t.Error("a range of edge-a is routed to edge-b")
	}
	if !strings.Contains(s.log.String(), "10.42.7.0/24 is not approved: cluster edge-a has 10.42.0.0/16") {
		t.Error("the log does not say why")
	}
	// edge-a has another range now: what was refused is right.
	a1.advertise()
	s.cli("clusters", "set", "edge-a", "--pod-cidr", "10.60.0.0/16", "--keep-policy")
	eventually(t, 2*time.Second, "it is approved", func() bool { return b2.seesRoute("b-1", "10.42.7.0/24") })
}

// In the kernels of two machines behind NATs, with the commands that K3s runs: pods reach pods with their own addresses,
// under a policy that allows nothing else. Stopping and starting K3s everywhere deletes and renumbers nothing.
func TestClusterPods(t *testing.T) {
	t.Parallel()
	l := newLab(t, false)
	s := l.server
	s.setPolicy(ownOnly)
	c := s.newCluster("edge")
	up := "tailscale " + strings.Join(k3sUp(t, vpnAuth(t, c.Lines["vpnAuthServer"])), " ")
	if !strings.Contains(up, " --authkey "+c.Key+" ") || !strings.Contains(up, " --login-server http://"+labServerIP+" ") ||
		!strings.HasSuffix(up, " --accept-dns=false") {
		t.Fatalf("K3s would run %s", strings.ReplaceAll(up, c.Key, "KEY"))
	}
	nodes := [2]*natNode{startNatNode(t, l, l.nodes[0], "edge-1"), startNatNode(t, l, l.nodes[1], "edge-2")}
	pods := [2]netip.Addr{netip.MustParseAddr("10.42.0.5"), netip.MustParseAddr("10.42.1.5")}
	for i, n := range nodes {
		begin := time.Now()
		n.sh(up)
		t.Logf("%s: up in %v", n.name, time.Since(begin))
		run(t, "", "ip", "-n", l.nodes[i], "address", "add", pods[i].String()+"/32", "dev", "lo")
		n.sh(fmt.Sprintf("tailscale set --accept-routes --advertise-routes=10.42.%d.0/24", i))
	}
	reach := func(when string) {
		t.Helper()
		for i, ns := range l.nodes {
			took := nsPingFrom(t, ns, pods[i].String(), pods[1-i], 20*time.Second)
			t.Logf("%s: pod %v reaches pod %v after %v", when, pods[i], pods[1-i], took)
		}
	}
	reach("first")
	before := s.nodes()
	if len(before) != 2 || !slices.Equal(before[0].Tags, []string{"tag:k3s-edge"}) {
		t.Fatalf("%+v", before)
	}

	for _, n := range nodes {
		n.sh("tailscale down")
	}
	eventually(t, 20*time.Second, "both are offline", func() bool { return s.clusters().Clusters[0].NodesOnline == 0 })
	for i, n := range nodes {
		n.sh(up) // K3s does so unless the client is running
		n.sh(fmt.Sprintf("tailscale set --accept-routes --advertise-routes=10.42.%d.0/24", i))
	}
	reach("after a restart of all")
	after := s.nodes()
	for i := range before {
		if i >= len(after) || after[i].ID != before[i].ID || !slices.Equal(after[i].Addresses, before[i].Addresses) ||
			!slices.Equal(after[i].Tags, before[i].Tags) || after[i].Name != before[i].Name {
			t.Errorf("%+v became %+v", before[i], after)
		}
	}
	if _, err := s.tryCLI("keys", "create", "--ephemeral", "--tags", c.Tag); err == nil || !strings.Contains(err.Error(), "is the tag of cluster edge") {
		t.Errorf("an ephemeral key: %v", err)
	}
}

// K3s gives a join 30 s, also when the server came back a moment ago and 500 others connect and register again.
func TestClusterJoinInStorm(t *testing.T) {
	const others = 500
	s := startServer(t, "--limits-half-open-per-source=1000") // they are all one machine here
	c, key := s.newCluster("edge"), s.newKey("--reusable").Key
	nodes := make([]*lightNode, others)
	ctx, cancel := context.WithTimeout(context.Background(), 120*time.Second)
	defer cancel()
	join := func(i int) error {
		if nodes[i] == nil {
			nodes[i] = newLightNode(s, fmt.Sprintf("other-%d", i))
		}
		return nodes[i].join(ctx, key)
	}
	defer func() {
		for _, n := range nodes {
			if n != nil {
				n.close()
			}
		}
	}()
	if err := parallel(others, 50, join); err != nil {
		t.Fatal(err)
	}
	s.kill()
	for _, n := range nodes {
		n.close()
	}
	s.start()
	again := make(chan error, 1)
	go func() { again <- parallel(others, others, join) }()
	n := newNode(t, nodeOptions{url: s.url, key: c.Key, hostname: "edge-1"})
	_, took, err := n.up(30 * time.Second)
	if err != nil {
		t.Fatalf("not up after %v: %v", took, err)
	}
	t.Logf("up after %v while %d others came back", took, others)
	if err := <-again; err != nil {
		t.Error(err)
	}
	if got := len(s.nodes()); got != others+1 {
		t.Errorf("%d nodes", got)
	}
}

// The API, for what the command does not do: faults are named, nothing is left of what was refused.
func TestClustersAPI(t *testing.T) {
	s := startServer(t)
	key := s.apiKey()
	ask := func(method, path, body string) (int, string) {
		t.Helper()
		req, err := http.NewRequest(method, s.url+"/api/fairlead/v1"+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.SetBasicAuth(key, "")
		req.Header.Set("Content-Type", "application/json")
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		var v any
		if err := json.NewDecoder(res.Body).Decode(&v); err != nil {
			t.Fatal(err)
		}
		text, _ := json.Marshal(v)
		return res.StatusCode, string(text)
	}
	for _, c := range []struct {
		method, path, body string
		status             int
		want               string
	}{
		{"GET", "/clusters", "", 200, `"clusters":[],"conflicts":[]`},
		{"GET", "/clusters/none", "", 404, `there is no cluster`},
		{"POST", "/clusters", `{}`, 400, `is no name of a cluster`},
		{"POST", "/clusters", `{"name": "Edge"}`, 400, `is no name of a cluster`},
		{"POST", "/clusters", `{"name": "edge", "pods": []}`, 400, `unknown member`},
		{"POST", "/clusters", `{"name": "edge", "podCIDRs": ["x"]}`, 400, `is no network prefix`},
		{"POST", "/clusters", `{"name": "edge", "podCIDRs": ["10.42.0.0/16", "10.44.0.0/16"]}`, 400, `one prefix of IPv4`},
		{"POST", "/clusters", `{"name": "edge", "podCIDRs": ["10.42.0.0/30"]}`, 400, `K3s takes IPv4 prefixes`},
		{"POST", "/clusters", `{"name": "edge", "podCIDRs": ["100.64.0.0/16"], "force": true}`, 400, `own addresses`},
		{"POST", "/clusters", `{"name": "edge", "server": "https://x; rm"}`, 400, `is no URL of a K3s server`},
		{"POST", "/clusters", `{"name": "edge", "server": "ftp://x"}`, 400, `is no URL of a K3s server`},
		{"POST", "/clusters", `{"name": "edge", "user": "nobody"}`, 400, `there is no user`},
		{"POST", "/clusters", `{"name": "edge", "expirySeconds": -1}`, 400, `expirySeconds`},
		{"POST", "/clusters", `{"name": "edge", "server": "https://100.64.0.1:6443"}`, 200, `agent --server=https://100.64.0.1:6443 --token=TOKEN`},
		{"POST", "/clusters", `{"name": "edge"}`, 409, `there is a cluster edge already`},
		{"GET", "/clusters/edge", "", 200, `joinKey=KEY,`},
		{"PATCH", "/clusters/edge", `{"lanPrefixes": ["192.168.1.0/24"]}`, 200, `"lanPrefixes":["192.168.1.0/24"]`},
		{"POST", "/clusters/edge/key", `{}`, 200, `"key":"tskey-auth-`},
		{"DELETE", "/clusters/edge", "", 200, `{}`},
		{"DELETE", "/clusters/edge", "", 404, `there is no cluster`},
	} {
		status, text := ask(c.method, c.path, c.body)
		if status != c.status || !strings.Contains(text, c.want) {
			t.Errorf("%s %s %s: %d %s", c.method, c.path, c.body, status, text)
		}
	}
	if out := s.cli("keys", "list"); strings.Count(out, "tag:k3s-edge") != 2 || strings.Count(out, "revoked") != 2 {
		t.Error(out)
	}
	if p := s.policy(); strings.Contains(p.Text, "k3s-edge") {
		t.Error(p.Text)
	}
	s.cli("users", "create", "eve", "--role", "auditor")
	key = s.apiKey("--user", "eve")
	if status, text := ask("POST", "/clusters", `{"name": "edge"}`); status != 403 {
		t.Errorf("an auditor: %d %s", status, text)
	}
}

// Tagged nodes keep their map, others do not; the CGNAT drop rule goes when the setting says so, and comes back.
func TestNodeAttributes(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	server := joinedNode(t, s, "server", s.newKey("--tags", "tag:k3s").Key)
	laptop := joinedNode(t, s, "laptop", s.newKey().Key)
	has := func(n *node, c tailcfg.NodeCapability) bool { return n.status().Self.CapMap.Contains(c) }
	if !has(server, tailcfg.NodeAttrCacheNetworkMaps) || has(laptop, tailcfg.NodeAttrCacheNetworkMaps) {
		t.Errorf("%v %v", server.status().Self.CapMap, laptop.status().Self.CapMap)
	}
	for _, n := range []*node{server, laptop} {
		if !has(n, tailcfg.CapabilityFileSharing) || has(n, tailcfg.NodeAttrDisableLinuxCGNATDropRule) ||
			has(n, tailcfg.NodeAttrRandomizeClientPort) {
			t.Errorf("%v", n.status().Self.CapMap)
		}
	}
	both := func(what string, c tailcfg.NodeCapability, want bool) {
		t.Helper()
		eventually(t, time.Second, what, func() bool { return has(server, c) == want && has(laptop, c) == want })
	}
	s.cli("settings", "set", "disable-cgnat-drop-rule", "on")
	both("the rule goes", tailcfg.NodeAttrDisableLinuxCGNATDropRule, true)
	s.setPolicy(`{"randomizeClientPort": true, "nodeAttrs": [{"target": ["*"], "attr": ["cache-network-maps"]}]}`)
	both("a policy randomises ports", tailcfg.NodeAttrRandomizeClientPort, true)
	both("a policy adds to what there is", tailcfg.NodeAttrCacheNetworkMaps, true)
	s.cli("settings", "set", "disable-cgnat-drop-rule", "off")
	both("the rule is back", tailcfg.NodeAttrDisableLinuxCGNATDropRule, false)
	s.cli("nodes", "tag", "laptop", "tag:k3s")
	s.setPolicy(`{"tagOwners": {"tag:k3s": []}}`)
	both("what is tagged later keeps its map as well", tailcfg.NodeAttrCacheNetworkMaps, true)
	s.kill()
	s.start()
	eventually(t, 60*time.Second, "the same after a restart", func() bool { return s.nodeNamed("laptop").Online })
	both("after a restart", tailcfg.NodeAttrCacheNetworkMaps, true)
}
