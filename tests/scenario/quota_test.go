// Proves quotas of the relay with the official DERP client: who is limited sends as much as its quota says, and
// nobody beside it less than before; changes are in force at once; a tag's and a user's quota are shared.
package scenario

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tailscale.com/derp"
	"tailscale.com/derp/derphttp"
)

// relayUser is a node that is connected to the relay and counts what it gets.
type relayUser struct {
	n         *lightNode
	c         *derphttp.Client
	got, sent atomic.Int64 // bytes of packets
}

func newRelayUser(t *testing.T, s *server, name, authKey string) *relayUser {
	t.Helper()
	u := &relayUser{n: newLightNode(s, name)}
	t.Cleanup(u.n.close)
	if err := u.n.join(ctxFor(t, 10*time.Second), authKey); err != nil {
		t.Fatal(err)
	}
	u.c = derpClient(t, u.n.node, u.n.derp)
	if err := u.c.Connect(ctxFor(t, 10*time.Second)); err != nil {
		t.Fatal(err)
	}
	if m, err := u.c.Recv(); err != nil {
		t.Fatal(err)
	} else if _, ok := m.(derp.ServerInfoMessage); !ok {
		t.Fatalf("first frame is %T", m)
	}
	go func() {
		for {
			m, err := u.c.Recv()
			if err != nil {
				return
			}
			if p, ok := m.(derp.ReceivedPacket); ok {
				u.got.Add(int64(len(p.Data)))
			}
		}
	}()
	return u
}

// sendTo sends packets until the test ends: 1,400 bytes each, at most perMS in a millisecond; 0: as many as it can.
func (u *relayUser) sendTo(t *testing.T, to *relayUser, perMS int) {
	done := make(chan struct{})
	t.Cleanup(func() { close(done) })
	go func() {
		data := make([]byte, 1400)
		for i := 1; ; i++ {
			select {
			case <-done:
				return
			default:
			}
			if err := u.c.Send(to.n.node.Public(), data); err != nil {
				return
			}
			u.sent.Add(int64(len(data)))
			if perMS > 0 && i%perMS == 0 {
				time.Sleep(time.Millisecond)
			}
		}
	}()
}

// rates of what these get, bytes per second, after a moment in which changes and buffers settle.
func rates(over time.Duration, users ...*relayUser) []float64 {
	time.Sleep(400 * time.Millisecond)
	before, out := make([]int64, len(users)), make([]float64, len(users))
	begin := time.Now()
	for i, u := range users {
		before[i] = u.got.Load()
	}
	time.Sleep(over)
	for i, u := range users {
		out[i] = float64(u.got.Load()-before[i]) / time.Since(begin).Seconds()
	}
	return out
}

func isNear(got, want float64) bool { return got > 0.75*want && got < 1.25*want }

func TestQuotaOfANode(t *testing.T) {
	s := startServer(t, "--workers", "1")
	k := s.newKey("--reusable").Key
	limited, sink := newRelayUser(t, s, "limited", k), newRelayUser(t, s, "sink", k)
	free, freeSink := newRelayUser(t, s, "free", k), newRelayUser(t, s, "freesink", k)

	free.sendTo(t, freeSink, 4)
	alone := rates(2*time.Second, freeSink)[0]
	if alone < 500e3 {
		t.Fatalf("the free pair has %.0f bytes/s only", alone)
	}
	if out := s.cli("quotas", "set", "limited", "400kB/s"); !strings.Contains(out, "Node limited may send 400 kB/s") {
		t.Fatal(out)
	}
	limited.sendTo(t, sink, 0)
	r := rates(3*time.Second, sink, freeSink)
	if !isNear(r[0], 400e3) {
		t.Errorf("quota 400,000 bytes/s: %.0f", r[0])
	}
	if r[1] < 0.7*alone {
		t.Errorf("the pair beside it has %.0f bytes/s, %.0f before", r[1], alone)
	}
	// Another rate, none, and the default: each at once, without a new connection.
	s.cli("quotas", "set", "limited", "8Mbit/s")
	if r := rates(2*time.Second, sink); !isNear(r[0], 1e6) {
		t.Errorf("quota 8 Mbit/s: %.0f bytes/s", r[0])
	}
	s.cli("quotas", "unset", "limited")
	if r := rates(time.Second, sink); r[0] < 3e6 {
		t.Errorf("lifted: %.0f bytes/s", r[0])
	}
	s.cli("quotas", "set", "default", "500kB/s")
	s.cli("quotas", "set", "free", "none")
	r = rates(2*time.Second, sink, freeSink)
	if !isNear(r[0], 500e3) {
		t.Errorf("default 500,000 bytes/s: %.0f", r[0])
	}
	if r[1] < 0.7*alone {
		t.Errorf("without a limit of its own: %.0f bytes/s, %.0f before", r[1], alone)
	}
	if got := s.metric("fairlead_derp_quota_pauses_total"); got < 10 {
		t.Errorf("%v pauses counted", got)
	}
	// All of it is stored, and told.
	s.stop()
	s.start()
	type quota struct {
		Subject, Kind, Source string
		BytesPerSecond, Nodes int
	}
	var list struct{ Quotas []quota }
	s.cliJSON(&list, "quotas", "list")
	want := []quota{{"default", "default", "api", 500000, 3}, {"node:free", "node", "api", 0, 1}}
	if len(list.Quotas) != len(want) || list.Quotas[0] != want[0] || list.Quotas[1] != want[1] {
		t.Errorf("%+v", list.Quotas)
	}
	var audit struct {
		Records []struct{ What, Object string }
	}
	s.cliJSON(&audit, "audit", "list", "--limit", "1")
	if len(audit.Records) == 0 || audit.Records[0].What != "quota.set" ||
		!strings.HasPrefix(audit.Records[0].Object, "quota node ") {
		t.Errorf("%+v", audit.Records)
	}
}

func TestQuotaIsShared(t *testing.T) {
	s := startServer(t, "--workers", "2", "--derp-node-quota", "5MB/s")
	s.cli("users", "create", "bob")
	s.cli("users", "create", "ann")
	for _, c := range []struct {
		subject string
		key     keyInfo
	}{
		{"tag:edge", s.newKey("--reusable", "--tags", "tag:edge", "--user", "bob")},
		{"ann", s.newKey("--reusable", "--user", "ann")},
	} {
		t.Run(c.subject, func(t *testing.T) {
			name := strings.ReplaceAll(c.subject, ":", "-")
			other := s.newKey("--reusable", "--user", "bob").Key
			a, b := newRelayUser(t, s, name+"-a", c.key.Key), newRelayUser(t, s, name+"-b", c.key.Key)
			x, y := newRelayUser(t, s, name+"-x", other), newRelayUser(t, s, name+"-y", other)
			a.sendTo(t, x, 0)
			b.sendTo(t, y, 0)
			s.cli("quotas", "set", c.subject, "800kB/s")
			r := rates(3*time.Second, x, y)
			sum := r[0] + r[1]
			if !isNear(sum, 800e3) {
				t.Errorf("together %.0f bytes/s, not 800,000", sum)
			}
			if r[0] < 0.25*sum || r[1] < 0.25*sum {
				t.Errorf("one has %.0f bytes/s, the other %.0f", r[0], r[1])
			}
			s.cli("quotas", "unset", c.subject)
			if r := rates(2*time.Second, x, y); r[0] < 1.5e6 || r[0] > 1.25*5e6 || r[1] > 1.25*5e6 {
				t.Errorf("then each up to the configured 5 MB/s: %.0f, %.0f bytes/s", r[0], r[1])
			}
		})
	}
}

func TestQuotaIsChecked(t *testing.T) {
	s := startServer(t)
	for _, c := range []struct{ args, want string }{
		{"set nobody 1MB/s", `there is no node or user called "nobody"`},
		{"set default 10M", `"10M" is no rate such as 10MB/s`},
		{"set tag:a 10B/s", "at least 1 kB/s"},
		{"set tag:a none", "needs no quota: unset it"},
		{"unset tag:a", "no quota is set for it"},
	} {
		out, err := s.tryCLI(append([]string{"quotas"}, strings.Fields(c.args)...)...)
		if err == nil {
			err = &quotaOutput{out}
		}
		if !strings.Contains(out+err.Error(), c.want) {
			t.Errorf("quotas %s: %q, %v", c.args, out, err)
		}
	}
}

type quotaOutput struct{ out string }

func (o *quotaOutput) Error() string { return "it was done: " + o.out }
