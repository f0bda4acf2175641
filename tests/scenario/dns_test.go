// DNS with real clients: names of nodes through the client's own resolver, strange host names among them; settings
// and records that change while clients are connected; split DNS asked for at a name server of ours; the official
// API client; nodes with DNS off.
package scenario

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
	tsapi "tailscale.com/client/tailscale/v2"
	"tailscale.com/ipn"
	"tailscale.com/tailcfg"
	"tailscale.com/types/netmap"
)

// query asks the client's resolver: the answer's code and addresses.
func (n *node) query(name, kind string) (string, []string) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	b, _, err := n.lc.QueryDNS(ctx, name, kind)
	if err != nil {
		return err.Error(), nil
	}
	var m dnsmessage.Message
	if err := m.Unpack(b); err != nil {
		return err.Error(), nil
	}
	var ips []string
	for _, a := range m.Answers {
		switch r := a.Body.(type) {
		case *dnsmessage.AResource:
			ips = append(ips, netip.AddrFrom4(r.A).String())
		case *dnsmessage.AAAAResource:
			ips = append(ips, netip.AddrFrom16(r.AAAA).String())
		}
	}
	slices.Sort(ips)
	return m.RCode.String(), ips
}

// resolves waits until the client's resolver gives these addresses; none: until it says that there is no such name.
func (n *node) resolves(name, kind string, want ...string) {
	n.t.Helper()
	var code string
	var got []string
	for end := time.Now().Add(15 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		code, got = n.query(name, kind)
		if slices.Equal(got, want) && (len(want) > 0 || code == "RCodeNameError") {
			return
		}
	}
	n.t.Fatalf("%s resolves %s %s to %s %v, want %v", n.ts.Hostname, name, kind, code, got, want)
}

// netMap is what the client goes by now.
func (n *node) netMap() *netmap.NetworkMap {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	w, err := n.lc.WatchIPNBus(ctx, ipn.NotifyInitialNetMap)
	if err != nil {
		n.t.Fatal(err)
	}
	defer w.Close()
	for {
		msg, err := w.Next()
		if err != nil {
			n.t.Fatal(err)
		}
		if msg.NetMap != nil {
			return msg.NetMap
		}
	}
}

// told waits until the client was told what ok accepts.
func (n *node) told(what string, ok func(c tailcfg.DNSConfig) bool) {
	n.t.Helper()
	var c tailcfg.DNSConfig
	for end := time.Now().Add(15 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if c = n.netMap().DNS; ok(c) {
			return
		}
	}
	b, _ := json.Marshal(c)
	n.t.Fatalf("%s was not told %s: %s", n.ts.Hostname, what, b)
}

// nameServer answers every question for an A record with the address.
func nameServer(t *testing.T, ip string) string {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	go func() {
		buf := make([]byte, 1500)
		for {
			n, from, err := c.ReadFrom(buf)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(buf[:n]) != nil || len(m.Questions) != 1 {
				continue
			}
			m.Response, m.RecursionAvailable, m.Additionals = true, true, nil
			if m.Questions[0].Type == dnsmessage.TypeA {
				m.Answers = []dnsmessage.Resource{{
					Header: dnsmessage.ResourceHeader{Name: m.Questions[0].Name, Type: dnsmessage.TypeA,
						Class: dnsmessage.ClassINET, TTL: 1},
					Body: &dnsmessage.AResource{A: netip.MustParseAddr(ip).As4()},
				}}
			}
			if b, err := m.Pack(); err == nil {
				_, _ = c.WriteTo(b, from)
			}
		}
	}()
	return c.LocalAddr().String()
}

// Whatever a client calls itself, it gets a name that resolves, and nobody else's name suffers.
func TestDNSNames(t *testing.T) {
	s := startServer(t)
	key := s.newKey("--reusable").Key
	web := joinedNode(t, s, "web", key)
	names := map[string]string{ // host name -> label
		"Ann's MacBook_Pro.local":      "anns-macbook-pro",
		"日本":                           "node",
		"***":                          "node-1",
		"web.lan":                      "web-1",
		strings.Repeat("x", 70) + ".y": strings.Repeat("x", 63),
		"a..b\n\"$(reboot)\"":          "a--breboot",
		"*.tailnet.internal":           "tailnet-internal",
	}
	order := []string{"Ann's MacBook_Pro.local", "日本", "***", "web.lan", strings.Repeat("x", 70) + ".y",
		"a..b\n\"$(reboot)\"", "*.tailnet.internal"}
	for _, hostname := range order {
		n := newLightNode(s, hostname)
		t.Cleanup(n.close)
		if err := n.join(ctxFor(t, 10*time.Second), key); err != nil {
			t.Fatalf("%q: %v", hostname, err)
		}
		if want := names[hostname] + ".tailnet.internal."; n.selfNode().Name != want {
			t.Fatalf("%q is called %s, want %s", hostname, n.selfNode().Name, want)
		}
		web.resolves(n.selfNode().Name, "A", n.selfNode().Addresses[0].Addr().String())
	}
	web.resolves("web.tailnet.internal.", "A", web.ip4().String())
	web.resolves("other.tailnet.internal.", "A")

	// Another host name of the client, another name at its peers; a name given by hand stays.
	other := joinedNode(t, s, "other", key)
	web.resolves("other.tailnet.internal.", "A", other.ip4().String())
	s.cli("nodes", "rename", "other", "mine")
	web.resolves("mine.tailnet.internal.", "A", other.ip4().String())
	web.resolves("other.tailnet.internal.", "A")
	if _, err := s.tryCLI("nodes", "rename", "mine", "web"); err == nil {
		t.Fatal("a node took the name of another")
	}
	web.resolves("web.tailnet.internal.", "A", web.ip4().String())
}

// What an administrator changes is in force on connected clients at once, and after a restart.
func TestDNSSettings(t *testing.T) {
	file := filepath.Join(t.TempDir(), "records.json")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file+".new", []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(file+".new", file); err != nil {
			t.Fatal(err)
		}
	}
	write(`[{"name":"from-file.example","type":"A","value":"192.0.2.7"}]`)
	s := startServer(t, "--dns-extra-records", "fixed.tailnet.internal A 192.0.2.1",
		"--dns-extra-records-path", file)
	key := s.newKey("--reusable").Key
	a, web := joinedNode(t, s, "a", key), joinedNode(t, s, "web", key)
	a.resolves("fixed.tailnet.internal.", "A", "192.0.2.1")
	a.resolves("from-file.example.", "A", "192.0.2.7")

	resolver := nameServer(t, "192.0.2.53")
	s.cli("dns", "split", "corp.test", resolver)
	a.resolves("any.corp.test.", "A", "192.0.2.53")
	s.cli("dns", "set", "search-domains", "corp.test")
	a.told("the search domain", func(c tailcfg.DNSConfig) bool {
		return slices.Equal(c.Domains, []string{"tailnet.internal", "corp.test"}) && c.Proxied &&
			len(c.Routes["corp.test"]) == 1 && c.Routes["64.100.in-addr.arpa"] != nil
	})
	s.cli("dns", "set", "nameservers", resolver)
	a.resolves("anything.else.", "A", "192.0.2.53")
	s.cli("dns", "set", "override-local-dns", "off")
	a.told("a fallback", func(c tailcfg.DNSConfig) bool {
		return len(c.Resolvers) == 0 && len(c.FallbackResolvers) == 1
	})

	// Records: an address, one that follows a node, one in the file.
	s.cli("dns", "add", "db.example", "AAAA", "2001:db8::1")
	s.cli("dns", "add", "www.tailnet.internal", "CNAME", "web")
	a.resolves("db.example.", "AAAA", "2001:db8::1")
	a.resolves("www.tailnet.internal.", "A", web.ip4().String())
	s.cli("nodes", "rename", "web", "elsewhere")
	a.resolves("www.tailnet.internal.", "A")
	s.cli("nodes", "rename", "elsewhere", "web")
	a.resolves("www.tailnet.internal.", "A", web.ip4().String())
	write(`[{"name":"from-file.example","type":"A","value":"192.0.2.8"}`)
	eventually(t, 10*time.Second, "the broken file to be told of", func() bool {
		return strings.Contains(s.log.String(), "the last good ones stay") &&
			strings.Contains(s.cli("dns", "get"), "records.json: ")
	})
	a.resolves("from-file.example.", "A", "192.0.2.7")
	write(`[{"name":"from-file.example","type":"A","value":"192.0.2.8"}]`)
	a.resolves("from-file.example.", "A", "192.0.2.8")
	_, err := s.tryCLI("dns", "add", "*.example", "A", "192.0.2.9")
	if err == nil || !strings.Contains(err.Error(), "a wildcard would never be found") {
		t.Fatalf("a wildcard: %v", err)
	}

	s.stop()
	s.start()
	b := joinedNode(t, s, "b", key)
	for _, n := range []*node{a, b} {
		n.resolves("db.example.", "AAAA", "2001:db8::1")
		n.resolves("any.corp.test.", "A", "192.0.2.53")
		n.resolves("fixed.tailnet.internal.", "A", "192.0.2.1")
		n.resolves("from-file.example.", "A", "192.0.2.8")
	}
	s.cli("dns", "reset")
	b.told("what is configured", func(c tailcfg.DNSConfig) bool {
		return len(c.Domains) == 1 && len(c.FallbackResolvers) == 0 && c.Routes["corp.test"] == nil &&
			len(c.ExtraRecords) == 5
	})
	s.cli("dns", "set", "magic-dns", "off")
	b.told("that MagicDNS is off", func(c tailcfg.DNSConfig) bool { return !c.Proxied })
}

// The official API client reads back what it wrote; the narrower calls and the whole are one state.
func TestDNSAPI(t *testing.T) {
	s := startServer(t)
	c := s.apiClient(t)
	c.APIKey = s.apiKey()
	ctx := ctxFor(t, 30*time.Second)
	dns := c.DNS()
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	ok(dns.SetNameservers(ctx, []string{"1.1.1.1", "https://dns.example/q"}))
	servers, err := dns.Nameservers(ctx)
	ok(err)
	if !slices.Equal(servers, []string{"1.1.1.1", "https://dns.example/q"}) {
		t.Fatal(servers)
	}
	ok(dns.SetSearchPaths(ctx, []string{"corp.example"}))
	paths, err := dns.SearchPaths(ctx)
	ok(err)
	if !slices.Equal(paths, []string{"corp.example"}) {
		t.Fatal(paths)
	}
	ok(dns.SetPreferences(ctx, tsapi.DNSPreferences{MagicDNS: false}))
	preferences, err := dns.Preferences(ctx)
	ok(err)
	if preferences.MagicDNS {
		t.Fatal("MagicDNS is still on")
	}
	ok(dns.SetSplitDNS(ctx, tsapi.SplitDNSRequest{"a.example": {"10.0.0.1"}, "b.example": {"10.0.0.2"}}))
	split, err := dns.UpdateSplitDNS(ctx, tsapi.SplitDNSRequest{"b.example": nil, "c.example": {"10.0.0.3"}})
	ok(err)
	if fmt.Sprint(split) != "map[a.example:[10.0.0.1] c.example:[10.0.0.3]]" {
		t.Fatal(split)
	}
	whole, err := dns.Configuration(ctx)
	ok(err)
	if len(whole.Nameservers) != 2 || len(whole.SplitDNS) != 2 || whole.Preferences.MagicDNS ||
		!whole.Preferences.OverrideLocalDNS || len(whole.SearchPaths) != 1 {
		t.Fatalf("%+v", whole)
	}
	want := tsapi.DNSConfiguration{
		Nameservers: []tsapi.DNSConfigurationResolver{{Address: "9.9.9.9", UseWithExitNode: true}},
		SplitDNS:    map[string][]tsapi.DNSConfigurationResolver{"d.example": {{Address: "10.0.0.4"}}},
		SearchPaths: []string{},
		Preferences: tsapi.DNSConfigurationPreferences{MagicDNS: true},
	}
	ok(dns.SetConfiguration(ctx, want))
	whole, err = dns.Configuration(ctx)
	ok(err)
	if fmt.Sprint(*whole) != fmt.Sprint(want) {
		t.Fatalf("%+v, want %+v", *whole, want)
	}
	want.Nameservers, want.Preferences.OverrideLocalDNS = nil, true
	if err := dns.SetConfiguration(ctx, want); err == nil || !strings.Contains(err.Error(), "nameserver") {
		t.Fatalf("override without a nameserver: %v", err)
	}
}

// Nodes with a tag of dns.no_dns_tags keep their own resolver, so that nothing of ours reaches their pods; other
// nodes still find them.
func TestDNSOff(t *testing.T) {
	s := startServer(t)
	k3s := joinedNode(t, s, "k3s", s.newKey("--tags", "tag:k3s").Key)
	web := joinedNode(t, s, "web", s.newKey().Key)
	s.cli("dns", "set", "nameservers", "192.0.2.53")
	s.cli("dns", "add", "db.example", "A", "192.0.2.1")
	isOff := func(c tailcfg.DNSConfig) bool {
		return !c.Proxied && len(c.Routes)+len(c.Resolvers)+len(c.FallbackResolvers)+len(c.Domains)+len(c.ExtraRecords) == 0
	}
	isOn := func(c tailcfg.DNSConfig) bool {
		return c.Proxied && len(c.Resolvers) == 1 && len(c.ExtraRecords) == 1 && len(c.Routes) > 64
	}
	web.told("the settings", isOn)
	k3s.told("nothing", isOff)
	web.resolves("k3s.tailnet.internal.", "A", k3s.ip4().String())
	s.cli("nodes", "tag", "k3s", "tag:other")
	k3s.told("the settings", isOn)
	s.cli("nodes", "tag", "k3s", "tag:k3s")
	k3s.told("nothing", isOff)
	s.cli("dns", "set", "no-dns-tags", "none")
	k3s.told("the settings", isOn)
	s.cli("dns", "reset", "no-dns-tags")
	k3s.told("nothing", isOff)
}
