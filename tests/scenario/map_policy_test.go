// Proves: a saved policy holds at real clients within a second: who sees whom, what gets through; and a node that
// moves is neither lost nor left behind.
package scenario

import (
	"testing"
	"time"

	"tailscale.com/ipn/ipnstate"
)

// inForceWithin is what a person would call at once; the machine may be busy with other tests.
const inForceWithin = 3 * time.Second

// sees waits until the node has these peers, by host name, and no others.
func (n *node) sees(what string, want ...string) {
	n.t.Helper()
	eventually(n.t, inForceWithin, n.ts.Hostname+": "+what, func() bool {
		st := n.status()
		if len(st.Peer) != len(want) {
			return false
		}
		for _, w := range want {
			if n.peer(w) == nil {
				return false
			}
		}
		return true
	})
}

func TestPolicyReachesClients(t *testing.T) {
	s := startServer(t)
	user, tagged := s.newKey("--reusable"), s.newKey("--reusable", "--tags", "tag:x")
	a, b, c := joinedNode(t, s, "a", user.Key), joinedNode(t, s, "b", user.Key), joinedNode(t, s, "c", tagged.Key)
	b.serveHTTP("b")
	a.sees("all without a policy", "b", "c")
	c.sees("all without a policy", "a", "b")

	// Ports: seen as before, another filter.
	s.setPolicy(`{"tagOwners": {"tag:x": []}, "acls": [{"action": "accept", "src": ["*"], "dst": ["*:81"]}]}`)
	a.sees("all, for one port", "b", "c")
	if _, err := a.fetch(b.ip4(), time.Second); err == nil {
		t.Error("port 80 is open although the policy opens 81 only")
	}
	s.setPolicy(`{"tagOwners": {"tag:x": []}, "acls": [{"action": "accept", "src": ["*"], "dst": ["*:80"]}]}`)
	eventually(t, inForceWithin, "port 80 open", func() bool {
		body, err := a.fetch(b.ip4(), time.Second)
		return err == nil && body == "b"
	})

	// Each kind by itself.
	const apart = `{
		// pods and nodes of the cluster, and people
		"tagOwners": {"tag:x": []},
		"acls": [
			{"action": "accept", "src": ["tag:x"], "dst": ["tag:x:*"]},
			{"action": "accept", "src": ["autogroup:member"], "dst": ["autogroup:member:*"]},
		],
	}`
	s.setPolicy(apart)
	a.sees("people", "b")
	b.sees("people", "a")
	c.sees("nobody of its kind")
	s.cli("nodes", "tag", "b", "tag:x")
	a.sees("nobody of its kind any more")
	b.sees("its new kind", "c")
	c.sees("one more of its kind", "b")

	// One that everybody sees before and after it moves stays in sight.
	s.setPolicy(`{"tagOwners": {"tag:x": [], "tag:y": []}, "acls": [
		{"action": "accept", "src": ["*"], "dst": ["tag:x:*", "tag:y:80"]}]}`)
	a.sees("tagged ones", "b", "c")
	c.sees("everybody", "a", "b")
	s.cli("nodes", "tag", "b", "tag:y")
	eventually(t, inForceWithin, "the other tag at a", func() bool { return hasTag(a.status(), "b", "tag:y") })
	a.sees("tagged ones", "b", "c")
	b.sees("everybody", "a", "c")

	// Nothing, and all again; who was gone meanwhile learns of it with its next map.
	s.setPolicy(`{"acls": []}`)
	for _, n := range []*node{a, b, c} {
		n.sees("nobody")
	}
	s.setPolicy(`{}`)
	a.sees("all", "b", "c")
	b.sees("all", "a", "c")
	c.sees("all", "a", "b")
}

func hasTag(st *ipnstate.Status, host, tag string) bool {
	for _, p := range st.Peer {
		if p.HostName == host && p.Tags != nil {
			for _, x := range p.Tags.All() {
				if x == tag {
					return true
				}
			}
		}
	}
	return false
}

// Who gets a tag belongs to nobody and does not expire, by command and by API, and its client and peers know at once.
func TestTagMovesOwnership(t *testing.T) {
	s := startServer(t)
	k := s.newKey("--reusable").Key
	a, b := joinedNode(t, s, "a", k), joinedNode(t, s, "b", k)
	person := a.status().Self.UserID
	if a.status().Self.KeyExpiry == nil || b.peer("a").UserID != person {
		t.Fatalf("%+v", a.status().Self)
	}
	owned := func() bool {
		self, peer := a.status().Self, b.peer("a")
		return self.KeyExpiry == nil && self.UserID != person && peer != nil && peer.UserID == self.UserID
	}
	s.cli("nodes", "tag", "a", "tag:x")
	eventually(t, inForceWithin, "a is nobody's", func() bool { return owned() && hasTag(b.status(), "a", "tag:x") })
	c := s.apiClient(t)
	c.APIKey = s.apiKey()
	if err := c.Devices().SetTags(ctxFor(t, 5*time.Second), s.nodeNamed("a").ID, []string{"tag:y"}); err != nil {
		t.Fatal(err)
	}
	eventually(t, inForceWithin, "a has the other tag", func() bool {
		return owned() && hasTag(b.status(), "a", "tag:y") && !hasTag(b.status(), "a", "tag:x")
	})
	if n := s.nodeNamed("b"); n == nil || len(n.Tags) != 0 || b.status().Self.UserID != person {
		t.Errorf("b: %+v", n)
	}
}
