// Proves regions beside the server's own, with real clients: they are pushed live, and a node whose home region goes finds
// another; what is no region is refused; stock derper may ask the server who is a client; files of derp.paths.
package scenario

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tailscale.com/tailcfg"
	"tailscale.com/types/key"
)

type regionInfo struct {
	ID, Code, Name, Source string
	Relays                 []string
	Nodes                  []struct {
		Name, Hostname, IPv4, IPv6, CertName string
		DerpPort, StunPort                   int
	}
}

func (s *server) regions() map[string]regionInfo {
	s.t.Helper()
	var list struct{ Regions []regionInfo }
	s.cliJSON(&list, "regions", "list")
	m := map[string]regionInfo{}
	for _, r := range list.Regions {
		m[r.ID] = r
	}
	return m
}

// ownPin is the pin of the server's self-signed certificate.
func (s *server) ownPin() string {
	s.t.Helper()
	for _, r := range s.regions() {
		if r.Source == "own" {
			return r.Nodes[0].CertName
		}
	}
	s.t.Fatal("the server has no region of its own")
	return ""
}

func (n *node) derpMap() *tailcfg.DERPMap {
	n.t.Helper()
	m, err := n.lc.CurrentDERPMap(ctxFor(n.t, 5*time.Second))
	if err != nil {
		n.t.Fatal(err)
	}
	return m
}

func (n *node) hasRegion(id int) bool { return n.derpMap().Regions[id] != nil }

// home is the region that the server knows the node at.
func (s *server) home(name string) int {
	s.t.Helper()
	var list struct {
		Nodes []struct {
			Name     string `json:"name"`
			HomeDerp int    `json:"homeDerp"`
		}
	}
	s.cliJSON(&list, "nodes", "list")
	for _, n := range list.Nodes {
		if n.Name == name {
			return n.HomeDerp
		}
	}
	return -1
}

// otherRelay is a relay that knows nobody's keys, as regions name them: its flags of `fairlead regions add`.
func otherRelay(t *testing.T) (s *server, flags []string) {
	t.Helper()
	s = startServer(t, "--derp-verify-clients=false")
	return s, []string{fmt.Sprintf("127.0.0.1:%d", s.https), "--pin", s.ownPin(), "--stun-port", fmt.Sprint(s.stun)}
}

func TestRegionsArePushedLive(t *testing.T) {
	relayOnly(t)
	s := startServer(t, "--derp-enabled=false")
	k := s.newKey("--reusable").Key
	_, one := otherRelay(t)
	_, two := otherRelay(t)
	s.cli(append([]string{"regions", "add", "one", "--id", "11", "--name", "Region One"}, one...)...)
	a, b := joinedNode(t, s, "a", k), joinedNode(t, s, "b", k)
	if r := a.derpMap().Regions; len(r) != 1 || r[11] == nil || r[11].RegionName != "Region One" {
		t.Fatalf("the node has regions %+v", r)
	}
	a.relayPing(b, 11, 20*time.Second)
	full := s.metric("fairlead_map_full_total")
	// Another region comes while both are connected.
	s.cli(append([]string{"regions", "add", "two"}, two...)...)
	if s.regions()["1"].Code != "two" {
		t.Fatalf("the first free id was not given: %+v", s.regions())
	}
	for _, n := range []*node{a, b} {
		eventually(t, 5*time.Second, "the new region is known", func() bool { return n.hasRegion(1) })
	}
	s.cli("regions", "set", "1", "--name", "Second")
	eventually(t, 5*time.Second, "the new name is known", func() bool {
		return a.derpMap().Regions[1].RegionName == "Second"
	})
	// The home of both goes.
	s.cli("regions", "remove", "11")
	for _, n := range []*node{a, b} {
		eventually(t, 5*time.Second, "the region is gone", func() bool { return !n.hasRegion(11) })
	}
	eventually(t, 30*time.Second, "both have another home", func() bool { return s.home("a") == 1 && s.home("b") == 1 })
	a.relayPing(b, 1, 20*time.Second)
	if got := s.metric("fairlead_map_full_total"); got != full {
		t.Errorf("%v full maps: nodes began their streams again", got-full)
	}
	var audit struct {
		Records []struct{ What, Object string }
	}
	s.cliJSON(&audit, "audit", "list")
	var seen []string
	for _, r := range audit.Records {
		if strings.HasPrefix(r.Object, "region ") {
			seen = append(seen, r.What+" "+r.Object)
		}
	}
	want := "region.remove region 11,region.set region 1,region.create region 1,region.create region 11"
	if got := strings.Join(seen, ","); got != want {
		t.Errorf("the audit record has %s", got)
	}
}

func TestRegionsAreChecked(t *testing.T) {
	s := startServer(t)
	s.cli("regions", "add", "near", "derp.example.org:8443", "--id", "7", "--stun-port", "off")
	for _, c := range []struct {
		args string
		want string
	}{
		{"regions add near x.example.org", "region 7 has the code near already"},
		{"regions add far x.example.org --id 7", "region 7 is there already"},
		{"regions add far x.example.org --id 900", "region 900 is this server's own"},
		{"regions add far x.example.org --id 70000", "a number from 1 to 65535"},
		{"regions add far x_y.example.org", "no host name in lower case"},
		{"regions add far x.example.org:99999", "no port from 1 to 65535"},
		{"regions add far x.example.org --pin sha256-raw:12", "64 hex digits"},
		{"regions add far x.example.org --ipv4 fd7a::1", "no IPv4 address"},
		{"regions add Far x.example.org", "1 to 16 characters of [a-z0-9-]"},
		{"regions set 9 --name x", "there is no region 9"},
		{"regions remove 900", "this server's own"},
		{"regions set 7", "name what changes"},
		{"regions remove-node 7 zz", "has no node"},
	} {
		if out, err := s.tryCLI(strings.Fields(c.args)...); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("fairlead %s: %s %v; wanted: %s", c.args, out, err, c.want)
		}
	}
	s.cli("regions", "add-node", "7", "192.0.2.9")
	if n := s.regions()["7"].Nodes; len(n) != 2 || n[0].Name != "7a" || n[0].StunPort != -1 || n[1].Name != "7b" {
		t.Fatalf("nodes are %+v", n)
	}
	s.cli("regions", "remove-node", "7", "7a")
	s.stop()
	s.start()
	if r := s.regions()["7"]; len(r.Nodes) != 1 || r.Nodes[0].Hostname != "192.0.2.9" || r.Code != "near" {
		t.Fatalf("after a restart it is %+v", r)
	}
}

// TestVerifyForStockRelay: the reference relay asks us who may use it.
func TestVerifyForStockRelay(t *testing.T) {
	s := startServer(t)
	n := newLightNode(s, "known")
	defer n.close()
	if err := n.join(ctxFor(t, 10*time.Second), s.newKey().Key); err != nil {
		t.Fatal(err)
	}
	_, mesh := meshKey(t)
	d := newDerper(t, mesh, false)
	d.SetVerifyClientURL(s.url + "/verify")
	d.SetVerifyClientURLFailOpen(false)
	plainClient(t, d.plain.URL+"/derp", n.node)
	refused := func(k key.NodePrivate) bool {
		c, err := newPlainClient(t, d.plain.URL+"/derp", k)
		if err != nil {
			return true
		}
		defer c.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		return c.Ping(ctx) != nil
	}
	if !refused(key.NewNode()) {
		t.Error("an unknown node was let in")
	}
	s.cli("nodes", "delete", "known")
	if !refused(n.node) {
		t.Error("a removed node was let in")
	}
	if res, body := s.get(t, "/verify"); res.StatusCode != 405 {
		t.Errorf("GET /verify: %d %s", res.StatusCode, body)
	}
}

// TestRegionsOfFiles: what Headscale reads from derp.paths.
func TestRegionsOfFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "derp.yaml")
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0600); err != nil {
			t.Fatal(err)
		}
	}
	write(`# of another server
regions:
  901:
    regionid: 901
    regioncode: far
    regionname: Far Away
    nodes:
      - name: 901a
        regionid: 901
        hostname: derp.example.org
        ipv4: 192.0.2.1
        stunport: 0
        derpport: 8443
  902:
    regionid: 902
    regioncode: other
    regionname: Other
    nodes: []
`)
	s := startServer(t, "--derp-paths", path)
	r := s.regions()["901"]
	if r.Code != "far" || r.Source != "config" || len(r.Nodes) != 1 || r.Nodes[0].DerpPort != 8443 ||
		r.Nodes[0].StunPort != 3478 {
		t.Errorf("region 901 is %+v", r)
	}
	m := joinedLight(t, s, "n", s.newKey().Key).derp
	if m.Regions[901] == nil || m.Regions[901].Nodes[0].DERPPort != 8443 || m.Regions[902] != nil || m.Regions[900] == nil {
		t.Errorf("the DERP map has %+v", m.Regions)
	}
	if _, err := s.tryCLI("regions", "remove", "901"); err == nil || !strings.Contains(err.Error(), "derp.paths") {
		t.Errorf("removing it: %v", err)
	}
	s.stop()
	for text, want := range map[string]string{
		"regions: {5: {regioncode: x, regionname: X, nodes: [{hostname: a_b}]}}": "region 5: hostname",
		"regions:\n\t- x": "is no YAML: line 2",
		"- x":             `has no "regions"`,
		"regions: {5: {regioncode: x, nodes: [{hostname: a, insecurefortests: true}]}}": "insecurefortests",
	} {
		write(text)
		done := s.launch()
		select {
		case <-done:
		case <-time.After(10 * time.Second):
			t.Fatalf("it starts with %q", text)
		}
		s.cmd = nil
		if !strings.Contains(s.log.String(), want) {
			t.Errorf("%q: it does not say %q\n%s", text, want, s.log.String())
		}
		s.log = nil
	}
}
