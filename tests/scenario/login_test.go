// Proves every way in without a ready key: interactive login, approval, planned nodes; and what an administrator
// changes of a node that is in: addresses, expiry, approval.
package scenario

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"tailscale.com/tailcfg"
)

type loginInfo struct {
	ID, URL, Hostname, Address, NodeName string
	Tags                                 []string
}

func (s *server) logins() []loginInfo {
	s.t.Helper()
	var list struct {
		Logins []loginInfo `json:"logins"`
	}
	s.cliJSON(&list, "auth", "list")
	return list.Logins
}

// askWithout starts a real client without a key and returns the address that it shows.
func askWithout(t *testing.T, n *node) string {
	t.Helper()
	if err := n.ts.Start(); err != nil {
		t.Fatal(err)
	}
	var err error
	if n.lc, err = n.ts.LocalClient(); err != nil {
		t.Fatal(err)
	}
	url := ""
	eventually(t, 40*time.Second, "the client shows an address to log in at", func() bool {
		url = n.status().AuthURL
		return url != ""
	})
	return url
}

func (n *node) awaitState(want string, within time.Duration) {
	n.t.Helper()
	eventually(n.t, within, n.ts.Hostname+" is "+want, func() bool { return n.status().BackendState == want })
}

func TestInteractiveLogin(t *testing.T) {
	s := startServer(t)
	other := joinedNode(t, s, "other", s.newKey().Key)
	s.cli("users", "create", "ann@example.org")
	n := newNode(t, nodeOptions{url: s.url, hostname: "laptop"})
	url := askWithout(t, n)
	if !strings.HasPrefix(url, s.url+"/register/") || len(url) != len(s.url)+len("/register/")+24 {
		t.Fatalf("address %q", url)
	}
	list := s.logins()
	if len(list) != 1 || list[0].Hostname != "laptop" || list[0].URL != url || list[0].Address != "127.0.0.1" {
		t.Fatalf("logins %+v", list)
	}
	res, body := s.get(t, strings.TrimPrefix(url, s.url))
	if res.StatusCode != 200 || !strings.Contains(body, "fairlead auth approve "+list[0].ID) ||
		!strings.Contains(body, "laptop") {
		t.Fatalf("%s\n%s", res.Status, body)
	}
	csp := res.Header.Get("Content-Security-Policy")
	if !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") || strings.Contains(body, "<script") {
		t.Fatalf("CSP %q", csp)
	}
	if res, _ := s.get(t, "/register/page.css"); res.StatusCode != 200 ||
		!strings.HasPrefix(res.Header.Get("Content-Type"), "text/css") {
		t.Fatalf("style: %s %s", res.Status, res.Header.Get("Content-Type"))
	}

	begin := time.Now()
	s.cli("auth", "approve", url, "--user", "ann@example.org")
	n.awaitState("Running", 10*time.Second)
	t.Logf("Running %v after approval", time.Since(begin))
	if got := s.nodeNamed("laptop"); got == nil || got.User != "ann@example.org" {
		t.Fatalf("node %+v", got)
	}
	eventually(t, 5*time.Second, "the nodes see each other", func() bool {
		return n.peer("other") != nil && other.peer("laptop") != nil
	})
	if len(s.logins()) != 0 {
		t.Fatal("the login is still there")
	}
	if res, body := s.get(t, strings.TrimPrefix(url, s.url)); res.StatusCode != 404 || !strings.Contains(body, "tailscale up") {
		t.Fatalf("page of a login that is over: %s", res.Status)
	}

	// Logged out and in again, the device is the same node: the approver need not name anybody.
	addr := n.status().TailscaleIPs[0]
	if err := n.lc.Logout(ctxFor(t, 20*time.Second)); err != nil {
		t.Fatal(err)
	}
	dir := n.ts.Dir
	n.ts.Close()
	again := newNode(t, nodeOptions{url: s.url, hostname: "laptop", dir: dir})
	askWithout(t, again)
	list = s.logins()
	if len(list) != 1 || list[0].NodeName != "laptop" {
		t.Fatalf("logins %+v", list)
	}
	s.cli("auth", "approve", list[0].ID)
	again.awaitState("Running", 10*time.Second)
	if again.status().TailscaleIPs[0] != addr || s.nodeNamed("laptop").User != "ann@example.org" {
		t.Fatal("the login made another node")
	}
}

// ask registers without a key; followup is the address that was given before, or "".
func (n *lightNode) ask(t *testing.T, followup string, within time.Duration) (*tailcfg.RegisterResponse, error) {
	t.Helper()
	return n.registerWith(ctxFor(t, within), tailcfg.RegisterRequest{
		Version: 1, NodeKey: n.node.Public(), Hostinfo: n.hostinfo, Followup: followup,
	})
}

func (n *lightNode) mustAsk(t *testing.T, followup string) string {
	t.Helper()
	res, err := n.ask(t, followup, 10*time.Second)
	if err != nil || res.AuthURL == "" || res.Error != "" || res.MachineAuthorized {
		t.Fatalf("no address to log in at: %+v %v", res, err)
	}
	return res.AuthURL
}

func loginID(url string) string { return url[strings.LastIndex(url, "/")+1:] }

func TestFollowUp(t *testing.T) {
	s := startServer(t)
	waits := func(n *lightNode, url string) chan *tailcfg.RegisterResponse {
		c := make(chan *tailcfg.RegisterResponse, 1)
		go func() {
			res, err := n.ask(t, url, 30*time.Second)
			if err != nil {
				res = &tailcfg.RegisterResponse{Error: err.Error()}
			}
			c <- res
		}()
		return c
	}
	stillWaits := func(t *testing.T, c chan *tailcfg.RegisterResponse) {
		t.Helper()
		select {
		case res := <-c:
			t.Fatalf("answered before it was decided: %+v", res)
		case <-time.After(300 * time.Millisecond):
		}
	}
	t.Run("approve", func(t *testing.T) {
		n, thief := newLightNode(s, "pi"), newLightNode(s, "thief")
		defer n.close()
		defer thief.close()
		n.hostinfo.RequestTags = []string{"tag:edge"}
		url := n.mustAsk(t, "")
		if again := n.mustAsk(t, ""); again != url {
			t.Fatalf("another address for the same device: %s, %s", url, again)
		}
		if got := thief.mustAsk(t, url); got == url {
			t.Fatal("another machine may wait for this one's login")
		}
		s.cli("auth", "reject", loginID(thief.mustAsk(t, "")))
		c := waits(n, url)
		stillWaits(t, c)
		n.close() // its connection goes, as when the network changes
		<-c
		n.h2 = nil
		c = waits(n, url)
		stillWaits(t, c)
		s.cli("auth", "approve", loginID(url))
		res := <-c
		if res.Error != "" || res.AuthURL != "" || !res.MachineAuthorized {
			t.Fatalf("after approval: %+v", res)
		}
		if err := n.stream(ctxFor(t, 10*time.Second)); err != nil {
			t.Fatal(err)
		}
		if tags := n.selfNode().Tags; len(tags) != 1 || tags[0] != "tag:edge" {
			t.Fatalf("an approved device has the tags %v", tags)
		}
		if _, err := s.tryCLI("auth", "approve", loginID(url)); err == nil {
			t.Fatal("a login was approved twice")
		}
	})
	t.Run("reject", func(t *testing.T) {
		n := newLightNode(s, "stranger")
		defer n.close()
		url := n.mustAsk(t, "")
		c := waits(n, url)
		stillWaits(t, c)
		s.cli("auth", "reject", loginID(url))
		if res := <-c; !strings.Contains(res.Error, "rejected") {
			t.Fatalf("after rejection: %+v", res)
		}
		if res, err := n.ask(t, "", 10*time.Second); err != nil || !strings.Contains(res.Error, "rejected") {
			t.Fatalf("asked again after rejection: %+v %v", res, err)
		}
		if s.nodeNamed("stranger") != nil {
			t.Fatal("a rejected device was stored")
		}
	})
	t.Run("other tags than asked for", func(t *testing.T) {
		n := newLightNode(s, "cam")
		defer n.close()
		n.hostinfo.RequestTags = []string{"tag:admin"}
		url := n.mustAsk(t, "")
		s.cli("auth", "approve", loginID(url), "--tags", "tag:cam")
		if res, err := n.ask(t, url, 10*time.Second); err != nil || !res.MachineAuthorized {
			t.Fatalf("%+v %v", res, err)
		}
		if got := s.nodeNamed("cam"); strings.Join(got.Tags, " ") != "tag:cam" {
			t.Fatalf("tags %v", got.Tags)
		}
	})
	t.Run("a device cannot change behind its address", func(t *testing.T) {
		n := newLightNode(s, "harmless")
		defer n.close()
		url := n.mustAsk(t, "")
		n.hostinfo.RequestTags = []string{"tag:admin"}
		if other := n.mustAsk(t, ""); other == url {
			t.Fatal("the same address for other tags")
		}
		if _, err := s.tryCLI("auth", "approve", loginID(url)); err == nil {
			t.Fatal("the old address was approved")
		}
	})
	t.Run("restart of the server", func(t *testing.T) {
		n := newLightNode(s, "patient")
		url := n.mustAsk(t, "")
		c := waits(n, url)
		stillWaits(t, c)
		s.stop()
		<-c
		s.start()
		n.close()
		n.h2 = nil
		defer n.close()
		next := n.mustAsk(t, url)
		if next == url {
			t.Fatal("the old address came back")
		}
		s.cli("auth", "approve", loginID(next))
		if res, err := n.ask(t, next, 10*time.Second); err != nil || !res.MachineAuthorized {
			t.Fatalf("%+v %v", res, err)
		}
	})
	t.Run("hostile names", func(t *testing.T) {
		n := newLightNode(s, `<script>alert(1)</script>&"'`+"\u202e\x1b[31m")
		defer n.close()
		res, body := s.get(t, strings.TrimPrefix(n.mustAsk(t, ""), s.url))
		if res.StatusCode != 200 || strings.Contains(body, "<script") || strings.Contains(body, "\x1b") ||
			!strings.Contains(body, "&lt;script&gt;alert(1)&lt;/script&gt;&amp;&quot;&#39;") {
			t.Fatalf("%s\n%s", res.Status, body)
		}
		if out := s.cli("auth", "list"); strings.Contains(out, "\x1b") {
			t.Fatalf("%q", out)
		}
	})
	t.Run("pages of nobody", func(t *testing.T) {
		for _, path := range []string{"/register/x", "/register/" + strings.Repeat("a", 24), "/register/%3Cscript%3E"} {
			if res, body := s.get(t, path); res.StatusCode != 404 || strings.Contains(body, "<script") {
				t.Errorf("%s: %s", path, res.Status)
			}
		}
	})
}

// Strangers can make the server keep only so much, and their vanished requests nothing.
func TestLoginsAreBounded(t *testing.T) {
	s := startServer(t, "--limits-register-fail-per-min", "1000000")
	first := newLightNode(s, "first")
	defer first.close()
	url := first.mustAsk(t, "")
	err := parallel(250, 20, func(i int) error {
		n := newLightNode(s, fmt.Sprintf("s%d", i))
		defer n.close()
		res, err := n.ask(t, "", 20*time.Second)
		if err != nil || res.AuthURL == "" {
			return fmt.Errorf("%+v %v", res, err)
		}
		go n.ask(t, res.AuthURL, 5*time.Second)
		time.Sleep(20 * time.Millisecond)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := len(s.logins()); got != 100 {
		t.Fatalf("%d logins of one address are kept, not 100", got)
	}
	if got := s.metric("fairlead_logins_pending"); got != 100 {
		t.Fatalf("fairlead_logins_pending is %v", got)
	}
	if next := first.mustAsk(t, url); next == url {
		t.Fatal("the oldest login was not dropped")
	}
	s.cli("auth", "approve", loginID(first.mustAsk(t, "")))
	if err := first.register(ctxFor(t, 10*time.Second), ""); err != nil {
		t.Fatal(err)
	}
}

func TestDeviceApproval(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	if out := s.cli("settings", "set", "devices-need-approval", "on"); out != "on\n" {
		t.Fatalf("%q", out)
	}
	trusted := joinedNode(t, s, "trusted", s.newKey().Key) // keys are pre-authorized unless said otherwise
	n := newNode(t, nodeOptions{url: s.url, hostname: "waiting", key: s.newKey("--needs-approval").Key})
	if err := n.ts.Start(); err != nil {
		t.Fatal(err)
	}
	var err error
	if n.lc, err = n.ts.LocalClient(); err != nil {
		t.Fatal(err)
	}
	n.awaitState("NeedsMachineAuth", 20*time.Second)
	time.Sleep(500 * time.Millisecond)
	if trusted.peer("waiting") != nil || len(n.status().Peer) != 0 {
		t.Fatal("a device that waits for approval is seen, or sees")
	}
	if out := s.cli("nodes", "list"); !strings.Contains(out, "waits for approval") {
		t.Fatalf("the list does not say it:\n%s", out)
	}
	s.stop() // it waits on after a restart
	s.start()
	begin := time.Now()
	s.cli("nodes", "approve", "waiting")
	n.awaitState("Running", 40*time.Second)
	t.Logf("Running %v after approval", time.Since(begin))
	eventually(t, 20*time.Second, "both see each other", func() bool {
		return trusted.peer("waiting") != nil && n.peer("trusted") != nil
	})
	if res, err := trusted.ping(n.ip4(), tailcfg.PingTSMP, 10*time.Second); err != nil || res.Err != "" {
		t.Fatalf("ping: %v %+v", err, res)
	}
	s.cli("nodes", "unapprove", "waiting")
	eventually(t, 10*time.Second, "approval taken back, nobody sees it", func() bool {
		return trusted.peer("waiting") == nil
	})
	n.awaitState("NeedsMachineAuth", 20*time.Second)
	s.cli("nodes", "approve", "waiting")
	n.awaitState("Running", 20*time.Second)
	eventually(t, 10*time.Second, "approved again, it is seen", func() bool { return trusted.peer("waiting") != nil })

	// An administrator's approval of a login is one of the device.
	light := newLightNode(s, "light")
	defer light.close()
	s.cli("auth", "approve", loginID(light.mustAsk(t, "")))
	if err := light.register(ctxFor(t, 10*time.Second), ""); err != nil {
		t.Fatal(err)
	}
	if out := s.cli("audit", "list"); !strings.Contains(out, "settings.change") || !strings.Contains(out, "node.authorize") {
		t.Errorf("not in the audit record:\n%s", out)
	}
}

func TestPlannedNode(t *testing.T) {
	s := startServer(t)
	k := s.newKey("--reusable").Key
	var plan struct{ Key, NodeName, NodeIP4, NodeIP6 string }
	s.cliJSON(&plan, "nodes", "preprovision", "--name", "edge-7", "--ip", "100.64.1.7", "--tags", "tag:edge")
	if plan.NodeName != "edge-7" || plan.NodeIP4 != "100.64.1.7" || plan.NodeIP6 == "" || plan.Key == "" {
		t.Fatalf("%+v", plan)
	}
	for _, args := range [][]string{
		{"nodes", "preprovision", "--name", "edge-7"},
		{"nodes", "preprovision", "--name", "edge-8", "--ip", "100.64.1.7"},
		{"nodes", "preprovision", "--name", "edge-8", "--ip", "10.0.0.1"},
		{"nodes", "preprovision", "--name", "edge-8", "--ip", "100.100.100.100"},
		{"nodes", "preprovision", "--name", "Edge 8"},
	} {
		if out, err := s.tryCLI(args...); err == nil {
			t.Errorf("%v: %s", args, out)
		}
	}
	s.kill() // what is promised survives
	s.start()
	other := newLightNode(s, "edge-7")
	defer other.close()
	if err := other.join(ctxFor(t, 10*time.Second), k); err != nil {
		t.Fatal(err)
	}
	if name := other.selfNode().Name; strings.HasPrefix(name, "edge-7.") {
		t.Fatalf("the planned name went to another node: %s", name)
	}
	for _, args := range [][]string{{"nodes", "rename", "1", "edge-7"}, {"nodes", "ip", "1", "100.64.1.7"}} {
		if _, err := s.tryCLI(args...); err == nil {
			t.Errorf("%v took what is planned", args)
		}
	}
	n := newNode(t, nodeOptions{url: s.url, key: plan.Key, hostname: "whatever"})
	st := n.mustUp()
	if st.TailscaleIPs[0] != netip.MustParseAddr("100.64.1.7") || st.TailscaleIPs[1].String() != plan.NodeIP6 ||
		!strings.HasPrefix(st.Self.DNSName, "edge-7.") || st.Self.Tags == nil || st.Self.Tags.At(0) != "tag:edge" {
		t.Fatalf("addresses %v, name %s, tags %v", st.TailscaleIPs, st.Self.DNSName, st.Self.Tags)
	}
	refused(t, s, plan.Key, "used")
	// What is planned and revoked is free again.
	var second struct{ ID string }
	s.cliJSON(&second, "nodes", "preprovision", "--name", "edge-9", "--ip", "100.64.1.9")
	s.cli("keys", "revoke", second.ID)
	s.cli("nodes", "preprovision", "--name", "edge-9", "--ip", "100.64.1.9")
}

func TestChangeOfAddress(t *testing.T) {
	s := startServer(t)
	k := s.newKey("--reusable").Key
	a, b := joinedNode(t, s, "alpha", k), joinedNode(t, s, "beta", k)
	b.serveHTTP("still here")
	old, next := b.ip4(), netip.MustParseAddr("100.64.0.9")
	eventually(t, 5*time.Second, "alpha sees beta", func() bool { return a.peer("beta") != nil })
	begin := time.Now()
	s.cli("nodes", "ip", "beta", next.String(), "fd7a:115c:a1e0::9")
	eventually(t, 5*time.Second, "beta and its peer know the new addresses", func() bool {
		p := a.peer("beta")
		return b.ip4() == next && p != nil && len(p.TailscaleIPs) == 2 && p.TailscaleIPs[0] == next &&
			p.TailscaleIPs[1] == netip.MustParseAddr("fd7a:115c:a1e0::9")
	})
	t.Logf("known after %v", time.Since(begin))
	if res, err := a.ping(next, tailcfg.PingTSMP, 10*time.Second); err != nil || res.Err != "" {
		t.Fatalf("ping: %v %+v", err, res)
	}
	if body, err := a.fetch(next, 15*time.Second); err != nil || body != "still here" {
		t.Fatalf("%q %v", body, err)
	}
	for _, args := range [][]string{
		{"nodes", "ip", "alpha", next.String()}, {"nodes", "ip", "alpha", "192.0.2.1"},
		{"nodes", "ip", "alpha", "100.64.0.0"}, {"nodes", "ip", "alpha", "fd7a:115c:a1e0::53"},
		{"nodes", "ip", "alpha", "2001:db8::1"}, {"nodes", "ip", "alpha", "nonsense"},
	} {
		if out, err := s.tryCLI(args...); err == nil {
			t.Errorf("%v: %s", args, out)
		}
	}
	fresh := joinedNode(t, s, "gamma", k)
	if fresh.ip4() == old {
		t.Fatal("the old address was given out at once")
	}
	s.stop()
	s.start()
	if got := s.nodeNamed("beta"); got.Addresses[0] != next.String() {
		t.Fatalf("after a restart %v", got.Addresses)
	}
	s.cli("nodes", "ip", "beta", old.String()) // an administrator may have it back
}

func TestExpirySwitch(t *testing.T) {
	s := startServer(t)
	k := s.newKey("--reusable").Key
	n := newLightNode(s, "steady")
	defer n.close()
	if err := n.join(ctxFor(t, 10*time.Second), k); err != nil {
		t.Fatal(err)
	}
	in := func(d time.Duration) func() bool {
		return func() bool {
			left := time.Until(n.selfNode().KeyExpiry)
			return left > d-time.Minute && left <= d+time.Minute
		}
	}
	if !in(180 * 24 * time.Hour)() {
		t.Fatalf("the key expires at %v", n.selfNode().KeyExpiry)
	}
	s.cli("nodes", "expiry", "steady", "off")
	eventually(t, 3*time.Second, "the key never expires", func() bool { return n.selfNode().KeyExpiry.IsZero() })
	// A login does not bring expiry back.
	n.rotate(t, k)
	if err := n.stream(ctxFor(t, 10*time.Second)); err != nil {
		t.Fatal(err)
	}
	if !n.selfNode().KeyExpiry.IsZero() {
		t.Fatal("the next login brought expiry back")
	}
	s.cli("nodes", "expiry", "steady", "2d")
	eventually(t, 3*time.Second, "the key expires in two days", in(48*time.Hour))
	eventually(t, 10*time.Second, "it is warned of once", func() bool {
		return s.metric("fairlead_nodes_expiring_soon") == 1 && strings.Contains(s.cli("audit", "list"), "node.expiring")
	})
	s.stop()
	s.start()
	time.Sleep(500 * time.Millisecond)
	if got := strings.Count(s.cli("audit", "list"), "node.expiring"); got != 1 {
		t.Fatalf("%d warnings", got)
	}
	s.cli("nodes", "expiry", "steady", "off")
	s.cli("nodes", "expiry", "steady", "on")
	s.cli("settings", "set", "key-days", "30")
	s.cli("nodes", "expire", "steady")
	if err := n.dial(ctxFor(t, 10*time.Second)); err != nil {
		t.Fatal(err)
	}
	if err := n.join(ctxFor(t, 10*time.Second), k); err != nil {
		t.Fatal(err)
	}
	if !in(30 * 24 * time.Hour)() {
		t.Fatalf("with key-days 30 the key expires at %v", n.selfNode().KeyExpiry)
	}
}

func TestEphemeral(t *testing.T) {
	t.Parallel()
	s := startServer(t, "--node-ephemeral-timeout-s", "30", "--node-offline-grace-s", "1")
	k := s.newKey("--reusable", "--ephemeral").Key
	stays, goes, silent := newLightNode(s, "stays"), newLightNode(s, "goes"), newLightNode(s, "silent")
	for _, n := range []*lightNode{stays, goes} {
		if err := n.join(ctxFor(t, 10*time.Second), k); err != nil {
			t.Fatal(err)
		}
	}
	// Registered, and not polled yet: stays much longer than the timeout.
	if err := silent.register(ctxFor(t, 10*time.Second), k); err != nil {
		t.Fatal(err)
	}
	goes.close()
	begin := time.Now()
	for i := range 3 { // down and up again, as a service restarts
		stays.close()
		time.Sleep(time.Duration(2+i) * time.Second)
		stays.h2 = nil
		if err := stays.join(ctxFor(t, 10*time.Second), k); err != nil {
			t.Fatal(err)
		}
	}
	defer stays.close()
	defer silent.close()

	// A client that ends cleanly logs out: gone at once.
	real := newNode(t, nodeOptions{url: s.url, key: k, hostname: "real", ephemeral: true})
	real.mustUp()
	if s.nodeNamed("real") == nil {
		t.Fatal("no node")
	}
	if err := real.lc.Logout(ctxFor(t, 20*time.Second)); err != nil {
		t.Fatal(err)
	}
	eventually(t, 5*time.Second, "an ephemeral node is gone when it logs out", func() bool { return s.nodeNamed("real") == nil })

	if s.nodeNamed("goes") == nil {
		t.Fatal("gone too early")
	}
	eventually(t, 60*time.Second, "an ephemeral node is deleted", func() bool { return s.nodeNamed("goes") == nil })
	if took := time.Since(begin); took < 29*time.Second {
		t.Fatalf("deleted after %v", took)
	}
	if s.nodeNamed("stays") == nil || s.nodeNamed("silent") == nil {
		t.Fatal("another one was deleted, too")
	}
}

// A real client that is told 429 comes again by itself, and joins.
func TestBusyServer(t *testing.T) {
	t.Parallel()
	s := startServer(t, "--limits-register-fail-per-min", "6")
	for range 6 { // uses up what this address may be refused
		n := newLightNode(s, "noise")
		_ = n.join(ctxFor(t, 10*time.Second), "nonsense")
		n.close()
	}
	n := newLightNode(s, "told")
	if _, err := n.ask(t, "", 10*time.Second); err == nil || !strings.Contains(err.Error(), "429") {
		t.Fatalf("not told to wait: %v", err)
	}
	n.close()
	real := newNode(t, nodeOptions{url: s.url, hostname: "patient"})
	begin := time.Now()
	url := askWithout(t, real)
	t.Logf("a real client got its address after %v", time.Since(begin))
	s.cli("auth", "approve", url)
	real.awaitState("Running", 20*time.Second)
}
