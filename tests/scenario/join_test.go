// Proves the main job: real clients join with one key, see each other, and exchange traffic through
// the relay alone and directly.
package scenario

import (
	"strings"
	"testing"
	"time"

	"tailscale.com/tailcfg"
)

func TestJoinAndReachThroughRelay(t *testing.T) {
	relayOnly(t)
	s := startServer(t)
	key := s.newKey("--reusable").Key
	a := newNode(t, nodeOptions{url: s.url, key: key, hostname: "alpha"})
	_, took, err := a.up(30 * time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("first node up in %v", took)
	b := newNode(t, nodeOptions{url: s.url, key: key, hostname: "beta"})
	if _, took, err = b.up(30 * time.Second); err != nil {
		t.Fatal(err)
	}
	t.Logf("second node up in %v", took)
	if !strings.HasPrefix(a.ip4().String(), "100.") || a.ip4() == b.ip4() {
		t.Fatalf("addresses %v and %v", a.ip4(), b.ip4())
	}
	eventually(t, 5*time.Second, "nodes see each other", func() bool {
		return a.peer("beta") != nil && b.peer("alpha") != nil
	})
	begin := time.Now()
	res, err := a.ping(b.ip4(), tailcfg.PingTSMP, 10*time.Second)
	if err != nil || res.Err != "" {
		t.Fatalf("ping: %v %+v", err, res)
	}
	t.Logf("first ping after %v", time.Since(begin))
	res, err = a.ping(b.ip4(), tailcfg.PingDisco, 10*time.Second)
	if err != nil || res.Err != "" {
		t.Fatalf("disco ping: %v %+v", err, res)
	}
	if res.DERPRegionID != 900 || res.Endpoint != "" {
		t.Fatalf("the ping did not go through the relay: %+v", res)
	}
	b.serveHTTP("hello from beta")
	body, err := a.fetch(b.ip4(), 15*time.Second)
	if err != nil || body != "hello from beta" {
		t.Fatalf("fetch through the relay: %q %v", body, err)
	}
	if p := a.peer("beta"); p.CurAddr != "" || p.Relay != "fairlead" {
		t.Fatalf("not through the relay: CurAddr %q Relay %q", p.CurAddr, p.Relay)
	}
}

func TestDirectPath(t *testing.T) {
	s := startServer(t)
	key := s.newKey("--reusable").Key
	a, b := joinedNode(t, s, "alpha", key), joinedNode(t, s, "beta", key)
	b.serveHTTP("direct")
	body, err := a.fetch(b.ip4(), 15*time.Second)
	if err != nil || body != "direct" {
		t.Fatalf("%q %v", body, err)
	}
	eventually(t, 20*time.Second, "a direct path is found", func() bool {
		_, _ = a.ping(b.ip4(), tailcfg.PingDisco, 5*time.Second)
		return a.peer("beta").CurAddr != ""
	})
}
