// Proves nodeAttrs' ipPool: whose address comes from where, and what a device is told when a pool is used up.
package scenario

import (
	"net/netip"
	"testing"
	"time"
)

func TestIPPool(t *testing.T) {
	s := startServer(t)
	s.setPolicy(`{
		"tagOwners": {"tag:k3s": [], "tag:two": []},
		"nodeAttrs": [
			{"target": ["tag:k3s"], "ipPool": ["100.81.0.0/24"]},
			{"target": ["tag:two"], "ipPool": ["100.82.0.4/31"]}, // for two
		],
	}`)
	joined := func(name string, flags ...string) netip.Addr {
		t.Helper()
		n := newLightNode(s, name)
		t.Cleanup(n.close)
		if err := n.join(ctxFor(t, 10*time.Second), s.newKey(flags...).Key); err != nil {
			t.Fatal(err)
		}
		return netip.MustParseAddr(s.nodeNamed(name).Addresses[0])
	}
	if ip := joined("plain"); netip.MustParsePrefix("100.80.0.0/14").Contains(ip) {
		t.Errorf("a device that no entry names has %v", ip)
	}
	if ip := joined("k3s", "--tags", "tag:k3s"); !netip.MustParsePrefix("100.81.0.0/24").Contains(ip) {
		t.Errorf("tag:k3s has %v", ip)
	}
	first, second := joined("two-1", "--tags", "tag:two"), joined("two-2", "--tags", "tag:two")
	if first.String() != "100.82.0.4" || second.String() != "100.82.0.5" {
		t.Errorf("tag:two has %v and %v", first, second)
	}
	refused(t, s, s.newKey("--tags", "tag:two").Key, "100.82.0.4/31", "ipPool")
	// The address stays with the device, whatever its tags become.
	s.cli("nodes", "tag", "k3s", "tag:two")
	if ip := s.nodeNamed("k3s").Addresses[0]; !netip.MustParsePrefix("100.81.0.0/24").Contains(netip.MustParseAddr(ip)) {
		t.Errorf("a change of tags changed the address to %v", ip)
	}
}
