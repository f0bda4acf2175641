// Taildrop with real clients: a file goes from a person's device to another one of theirs, as long as the policy lets them
// reach each other; never to somebody else's or a tagged one, and the client says so before it tries.
package scenario

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	_ "tailscale.com/feature/taildrop"
	"tailscale.com/ipn/ipnstate"
	"tailscale.com/tailcfg"
)

func (n *node) stableID() tailcfg.StableNodeID { return n.status().Self.ID }

func (n *node) sendFile(to *node, name, content string) error {
	n.t.Helper()
	return n.lc.PushFile(ctxFor(n.t, 10*time.Second), to.stableID(), int64(len(content)), name, strings.NewReader(content))
}

// receives waits for the file.
func (n *node) receives(name, content string) {
	n.t.Helper()
	ctx := ctxFor(n.t, 10*time.Second)
	files, err := n.lc.AwaitWaitingFiles(ctx, 5*time.Second)
	if err != nil || len(files) != 1 || files[0].Name != name {
		n.t.Fatalf("%s has %v: %v", n.ts.Hostname, files, err)
	}
	r, _, err := n.lc.GetWaitingFile(ctx, name)
	if err != nil {
		n.t.Fatal(err)
	}
	defer r.Close()
	if b, err := io.ReadAll(r); err != nil || string(b) != content {
		n.t.Fatalf("%s has %q: %v", n.ts.Hostname, b, err)
	}
	if err := n.lc.DeleteWaitingFile(ctx, name); err != nil {
		n.t.Fatal(err)
	}
}

func (n *node) awaitTarget(hostname string, want ipnstate.TaildropTargetStatus) {
	n.t.Helper()
	eventually(n.t, 5*time.Second, n.ts.Hostname+" has the right idea of "+hostname, func() bool {
		p := n.peer(hostname)
		return p != nil && p.TaildropTarget == want
	})
}

// putFile is what a client would do that does not ask itself first: the answer's status, 0 for none.
func (n *node) putFile(to *node) int {
	n.t.Helper()
	peer := n.peer(to.ts.Hostname)
	if peer == nil || len(peer.PeerAPIURL) == 0 {
		n.t.Fatalf("%s knows no peer API of %s", n.ts.Hostname, to.ts.Hostname)
	}
	c := &http.Client{Timeout: time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			return n.ts.Dial(ctx, network, addr)
		},
	}}
	req, err := http.NewRequest("PUT", peer.PeerAPIURL[0]+"/v0/put/forced.txt", strings.NewReader("forced"))
	if err != nil {
		n.t.Fatal(err)
	}
	res, err := c.Do(req)
	if err != nil {
		return 0
	}
	res.Body.Close()
	return res.StatusCode
}

func TestTaildrop(t *testing.T) {
	s := startServer(t)
	for _, user := range []string{"ann@example.org", "bob@example.org"} {
		s.cli("users", "create", user)
	}
	anns := s.newKey("--reusable", "--user", "ann@example.org").Key
	phone, laptop := joinedNode(t, s, "phone", anns), joinedNode(t, s, "laptop", anns)
	bobs := joinedNode(t, s, "bobs", s.newKey("--user", "bob@example.org").Key)
	servers := s.newKey("--reusable", "--user", "ann@example.org", "--tags", "tag:srv").Key
	srv, srv2 := joinedNode(t, s, "srv", servers), joinedNode(t, s, "srv-2", servers)

	phone.awaitTarget("laptop", ipnstate.TaildropTargetAvailable)
	if err := phone.sendFile(laptop, "photo.jpg", "a photo"); err != nil {
		t.Fatal(err)
	}
	laptop.receives("photo.jpg", "a photo")
	if err := laptop.sendFile(phone, "an answer.txt", "thanks"); err != nil {
		t.Fatal(err)
	}
	phone.receives("an answer.txt", "thanks")

	for _, c := range []struct{ from, to *node }{{phone, bobs}, {bobs, phone}, {phone, srv}, {srv, phone}} {
		c.from.awaitTarget(c.to.ts.Hostname, ipnstate.TaildropTargetOwnedByOtherUser)
		if err := c.from.sendFile(c.to, "no.txt", "no"); err == nil {
			t.Errorf("%s sent a file to %s", c.from.ts.Hostname, c.to.ts.Hostname)
		}
		if got := c.from.putFile(c.to); got != http.StatusForbidden {
			t.Errorf("%s takes a file of %s: %d", c.to.ts.Hostname, c.from.ts.Hostname, got)
		}
	}
	if got := srv.putFile(srv2); got != http.StatusForbidden { // tagged ones have no user in common
		t.Errorf("a tagged node takes a file of another: %d", got)
	}
	if got := phone.putFile(laptop); got != http.StatusOK {
		t.Errorf("what is allowed, done by hand: %d", got)
	}
	laptop.receives("forced.txt", "forced")

	// The capabilities that would change this are not the policy's to give, as at the service.
	_, err := s.tryCLI("policy", "set", policyFile(t, `{"grants": [{"src": ["bob@example.org"], "dst": ["ann@example.org"],
		"ip": ["*"], "app": {"https://tailscale.com/cap/file-send": [{}]}}]}`))
	if err == nil || !strings.Contains(err.Error(), "capability name must have the form {domain}/{path}") {
		t.Errorf("%v", err)
	}

	// A policy that keeps people to their own devices: which port it opens is all the same, for clients let each other's peer
	// API through. One that keeps even those apart.
	s.setPolicy(`{"acls": [{"action": "accept", "src": ["autogroup:member"], "dst": ["autogroup:self:22"]}]}`)
	eventually(t, inForceWithin, "bob is out of sight", func() bool { return phone.peer("bobs") == nil && phone.peer("srv") == nil })
	if err := phone.sendFile(laptop, "more.txt", "more"); err != nil {
		t.Error(err)
	}
	laptop.receives("more.txt", "more")
	to := laptop.stableID()
	s.setPolicy(`{"acls": []}`)
	eventually(t, inForceWithin, "nobody is in sight", func() bool { return len(phone.status().Peer) == 0 })
	if err := phone.lc.PushFile(ctxFor(t, 2*time.Second), to, 2, "no.txt", strings.NewReader("no")); err == nil {
		t.Error("a file got through although the policy lets nothing through")
	}
}
