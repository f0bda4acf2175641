// Real clients: tsnet nodes, the whole Tailscale client in this process with a userspace network.
package scenario

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"testing"
	"time"

	"tailscale.com/client/local"
	"tailscale.com/envknob"
	"tailscale.com/ipn/ipnstate"
	"tailscale.com/tailcfg"
	"tailscale.com/tsnet"
)

func TestMain(m *testing.M) {
	envknob.SetNoLogsNoSupport()
	os.Setenv("TS_NO_LOGS_NO_SUPPORT", "true")
	os.Exit(m.Run())
}

type node struct {
	t  testing.TB
	ts *tsnet.Server
	lc *local.Client
}

type nodeOptions struct {
	url, key, hostname, dir string
	tags                    []string
	ephemeral               bool
}

func newNode(t testing.TB, o nodeOptions) *node {
	t.Helper()
	if o.dir == "" {
		o.dir = t.TempDir()
	}
	logf := func(string, ...any) {}
	if os.Getenv("VERBOSE_CLIENTS") != "" {
		logf = func(f string, a ...any) { t.Logf(o.hostname+": "+f, a...) }
	}
	ts := &tsnet.Server{
		Dir: o.dir, Hostname: o.hostname, ControlURL: o.url, AuthKey: o.key,
		AdvertiseTags: o.tags, Ephemeral: o.ephemeral, Logf: logf, UserLogf: logf,
	}
	n := &node{t: t, ts: ts}
	t.Cleanup(func() { ts.Close() })
	return n
}

// up waits until the client is Running and returns how long that took.
func (n *node) up(within time.Duration) (*ipnstate.Status, time.Duration, error) {
	begin := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	st, err := n.ts.Up(ctx)
	if err != nil {
		return nil, time.Since(begin), err
	}
	n.lc, err = n.ts.LocalClient()
	return st, time.Since(begin), err
}

func (n *node) mustUp() *ipnstate.Status {
	n.t.Helper()
	st, took, err := n.up(30 * time.Second)
	if err != nil {
		n.t.Fatalf("%s did not come up in %v: %v", n.ts.Hostname, took, err)
	}
	return st
}

func joinedNode(t testing.TB, s *server, hostname, key string) *node {
	t.Helper()
	n := newNode(t, nodeOptions{url: s.url, key: key, hostname: hostname})
	n.mustUp()
	return n
}

func (n *node) status() *ipnstate.Status {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	st, err := n.lc.Status(ctx)
	if err != nil {
		n.t.Fatal(err)
	}
	return st
}

func (n *node) ip4() netip.Addr {
	n.t.Helper()
	a, _ := n.ts.TailscaleIPs()
	if !a.IsValid() {
		n.t.Fatalf("%s has no address", n.ts.Hostname)
	}
	return a
}

// peer is how this node sees the one with that host name, or nil.
func (n *node) peer(hostname string) *ipnstate.PeerStatus {
	n.t.Helper()
	for _, p := range n.status().Peer {
		if p.HostName == hostname {
			return p
		}
	}
	return nil
}

func (n *node) ping(to netip.Addr, kind tailcfg.PingType, within time.Duration) (*ipnstate.PingResult, error) {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	return n.lc.Ping(ctx, to, kind)
}

// serveHTTP answers every request on port 80 of the node's tailnet address.
func (n *node) serveHTTP(body string) {
	n.t.Helper()
	l, err := n.ts.Listen("tcp", ":80")
	if err != nil {
		n.t.Fatal(err)
	}
	go http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, body)
	}))
	n.t.Cleanup(func() { l.Close() })
}

// fetch gets / of another node over the tailnet.
func (n *node) fetch(to netip.Addr, within time.Duration) (string, error) {
	c := &http.Client{
		Timeout: within,
		Transport: &http.Transport{
			DisableKeepAlives: true,
			DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
				return n.ts.Dial(ctx, network, addr)
			},
		},
	}
	res, err := c.Get("http://" + netip.AddrPortFrom(to, 80).String() + "/")
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return string(b), err
}

// relayOnly makes every client of this process use the relay alone until the test ends.
func relayOnly(t testing.TB) {
	t.Helper()
	envknob.Setenv("TS_DEBUG_NEVER_DIRECT_UDP", "true")
	t.Cleanup(func() { envknob.Setenv("TS_DEBUG_NEVER_DIRECT_UDP", "") })
}
