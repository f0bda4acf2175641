// Proves that the oldest client that the server claims to serve understands all that it sends: the client of that version
// (oldclient, a module of its own) and one of now are led through every form of message; what both hold then is the same.
package scenario

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"tailscale.com/tailcfg"
	"tailscale.com/types/key"
)

// otherPrograms builds the client of the oldest version and that of now, and returns their directory.
var otherPrograms = sync.OnceValues(func() (string, error) {
	dir, err := filepath.Abs(".cache")
	if err != nil {
		return "", err
	}
	for _, c := range []struct{ dir, pkg string }{{"oldclient", "."}, {".", "./cmd/mapclient"}} {
		cmd := exec.Command("go", "build", "-o", dir+"/", c.pkg)
		cmd.Dir = c.dir
		if text, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("cannot build %s in %s: %v\n%s", c.pkg, c.dir, err, text)
		}
	}
	return dir, nil
})

// otherClient is a client in a process of its own.
type otherClient struct {
	t    *testing.T
	name string
	in   io.WriteCloser
	out  *bufio.Reader
}

func startOther(t *testing.T, s *server, program, hostname, authKey string, flags ...string) *otherClient {
	t.Helper()
	dir, err := otherPrograms()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(filepath.Join(dir, program), append([]string{"-login-server", "http://" + s.plain(), "-authkey", authKey,
		"-hostname", hostname}, flags...)...)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	log := &logBuffer{}
	cmd.Stderr = log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("%s ended: %v\n%s", hostname, err, log)
		}
	})
	return &otherClient{t: t, name: hostname, in: in, out: bufio.NewReader(out)}
}

func (c *otherClient) report(v any) {
	c.t.Helper()
	_, err := io.WriteString(c.in, "\n")
	var line []byte
	if err == nil {
		line, err = c.out.ReadBytes('\n')
	}
	if err == nil {
		err = json.Unmarshal(line, v)
	}
	if err != nil {
		c.t.Fatalf("%s says nothing: %v", c.name, err)
	}
}

// otherMap is what a map client holds, as its own version of the module writes it.
type otherMap struct {
	Capability                              int
	Self                                    tailcfg.Node
	Peers                                   map[string]any
	DNS, Filter, Matches, SSH, DERP, Domain any
	Profiles                                map[string]string
	Health                                  []string
	Failed                                  string
	Counters                                map[string]int64
}

// pair is the oldest client and one of now in the same tailnet.
type pair struct {
	t        *testing.T
	old, now *otherClient
}

var noMachineKey = key.MachinePublic{}.String()

// dropEmpty drops members that say nothing: versions differ in which of them they write.
func dropEmpty(x any) {
	switch x := x.(type) {
	case map[string]any:
		for name, v := range x {
			if text, _ := v.(string); v == nil || text == noMachineKey || text == "0001-01-01T00:00:00Z" {
				delete(x, name)
			}
			dropEmpty(v)
		}
	case []any:
		for _, v := range x {
			dropEmpty(v)
		}
	}
}

// held is what a client holds without what is its own: itself, the other one of the pair, its addresses.
func (p *pair) held(c *otherClient) (m otherMap) {
	p.t.Helper()
	c.report(&m)
	for _, x := range []any{m.Peers, m.DNS, m.Filter, m.SSH, m.DERP} {
		dropEmpty(x)
	}
	delete(m.Peers, p.old.name)
	delete(m.Peers, p.now.name)
	if m.Self.Addresses == nil {
		return m
	}
	var own []string
	for _, a := range m.Self.Addresses {
		own = append(own, a.Addr().String(), "SELF")
	}
	b, err := json.Marshal(m.Filter)
	if err == nil {
		err = json.Unmarshal([]byte(strings.NewReplacer(own...).Replace(string(b))), &m.Filter)
	}
	if err != nil {
		p.t.Fatal(err)
	}
	return m
}

func (m *otherMap) difference(o *otherMap) string {
	a := map[string]any{"dns": m.DNS, "filter": m.Filter, "matches": m.Matches, "ssh": m.SSH, "derp": m.DERP,
		"domain": m.Domain, "profiles": m.Profiles, "own attributes": m.Self.CapMap, "own tags": m.Self.Tags}
	b := map[string]any{"dns": o.DNS, "filter": o.Filter, "matches": o.Matches, "ssh": o.SSH, "derp": o.DERP,
		"domain": o.Domain, "profiles": o.Profiles, "own attributes": o.Self.CapMap, "own tags": o.Self.Tags}
	for name := range maps.Keys(a) {
		if !reflect.DeepEqual(a[name], b[name]) {
			return fmt.Sprintf("%s: %v\nand %v", name, a[name], b[name])
		}
	}
	for name, x := range m.Peers {
		if !reflect.DeepEqual(x, o.Peers[name]) {
			return fmt.Sprintf("peer %s: %v\nand %v", name, x, o.Peers[name])
		}
	}
	if len(m.Peers) != len(o.Peers) {
		return fmt.Sprintf("%d peers and %d", len(m.Peers), len(o.Peers))
	}
	return ""
}

// agree waits until ok says of what both hold that the news has come, and what they hold is the same.
func (p *pair) agree(what string, ok func(m *otherMap) bool) (m otherMap) {
	p.t.Helper()
	why := ""
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		m = p.held(p.old)
		now := p.held(p.now)
		if m.Failed != "" || now.Failed != "" {
			p.t.Fatalf("%s: a stream failed: %q %q", what, m.Failed, now.Failed)
		}
		if !ok(&m) {
			why = "the oldest client has not heard of it"
		} else if !ok(&now) {
			why = "the client of now has not heard of it"
		} else if why = m.difference(&now); why == "" {
			return m
		}
	}
	p.t.Fatalf("%s: %s", what, why)
	return m
}

// patches are the module's counters of what patches have carried, and what each change needs.
func (p *pair) patched(before otherMap, kinds ...string) {
	p.t.Helper()
	after := p.held(p.old)
	for _, k := range kinds {
		if after.Counters["patch_"+k] <= before.Counters["patch_"+k] {
			p.t.Errorf("no patch with %s has come", k)
		}
	}
}

// atOnce has all nodes ask for something while the server stands still, so that it learns of it in one turn.
func atOnce(t *testing.T, s *server, nodes []*lightNode, change func(i int) func(*tailcfg.MapRequest)) {
	t.Helper()
	if err := syscall.Kill(s.pid(), syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		done <- parallel(len(nodes), len(nodes), func(i int) error {
			return bounded(20*time.Second, func(ctx context.Context) error { return nodes[i].update(ctx, change(i)) })
		})
	}()
	time.Sleep(300 * time.Millisecond)
	if err := errors.Join(syscall.Kill(s.pid(), syscall.SIGCONT), <-done); err != nil {
		t.Fatal(err)
	}
}

func field(m *otherMap, peer, name string) any {
	n, _ := m.Peers[peer].(map[string]any)
	return n[name]
}

const oldestPolicy = `{
	"tagOwners": {"tag:x": []},
	"acls": [{"action": "accept", "src": ["autogroup:member"], "dst": ["*:80", "tag:x:443"]}],
	"ssh": [{"action": "accept", "src": ["autogroup:member"], "dst": ["autogroup:self"], "users": ["root"]}],
	"nodeAttrs": [{"target": ["*"], "attr": ["randomize-client-port"]}]
}`

func TestOldestClient(t *testing.T) {
	t.Parallel()
	// A certificate authority that nobody answers for: the self-signed certificate serves until there is another.
	s := newServer(t, "--tls-letsencrypt-hostname", acmeName, "--acme-url", "https://127.0.0.1:1/dir",
		"--acme-email", "ann@example.com", "--derp-ipv4", "127.0.0.1", "--node-offline-grace-s", "1")
	s.url = fmt.Sprintf("https://%s:%d", acmeName, s.https)
	s.start()
	authKey := s.newKey("--reusable").Key
	const many = 150
	lights := joinMany(t, s, authKey, many)
	p := &pair{t: t, old: startOther(t, s, "oldclient", "oldest", authKey, "-route", "10.42.5.0/24"),
		now: startOther(t, s, "mapclient", "now", authKey, "-route", "10.42.5.0/24")}
	m := p.agree("the first map", func(m *otherMap) bool { return len(m.Peers) == many && m.DERP != nil })
	if m.Capability != int(lightVersion) {
		t.Fatalf("the oldest client is one of version %d", m.Capability)
	}

	oldestNodes(t, s, p, authKey, lights)
	oldestPatches(t, s, p, authKey, lights)
	oldestSettings(t, s, p)
	oldestMany(t, s, p, lights[10:])
	oldestWarnings(t, s, p)

	before := p.held(p.old).Counters["map_response_keepalive"]
	eventually(t, 75*time.Second, "a keep-alive for both", func() bool {
		return p.held(p.old).Counters["map_response_keepalive"] > before && p.held(p.now).Counters["map_response_keepalive"] > 0
	})
	for _, c := range []*otherClient{p.old, p.now} {
		if m := p.held(c); m.Failed != "" || m.Counters["map_requests_poll"] != 1 {
			t.Errorf("%s asked for %d streams: %s", c.name, m.Counters["map_requests_poll"], m.Failed)
		}
	}
	m = p.held(p.old)
	t.Logf("%d messages, %d of them deltas", m.Counters["map_response_message"], m.Counters["map_response_map_delta"])
}

// Whole nodes, removals and profiles.
func oldestNodes(t *testing.T, s *server, p *pair, authKey string, lights []*lightNode) {
	s.cli("nodes", "rename", "light-003", "renamed")
	p.agree("another name", func(m *otherMap) bool { return m.Peers["renamed"] != nil && m.Peers["light-003"] == nil })
	s.cli("nodes", "tag", "light-004", "tag:x")
	p.agree("tags", func(m *otherMap) bool { return reflect.DeepEqual(field(m, "light-004", "Tags"), []any{"tag:x"}) })
	s.cli("nodes", "delete", "light-005")
	p.agree("a removal", func(m *otherMap) bool { return m.Peers["light-005"] == nil })
	s.cli("users", "create", "ann")
	ann := newLightNode(s, "of-ann")
	t.Cleanup(ann.close)
	if err := ann.join(ctxFor(t, 10*time.Second), s.newKey("--user", "ann").Key); err != nil {
		t.Fatal(err)
	}
	has := func(m *otherMap, login string) bool {
		for _, x := range m.Profiles {
			if strings.HasPrefix(x, login+" ") {
				return true
			}
		}
		return false
	}
	p.agree("a new node of a new user", func(m *otherMap) bool { return m.Peers["of-ann"] != nil && has(m, "ann") })
	s.cli("users", "rename", "ann", "anna")
	p.agree("a user's other name", func(m *otherMap) bool { return has(m, "anna") })
}

// What clients take as patches: endpoints, home relay, disco key, online and last seen, expiry, node key.
func oldestPatches(t *testing.T, s *server, p *pair, authKey string, lights []*lightNode) {
	before := p.held(p.old)
	n := lights[6]
	e := endpointOf(4711)
	update := func(change func(*tailcfg.MapRequest)) {
		t.Helper()
		if err := n.update(ctxFor(t, 10*time.Second), change); err != nil {
			t.Fatal(err)
		}
	}
	update(withEndpoint(e))
	p.agree("an endpoint", func(m *otherMap) bool {
		return reflect.DeepEqual(field(m, n.hostname, "Endpoints"), []any{e.String()})
	})
	n.hostinfo.NetInfo = &tailcfg.NetInfo{PreferredDERP: 900}
	update(withEndpoint(e))
	p.agree("a home relay", func(m *otherMap) bool {
		return field(m, n.hostname, "HomeDERP") == 900.0 || field(m, n.hostname, "DERP") == "127.3.3.40:900"
	})
	n.disco = key.NewDisco()
	update(withEndpoint(e))
	p.agree("a disco key", func(m *otherMap) bool { return field(m, n.hostname, "DiscoKey") == n.disco.Public().String() })
	s.cli("nodes", "expiry", n.hostname, "30d")
	expiry := field(&before, n.hostname, "KeyExpiry")
	p.agree("an expiry", func(m *otherMap) bool { return field(m, n.hostname, "KeyExpiry") != expiry })
	n.close()
	p.agree("offline", func(m *otherMap) bool {
		return field(m, n.hostname, "Online") == false && field(m, n.hostname, "LastSeen") != nil
	})
	if err := n.join(ctxFor(t, 10*time.Second), ""); err != nil {
		t.Fatal(err)
	}
	p.agree("online", func(m *otherMap) bool { return field(m, n.hostname, "Online") == true })
	was := n.node.Public()
	n.node = key.NewNode()
	if res, err := n.registerWith(ctxFor(t, 10*time.Second), tailcfg.RegisterRequest{Version: 1, NodeKey: n.node.Public(),
		OldNodeKey: was, Hostinfo: n.hostinfo, Auth: &tailcfg.RegisterResponseAuth{AuthKey: authKey}}); err != nil ||
		res.Error != "" {
		t.Fatalf("another node key: %+v %v", res, err)
	}
	p.agree("a node key", func(m *otherMap) bool { return field(m, n.hostname, "Key") == n.node.Public().String() })
	p.patched(before, "endpoints", "derp", "discokey", "keyexpiry", "online", "lastseen", "key")
}

// What concerns the client itself or all: filter, SSH, attributes, DNS, relays, its own node.
func oldestSettings(t *testing.T, s *server, p *pair) {
	before := p.held(p.old)
	s.setPolicy(oldestPolicy)
	m := p.agree("another policy", func(m *otherMap) bool {
		_, has := m.Self.CapMap["randomize-client-port"]
		return has && !reflect.DeepEqual(m.Filter, before.Filter) && !reflect.DeepEqual(m.SSH, before.SSH)
	})
	if rules, _ := m.SSH.(map[string]any)["rules"].([]any); len(rules) == 0 || m.Matches == 0.0 {
		t.Errorf("the policy is not there: %v %v", m.SSH, m.Filter)
	}
	s.setPolicy(strings.Replace(oldestPolicy, "*:80", "*:81", 1))
	p.agree("another port", func(o *otherMap) bool { return !reflect.DeepEqual(o.Filter, m.Filter) })
	s.setPolicy(`{"acls": []}`)
	p.agree("nobody in sight", func(m *otherMap) bool { return len(m.Peers) == 0 && m.Matches == 0.0 })
	s.setPolicy(`{}`)
	p.agree("all in sight", func(m *otherMap) bool { return len(m.Peers) > 100 && m.Matches != 0.0 })

	oldestLongFilter(s, p)
	s.cli("dns", "set", "nameservers", "192.0.2.53")
	p.agree("a name server", func(m *otherMap) bool { return strings.Contains(mustJSON(m.DNS), "192.0.2.53") })
	s.cli("dns", "add", "db.example", "A", "192.0.2.7")
	p.agree("a record", func(m *otherMap) bool { return strings.Contains(mustJSON(m.DNS), "db.example") })
	s.cli("dns", "reset", "nameservers")
	p.agree("none", func(m *otherMap) bool { return !strings.Contains(mustJSON(m.DNS), "192.0.2.53") })

	if !strings.Contains(mustJSON(before.DERP), "CertName") {
		t.Fatal("the relay map has no pin of the self-signed certificate")
	}
	leaf := newSigned(t, acmeName, 7, newSigned(t, "root", 1, nil))
	dirs, err := filepath.Glob(filepath.Join(s.dir, "acme", "127*"))
	if err != nil || len(dirs) != 1 {
		t.Fatalf("%v %v", dirs, err)
	}
	for name, b := range map[string][]byte{"private/" + acmeName + "/key.pem": leaf.keyPEM, acmeName + "/cert.pem": leaf.certPEM} {
		path := filepath.Join(dirs[0], name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		writeFile(t, path, string(b))
	}
	s.hup()
	p.agree("another relay map", func(m *otherMap) bool { return !strings.Contains(mustJSON(m.DERP), "CertName") })

	for _, c := range []*otherClient{p.old, p.now} {
		s.cli("nodes", "tag", c.name, "tag:x")
	}
	p.agree("its own tags", func(m *otherMap) bool { return len(m.Self.Tags) == 1 && m.Self.User != before.Self.User })
}

// A filter that is told in parts: one rule changes, one goes, one comes, and at the end a short one takes their place.
func oldestLongFilter(s *server, p *pair) {
	rules := make([]string, 300)
	for i := range rules {
		rules[i] = fmt.Sprintf(`{"action": "accept", "src": ["10.9.%d.%d"], "dst": ["*:%d"]}`, i/250, i%250, 2000+i)
	}
	set := func(what string, rules []string, has, hasNot string) {
		s.setPolicy(`{"acls": [` + strings.Join(rules, ",") + `]}`)
		p.agree(what, func(m *otherMap) bool {
			filter := mustJSON(m.Filter)
			return strings.Contains(filter, has) && !strings.Contains(filter, hasNot) &&
				strings.Count(filter, "10.9.") == len(rules)
		})
	}
	set("300 rules", rules, `"10.9.1.49"`, "10.9.9.9")
	rules[7] = strings.Replace(rules[7], "2007", "3007", 1)
	set("another rule", rules, "3007", "2007")
	set("a rule less", rules[1:], `"10.9.0.1"`, `"10.9.0.0"`)
	set("a rule more", append(rules[1:], strings.Replace(rules[0], "10.9.0.0", "10.9.9.9", 1)), "10.9.9.9", `"10.9.0.0"`)
	set("a short filter", rules[:2], `"10.9.0.1"`, `"10.9.0.3"`)
	s.setPolicy(`{}`)
	p.agree("all in sight again", func(m *otherMap) bool { return len(m.Peers) > 100 && m.Matches != 0.0 })
}

// Deltas of more nodes than a frame has: patches, then whole nodes.
func oldestMany(t *testing.T, s *server, p *pair, lights []*lightNode) {
	const frame = 64
	for i, kind := range []string{"patches", "whole nodes"} {
		for round := 0; ; round++ {
			before := p.held(p.old).Counters["map_response_map_delta"]
			port := uint16(5000 + 1000*i + 200*round)
			atOnce(t, s, lights, func(k int) func(*tailcfg.MapRequest) {
				if i == 1 {
					lights[k].hostinfo.OSVersion = fmt.Sprint(port)
				}
				return withEndpoint(endpointOf(port + uint16(k)))
			})
			m := p.agree(kind, func(m *otherMap) bool {
				for k, n := range lights {
					want := netip.AddrPortFrom(endpointOf(0).Addr(), port+uint16(k)).String()
					if !reflect.DeepEqual(field(m, n.hostname, "Endpoints"), []any{want}) {
						return false
					}
				}
				return true
			})
			took := m.Counters["map_response_map_delta"] - before
			if int(took)*frame < len(lights) {
				t.Logf("%d nodes in %d messages", len(lights), took)
				break
			}
			if round == 5 {
				t.Fatalf("%d nodes came in %d messages: none was longer than a frame", len(lights), took)
			}
		}
	}
}

// A warning for the client's user comes and goes: both clients say that the same pods of their cluster are theirs.
func oldestWarnings(t *testing.T, s *server, p *pair) {
	c := s.newCluster("edge", "--pod-cidr", "10.42.0.0/16", "--force")
	warned := func(m *otherMap) bool { return strings.Contains(strings.Join(m.Health, " "), "cluster edge") }
	if m := p.held(p.old); warned(&m) {
		t.Fatalf("warned before: %q", m.Health)
	}
	for _, n := range []string{p.old.name, p.now.name} {
		s.cli("nodes", "tag", n, c.Tag)
	}
	p.agree("a warning", warned)
	for _, n := range []string{p.old.name, p.now.name} {
		s.cli("nodes", "tag", n, "tag:x")
	}
	p.agree("no warning", func(m *otherMap) bool { return !warned(m) })
}

// TestOldestRealClient: a whole client of that version joins, is reached and reaches, and comes back after a restart.
func TestOldestRealClient(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	authKey := s.newKey("--reusable").Key
	now := joinedNode(t, s, "now", authKey)
	old := startOther(t, s, "oldclient", "oldest", authKey, "-real")
	status := func() (st struct {
		Version string
		Health  []string
		Peer    map[string]struct {
			HostName string
			Online   bool
		}
	}) {
		old.report(&st)
		return st
	}
	sees := func() bool {
		for _, p := range status().Peer {
			if p.HostName == "now" {
				return p.Online
			}
		}
		return false
	}
	reached := func() bool {
		p := now.peer("oldest")
		if p == nil {
			return false
		}
		body, err := now.fetch(p.TailscaleIPs[0], 3*time.Second)
		return err == nil && body == "oldest"
	}
	eventually(t, 20*time.Second, "the oldest client sees the one of now", sees)
	if v := status().Version; !strings.HasPrefix(v, "1.80.") {
		t.Errorf("this is client %s", v)
	}
	eventually(t, 20*time.Second, "it is reached", reached)
	s.setPolicy(`{"acls": [{"action": "accept", "src": ["*"], "dst": ["*:81"]}]}`)
	eventually(t, 10*time.Second, "its filter closes", func() bool { return !reached() })
	s.setPolicy(`{}`)
	eventually(t, 20*time.Second, "and opens", reached)
	s.stop()
	s.start()
	eventually(t, 60*time.Second, "it is back after a restart", func() bool {
		n := s.nodeNamed("oldest")
		return n != nil && n.Online && sees() && reached()
	})
	for _, h := range status().Health {
		if strings.Contains(h, "oordination") || strings.Contains(h, "map") {
			t.Errorf("the oldest client complains: %s", h)
		}
	}
}
