// What clients do for each other when the policy says so: Taildrive, relays among the nodes, capabilities of applications;
// and `tailscale serve`, which needs nothing but a way through. With the programs that people have.
package scenario

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"tailscale.com/tailcfg"
)

// whoisCaps is what the owner of the address may do at this node, as applications ask for it.
func (n *node) whoisCaps(who netip.Addr) tailcfg.PeerCapMap {
	n.t.Helper()
	w, err := n.lc.WhoIs(ctxFor(n.t, 10*time.Second), netip.AddrPortFrom(who, 0).String())
	if err != nil {
		n.t.Fatal(err)
	}
	return w.CapMap
}

func TestCapabilitiesOfApplications(t *testing.T) {
	s := startServer(t)
	user := joinedNode(t, s, "user", s.newKey().Key)
	srv := joinedNode(t, s, "srv", s.newKey("--tags", "tag:srv").Key)
	other := joinedNode(t, s, "other", s.newKey("--tags", "tag:other").Key)
	const app = "example.org/cap/shop"
	grant := func(role string) {
		s.setPolicy(`{"tagOwners": {"tag:srv": [], "tag:other": []}, "grants": [{"src": ["*"], "dst": ["*"], "ip": ["*"]},
			{"src": ["autogroup:member"], "dst": ["tag:srv"], "app": {"` + app + `": [{"role": "` + role + `"}, {"n": 7}],
				"tailscale.com/cap/webui": [{"canEdit": ["*"]}]}}]}`)
		eventually(t, inForceWithin, "the server knows the role "+role, func() bool {
			values, err := tailcfg.UnmarshalCapJSON[struct {
				Role string
				N    int
			}](srv.whoisCaps(user.ip4()), app)
			return err == nil && len(values) == 2 && values[0].Role == role && values[1].N == 7
		})
	}
	grant("buyer")
	if !srv.whoisCaps(user.ip4()).HasCapability("tailscale.com/cap/webui") {
		t.Error("one of two capabilities is missing")
	}
	if got := srv.whoisCaps(other.ip4()); len(got) != 0 {
		t.Errorf("other has %v", got)
	}
	if got := user.whoisCaps(srv.ip4()); len(got) != 0 {
		t.Errorf("the other way round: %v", got)
	}
	grant("clerk")
	s.setPolicy(`{}`)
	eventually(t, inForceWithin, "none is left", func() bool { return len(srv.whoisCaps(user.ip4())) == 0 })
}

// nsHTTP sends a request from inside a namespace; status 0: nobody answers.
func nsHTTP(t *testing.T, ns, method, url, body string) (status int, answer string) {
	t.Helper()
	inNetns(t, ns, func() error {
		c, err := net.DialTimeout("tcp", strings.Split(url, "/")[2], 2*time.Second)
		if err != nil {
			return nil
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(5 * time.Second))
		req, err := http.NewRequest(method, url, strings.NewReader(body))
		if err != nil {
			return err
		}
		req.Close = true
		if err := req.Write(c); err != nil {
			return nil
		}
		res, err := http.ReadResponse(bufio.NewReader(c), req)
		if err != nil {
			return nil
		}
		defer res.Body.Close()
		b, _ := io.ReadAll(res.Body)
		status, answer = res.StatusCode, string(b)
		return nil
	})
	return status, answer
}

const featurePolicy = `{
	"tagOwners": {"tag:relay": []},
	"nodeAttrs": [{"target": ["autogroup:member"], "attr": ["drive:share", "drive:access"]}],
	"grants": [
		{"src": ["*"], "dst": ["*"], "ip": ["*"]},
		%s
	],
}`

const driveGrant = `{"src": ["autogroup:member"], "dst": ["autogroup:self"],
	"app": {"tailscale.com/cap/drive": [{"shares": ["papers"], "access": "%s"}]}},`

const relayGrant = `{"src": ["autogroup:member"], "dst": ["tag:relay"], "app": {"tailscale.com/cap/relay": []}},`

// Two machines behind NATs between which no UDP passes, and one that both reach.
func TestFeaturesOfClients(t *testing.T) {
	t.Parallel()
	l := newLab(t, false)
	s := l.server
	s.setPolicy(fmt.Sprintf(featurePolicy, ""))
	for i, nat := range l.nats {
		run(t, "", "ip", "netns", "exec", nat, "nft", "add", "rule", "ip", "filter", "forward",
			"ip", "daddr", labNATIPs[1-i], "meta", "l4proto", "udp", "drop")
	}
	up := "tailscale up --timeout=40s --login-server=http://" + labServerIP + " --authkey="
	key := s.newKey("--reusable").Key
	a, b := startNatNode(t, l, l.nodes[0], "alpha"), startNatNode(t, l, l.nodes[1], "beta")
	a.sh(up + key)
	b.sh(up + key)
	nsPing(t, l.nodes[0], b.ip4(), 10*time.Second)
	t.Run("serve", func(t *testing.T) { serving(t, l, a, b) })
	t.Run("drive", func(t *testing.T) { driving(t, l, a, b) })
	t.Run("relay", func(t *testing.T) { relaying(t, l, a, b, up) })
}

func serving(t *testing.T, l *lab, a, b *natNode) {
	b.sh("tailscale serve --bg --http=8081 text:hello")
	b.sh("tailscale serve --bg --tcp=8082 tcp://" + labServerIP + ":80")
	eventually(t, 5*time.Second, "the page of beta is there, by its name", func() bool {
		out, err := a.try("wget -q -O - -T 3 http://beta.tailnet.internal:8081/")
		return err == nil && out == "hello"
	})
	if status, _ := nsHTTP(t, l.nodes[0], "GET", "http://"+b.ip4().String()+":8082/health", ""); status != 200 {
		t.Errorf("what beta passes on: %d", status)
	}
	// With a certificate: nodes get none, and people are told so.
	if out := b.sh("tailscale serve --bg 8081"); !strings.Contains(out, "not available on this server") {
		t.Error(out)
	}
	if out := b.sh("tailscale serve status"); strings.Contains(out, "https://") {
		t.Error(out)
	}
}

func driving(t *testing.T, l *lab, a, b *natNode) {
	const paper = "http://100.100.100.100:8080/tailnet.internal/beta/papers/one.txt"
	b.sh("mkdir -p /var/lib/papers && echo a paper >/var/lib/papers/one.txt")
	b.sh("tailscale drive share papers /var/lib/papers")
	ask := func(method string) (int, string) { return nsHTTP(t, l.nodes[0], method, paper, "mine now\n") }
	is := func(status int, body string) bool {
		got, text := ask("GET")
		return got == status && text == body
	}
	grant := func(access string) {
		t.Helper()
		l.server.setPolicy(fmt.Sprintf(featurePolicy, fmt.Sprintf(driveGrant, access)))
	}
	if status, body := ask("GET"); status != http.StatusForbidden || !strings.Contains(body, "not permitted") {
		t.Errorf("without a grant: %d %q", status, body)
	}
	isListed := func() bool {
		_, list := nsHTTP(t, l.nodes[0], "PROPFIND", "http://100.100.100.100:8080/tailnet.internal/", "")
		return strings.Contains(list, "beta")
	}
	if isListed() {
		t.Error("without a grant, beta is listed as one that shares")
	}
	grant("ro")
	eventually(t, 5*time.Second, "the paper is there", func() bool { return is(http.StatusOK, "a paper\n") })
	eventually(t, 20*time.Second, "beta is listed as one that shares", isListed)
	if status, _ := ask("PUT"); status != http.StatusForbidden || !is(http.StatusOK, "a paper\n") {
		t.Errorf("written where it may be read only: %d", status)
	}
	grant("rw")
	eventually(t, 5*time.Second, "the paper may be written", func() bool {
		status, _ := ask("PUT")
		return status == http.StatusCreated && is(http.StatusOK, "mine now\n")
	})
	l.server.setPolicy(`{"grants": [{"src": ["*"], "dst": ["*"], "ip": ["*"]}, ` +
		strings.TrimSuffix(fmt.Sprintf(driveGrant, "rw"), ",") + `]}`)
	eventually(t, 5*time.Second, "without the attributes there is nothing", func() bool {
		status, _ := ask("GET")
		return status != http.StatusOK
	})
}

func relaying(t *testing.T, l *lab, a, b *natNode, up string) {
	ns := newNetns(t, "relay")
	l.attach(t, ns, "eth0", "203.0.113.60")
	c := startNatNode(t, l, ns, "gamma")
	c.sh(up + l.server.newKey("--tags", "tag:relay").Key)
	c.sh("tailscale set --relay-server-port=40000")
	l.server.setPolicy(fmt.Sprintf(featurePolicy, ""))
	if out, _ := a.try("tailscale ping --c=4 --until-direct=false beta"); strings.Count(out, "via DERP") != 4 {
		t.Errorf("without a grant:\n%s", out)
	}
	l.server.setPolicy(fmt.Sprintf(featurePolicy, relayGrant))
	eventually(t, 30*time.Second, "alpha reaches beta by gamma", func() bool {
		out, _ := a.try("tailscale ping --c=1 --until-direct=false beta")
		return strings.Contains(out, "via peer-relay(203.0.113.60:40000")
	})
}
