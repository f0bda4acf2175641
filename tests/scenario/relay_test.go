// Proves relays on other machines, with real clients: `fairlead relay` serves those whom the coordinator names, also while
// that is away, and links with the other relays of its region.
package scenario

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"tailscale.com/derp"
	"tailscale.com/derp/derphttp"
	"tailscale.com/ipn/ipnstate"
	"tailscale.com/net/netmon"
	"tailscale.com/tailcfg"
	"tailscale.com/types/key"
)

// relayPing pings by disco until an answer comes through the region.
func (n *node) relayPing(to *node, region int, within time.Duration) {
	n.t.Helper()
	var res *ipnstate.PingResult
	var err error
	deadline := time.Now().Add(within)
	for time.Now().Before(deadline) {
		if res, err = n.ping(to.ip4(), tailcfg.PingDisco, 2*time.Second); err == nil && res.Err == "" &&
			res.DERPRegionID == region {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	n.t.Fatalf("no answer through region %d within %v: %+v, %v", region, within, res, err)
}

type relayInfo struct {
	Name, Region, Trouble, Version, Address string
	Connected, Reachable, Announced         bool
}

func (s *server) relay(name string) relayInfo {
	s.t.Helper()
	var list struct{ Relays []relayInfo }
	s.cliJSON(&list, "relays", "list")
	for _, r := range list.Relays {
		if r.Name == name {
			return r
		}
	}
	return relayInfo{}
}

// remote is `fairlead relay` in a directory of its own, started by the line that the server prints.
type remote struct {
	*server
	name string
}

// newRemote makes a credential; flags are added to those of `fairlead relays add`.
func newRemote(t *testing.T, s *server, name string, flags ...string) *remote {
	t.Helper()
	var made struct{ Line string }
	s.cliJSON(&made, append([]string{"relays", "add", name}, flags...)...)
	words := strings.Fields(made.Line)
	if len(words) < 4 || words[0] != "fairlead" || words[1] != "relay" {
		t.Fatalf("the line is %q", made.Line)
	}
	r := newServer(t)
	r.argv = append([]string{r.bin}, words[1:]...)
	r.argv = append(r.argv, "--data-dir", r.dir, "--hostname", "127.0.0.1",
		"--listen-https", fmt.Sprintf("127.0.0.1:%d", r.https), "--listen-http", fmt.Sprintf("127.0.0.1:%d", r.http),
		"--listen-stun", fmt.Sprintf("127.0.0.1:%d", r.stun),
		"--metrics-listen-addr", fmt.Sprintf("127.0.0.1:%d", r.metrics))
	return &remote{r, name}
}

// up starts it and waits until it answers.
func (r *remote) up() {
	r.t.Helper()
	done := r.launch()
	eventually(r.t, 10*time.Second, "the relay answers", func() bool {
		select {
		case <-done:
			r.t.Fatalf("the relay ended: %v\n%s", r.err, r.log.String())
		default:
		}
		res, err := http.Get(r.url + "/health")
		if err != nil {
			return false
		}
		res.Body.Close()
		return res.StatusCode == 200
	})
}

// announced waits until clients are told of it.
func (r *remote) announced(s *server) {
	r.t.Helper()
	eventually(r.t, 15*time.Second, "the relay is announced", func() bool {
		i := s.relay(r.name)
		return i.Connected && i.Reachable && i.Announced
	})
}

func startRemote(t *testing.T, s *server, name string, flags ...string) *remote {
	t.Helper()
	r := newRemote(t, s, name, flags...)
	r.up()
	r.announced(s)
	return r
}

func (r *remote) links() float64 { return r.metric("fairlead_derp_mesh_links") }

// derpAt connects to the relay as its clients do, over TLS with the pin of the DERP map. nil: refused.
func derpAt(t *testing.T, priv key.NodePrivate, region *tailcfg.DERPRegion) *derphttp.Client {
	t.Helper()
	c := derphttp.NewRegionClient(priv, t.Logf, netmon.NewStatic(), func() *tailcfg.DERPRegion { return region })
	t.Cleanup(func() { c.Close() })
	if err := c.Connect(ctxFor(t, 5*time.Second)); err != nil {
		return nil
	}
	// It is let in when the relay says so, which comes after the upgrade.
	if m, err := c.Recv(); err != nil {
		return nil
	} else if _, ok := m.(derp.ServerInfoMessage); !ok {
		t.Fatalf("first frame is %T", m)
	}
	return c
}

// known does so for a node of the server: the relay hears of it within moments of its joining.
func known(t *testing.T, n *lightNode, region *tailcfg.DERPRegion) *derphttp.Client {
	t.Helper()
	var c *derphttp.Client
	eventually(t, 2*time.Second, "a known node is let in", func() bool {
		c = derpAt(t, n.node, region)
		return c != nil
	})
	return c
}

func joinedLight(t *testing.T, s *server, name, authKey string) *lightNode {
	t.Helper()
	n := newLightNode(s, name)
	t.Cleanup(n.close)
	if err := n.join(ctxFor(t, 10*time.Second), authKey); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestRemoteRelay: two tsnet nodes whose only relay is on "another machine", with and without the coordinator.
func TestRemoteRelay(t *testing.T) {
	relayOnly(t)
	s := startServer(t, "--derp-enabled=false")
	k := s.newKey("--reusable").Key
	r := startRemote(t, s, "edge")
	a, b := joinedNode(t, s, "a", k), joinedNode(t, s, "b", k)
	a.relayPing(b, 1, 20*time.Second)
	if n := r.metric("derp_clients_local"); n != 2 {
		t.Errorf("%v clients are at the relay", n)
	}
	waiting, other := joinedLight(t, s, "waiting", k), joinedLight(t, s, "other", k)
	region := waiting.derp.Regions[1]
	if region == nil || len(region.Nodes) != 1 || region.Nodes[0].Name != "edge" ||
		!strings.HasPrefix(region.Nodes[0].CertName, "sha256-raw:") {
		t.Fatalf("the DERP map has %+v", waiting.derp.Regions)
	}
	stranger := key.NewNode()
	if derpAt(t, stranger, region) != nil {
		t.Error("a stranger was let in")
	}

	time.Sleep(100 * time.Millisecond) // the relay hears of those two
	s.kill()
	a.relayPing(b, 1, 10*time.Second)
	known(t, waiting, region) // while the coordinator is away
	if derpAt(t, stranger, region) != nil {
		t.Error("a stranger was let in while the coordinator is away")
	}
	// So it is after a restart of the relay.
	r.stop()
	r.up()
	known(t, waiting, region)
	if derpAt(t, stranger, region) != nil {
		t.Error("a stranger was let in after a restart while the coordinator is away")
	}
	a.relayPing(b, 1, 30*time.Second)

	s.start()
	r.announced(s)
	c := known(t, other, region)
	begin := time.Now()
	s.cli("nodes", "delete", "other")
	for {
		if _, err := c.Recv(); err != nil {
			break
		}
	}
	if took := time.Since(begin); took > 3*time.Second {
		t.Errorf("a deleted node was cut off after %v", took)
	}
	if derpAt(t, other.node, region) != nil {
		t.Error("a deleted node was let in")
	}
	// A node that joins now may use it.
	known(t, joinedLight(t, s, "new", k), region)
	a.relayPing(b, 1, 20*time.Second)
}

func TestRemoteRelayIsRefused(t *testing.T) {
	s := startServer(t)
	r := newRemote(t, s, "edge")
	ends := func(what, want string) {
		t.Helper()
		done := r.launch()
		select {
		case <-done:
		case <-time.After(10 * time.Second):
			t.Fatalf("%s: it does not end", what)
		}
		if r.cmd = nil; r.err == nil || !strings.Contains(r.log.String(), want) {
			t.Errorf("%s: %v, and it says\n%s", what, r.err, r.log.String())
		}
		r.log = nil
	}
	argv := slices.Clone(r.argv)
	at := slices.Index(argv, "--key") + 1
	good := argv[at]
	wrong := []byte(good) // still the text of a key
	if middle := &wrong[len(wrong)-20]; *middle == 'A' {
		*middle = 'B'
	} else {
		*middle = 'A'
	}
	argv[at] = string(wrong)
	r.argv = argv
	ends("a wrong key", "the coordinator refuses this relay: this key of a relay is not known here")
	argv[at] = "tskey-auth-x"
	ends("no key of a relay", "that is no key of a relay (fl-relay-")
	argv[at] = good
	pin := slices.Index(argv, "--coordinator-pin") + 1
	if pin == 0 {
		t.Fatalf("no pin in %v", argv)
	}
	right := argv[pin]
	argv[pin] = "sha256-raw:" + strings.Repeat("0", 64)
	r.launch()
	eventually(t, 10*time.Second, "it says that the certificate is another", func() bool {
		return strings.Contains(r.log.String(), "its certificate is not the one of --coordinator-pin")
	})
	r.stop()
	if s.relay("edge").Connected {
		t.Error("it came over a connection that is not the coordinator's")
	}
	argv[pin] = right
	// A relay that cannot be reached is not announced, and both sides say so.
	argv[slices.Index(argv, "--hostname")+1] = "127.0.0.9"
	r.up()
	eventually(t, 10*time.Second, "the trouble is known", func() bool {
		return strings.Contains(s.relay("edge").Trouble, "does not answer") &&
			strings.Contains(r.log.String(), "the coordinator cannot reach this relay")
	})
	if i := s.relay("edge"); i.Announced || !i.Connected {
		t.Errorf("it is %+v", i)
	}
	n := joinedLight(t, s, "n", s.newKey().Key)
	if n.derp.Regions[1] != nil {
		t.Errorf("clients were told of it: %+v", n.derp.Regions[1])
	}
	// Another program with the same key is told so.
	second := newServer(t)
	second.argv = slices.Clone(argv)
	for i, w := range second.argv {
		second.argv[i] = strings.NewReplacer(r.dir, second.dir, fmt.Sprint(":", r.https), fmt.Sprint(":", second.https),
			fmt.Sprint(":", r.http), fmt.Sprint(":", second.http), fmt.Sprint(":", r.stun), fmt.Sprint(":", second.stun),
			fmt.Sprint(":", r.metrics), fmt.Sprint(":", second.metrics)).Replace(w)
	}
	second.launch()
	eventually(t, 10*time.Second, "the second is told", func() bool {
		return strings.Contains(second.log.String(), "relay edge is connected already")
	})
	second.stop()
	// Removed: it ends, and says why.
	s.cli("relays", "remove", "edge")
	select {
	case <-r.done:
	case <-time.After(10 * time.Second):
		t.Fatal("a removed relay goes on")
	}
	r.cmd = nil
	if !strings.Contains(r.log.String(), "is not known here: it was removed") {
		t.Error("it does not say why it ended")
	}
}

// TestRemoteRelaysMesh: one region of three relays, one of them the reference implementation's.
func TestRemoteRelaysMesh(t *testing.T) {
	s := startServer(t, "--derp-enabled=false")
	k := s.newKey("--reusable").Key
	s.cli("regions", "add", "near")
	mesh := strings.TrimSpace(s.cli("regions", "mesh-key", "1"))
	d := newDerper(t, mesh, true)
	s.cli("regions", "add-node", "1", d.http.Listener.Addr().String(), "--pin", strings.TrimSuffix(d.pin, "@"),
		"--stun-port", "off", "--mesh", "--node-name", "stock")
	one, two := startRemote(t, s, "one", "--region", "near"), startRemote(t, s, "two", "--region", "1")
	d.watch(t, one.url+"/derp")
	d.watch(t, two.url+"/derp")
	for _, r := range []*remote{one, two} {
		eventually(t, 20*time.Second, "all are linked", func() bool { return r.links() == 2 && r.metric("derp_watchers") == 2 })
	}
	na, nb, nc := joinedLight(t, s, "a", k), joinedLight(t, s, "b", k), joinedLight(t, s, "c", k)
	at := func(name string) *tailcfg.DERPRegion {
		r := *na.derp.Regions[1]
		r.Nodes = slices.DeleteFunc(slices.Clone(r.Nodes), func(n *tailcfg.DERPNode) bool { return n.Name != name })
		if len(r.Nodes) != 1 {
			t.Fatalf("no relay %s in %+v", name, na.derp.Regions[1])
		}
		return &r
	}
	a, b := known(t, na, at("one")), known(t, nb, at("two"))
	c := plainClient(t, d.plain.URL+"/derp", nc.node)
	type end struct {
		c *derphttp.Client
		k key.NodePublic
	}
	ends := []end{{a, na.node.Public()}, {b, nb.node.Public()}, {c, nc.node.Public()}}
	for i, from := range ends {
		for j, to := range ends {
			if i != j {
				sendUntil(t, from.c, from.k, to.k, to.c, fmt.Appendf(nil, "%d to %d", i, j))
			}
		}
	}
	// Without the coordinator they stay linked, and link again after a restart.
	s.kill()
	two.stop()
	eventually(t, 10*time.Second, "the link is down", func() bool { return one.links() == 1 })
	two.up()
	eventually(t, 20*time.Second, "linked again", func() bool { return one.links() == 2 && two.links() == 2 })
	s.start()
	one.announced(s)
	// One that is removed is linked with no more.
	s.cli("relays", "remove", "two")
	eventually(t, 10*time.Second, "its link is given up", func() bool {
		return one.links() == 1 && strings.Contains(one.log.String(), "no link to this relay any more")
	})
	two.cmd = nil
	<-two.done
}

func TestRemoteRelayFailsOpen(t *testing.T) {
	s := startServer(t, "--derp-enabled=false")
	r := newRemote(t, s, "edge")
	r.argv = append(r.argv, "--fail-open")
	r.up()
	r.announced(s)
	region := joinedLight(t, s, "n", s.newKey().Key).derp.Regions[1]
	stranger := key.NewNode()
	if derpAt(t, stranger, region) != nil {
		t.Error("a stranger was let in")
	}
	s.kill()
	var c *derphttp.Client
	eventually(t, 15*time.Second, "strangers are let in", func() bool {
		c = derpAt(t, stranger, region)
		return c != nil
	})
	s.start()
	r.announced(s)
	cut := make(chan bool)
	go func() {
		for {
			if _, err := c.Recv(); err != nil {
				close(cut)
				return
			}
		}
	}()
	select {
	case <-cut:
	case <-time.After(5 * time.Second):
		t.Error("a stranger stays when the coordinator is back")
	}
}
