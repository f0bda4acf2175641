// The policy with real clients: what K3s users paste works as it is, changes are in force on connected nodes within a
// second, what is wrong is refused and harms nobody, what is not confirmed is taken back; the official API client and
// plain HTTP; tags; a policy in a file; hostile policies.
package scenario

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	tsapi "tailscale.com/client/tailscale/v2"
	"tailscale.com/tailcfg"
)

const k3sPolicy = `{
    "acls": [{ "action": "accept", "src": ["tag:testing-k3s", "10.42.0.0/16"], "dst": ["tag:testing-k3s:*", "10.42.0.0/16:*"], }, ],
}
`

const openPolicy = `{"acls": [{"action": "accept", "src": ["*"], "dst": ["*:*"]}]}`

func policyFile(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "policy.hujson")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func (s *server) setPolicy(text string, flags ...string) {
	s.t.Helper()
	s.cli(append([]string{"policy", "set", policyFile(s.t, text)}, flags...)...)
}

type policyInfo struct {
	Version   int
	Author    string
	Comment   string
	Text      string
	Problem   string
	ConfirmBy string
}

func (s *server) policy() policyInfo {
	s.t.Helper()
	var p policyInfo
	s.cliJSON(&p, "policy", "get")
	return p
}

// reaches says whether a gets the page of b within so short a time that it must be allowed.
func reaches(a, b *node) bool {
	body, err := a.fetch(b.ip4(), 3*time.Second)
	return err == nil && body == b.ts.Hostname
}

func TestPolicyK3s(t *testing.T) {
	s := startServer(t)
	tagged := s.newKey("--reusable", "--tags", "tag:testing-k3s").Key
	one, two := joinedNode(t, s, "k3s-one", tagged), joinedNode(t, s, "k3s-two", tagged)
	laptop := joinedNode(t, s, "laptop", s.newKey().Key)
	for _, n := range []*node{one, two, laptop} {
		n.serveHTTP(n.ts.Hostname)
	}
	if !reaches(laptop, one) || !reaches(one, two) {
		t.Fatal("without a policy everybody reaches everybody")
	}

	within := func(what string, ok func() bool) {
		t.Helper()
		begin := time.Now()
		eventually(t, time.Second, what, ok)
		t.Logf("%s: %v after the command", what, time.Since(begin))
	}
	s.setPolicy(k3sPolicy, "--comment", "as the guide has it")
	within("the untagged node is alone", func() bool {
		return len(laptop.status().Peer) == 0 && one.peer("laptop") == nil && two.peer("laptop") == nil
	})
	if one.peer("k3s-two") == nil || two.peer("k3s-one") == nil || !reaches(one, two) || !reaches(two, one) {
		t.Fatal("nodes of the cluster do not reach each other")
	}
	if p := s.policy(); p.Text != k3sPolicy || p.Version != 1 || p.Comment != "as the guide has it" {
		t.Fatalf("%+v", p)
	}

	// Live: the laptop may open the page of one, and sees no other.
	more := strings.Replace(k3sPolicy, "}, ],", `}, { "action": "accept", "src": ["*"], "dst": ["`+
		one.ip4().String()+`:80"] }],`, 1)
	s.setPolicy(more)
	within("the laptop sees one", func() bool {
		return laptop.peer("k3s-one") != nil && laptop.peer("k3s-two") == nil && one.peer("laptop") != nil
	})
	if !reaches(laptop, one) {
		t.Fatal("the new rule is not in force")
	}

	// Refused: nothing changes.
	bad := policyFile(t, strings.Replace(more, `"accept"`, `"deny"`, 1))
	if _, err := s.tryCLI("policy", "set", bad); err == nil || !strings.Contains(err.Error(), `line 2, column`) ||
		!strings.Contains(err.Error(), `"deny" is not supported`) {
		t.Fatalf("a bad policy: %v", err)
	}
	failing := policyFile(t, strings.Replace(more, "{", `{ "tests": [{"src": "`+laptop.ip4().String()+`", "deny": ["`+
		one.ip4().String()+`:80"]}],`, 1))
	if _, err := s.tryCLI("policy", "set", failing); err == nil || !strings.Contains(err.Error(), "test(s) failed") ||
		!strings.Contains(err.Error(), one.ip4().String()+":80") {
		t.Fatalf("a policy whose tests fail: %v", err)
	}
	if p := s.policy(); p.Version != 2 || !reaches(laptop, one) {
		t.Fatalf("%+v", p)
	}

	// Explained and planned.
	if out := s.cli("policy", "explain", "laptop", "k3s-one:80"); !strings.Contains(out, "allowed") {
		t.Error(out)
	}
	if out := s.cli("policy", "explain", "laptop", "k3s-two:80"); !strings.Contains(out, "denied") {
		t.Error(out)
	}
	if out := s.cli("policy", "plan", policyFile(t, k3sPolicy)); !strings.Contains(out, "laptop") {
		t.Error(out)
	}
	if out := s.cli("policy", "diff", "1"); !strings.Contains(out, "\n-    \"acls\"") && !strings.Contains(out, "+++ version 2") {
		t.Error(out)
	}

	s.cli("policy", "rollback", "1")
	within("rolled back, the laptop is alone", func() bool {
		return len(laptop.status().Peer) == 0 && one.peer("laptop") == nil
	})
	if p := s.policy(); p.Version != 3 || p.Text != k3sPolicy {
		t.Fatalf("%+v", p)
	}
	s.cli("policy", "set", policyFile(t, openPolicy))
	within("open again, everybody sees everybody", func() bool {
		return len(laptop.status().Peer) == 2 && len(one.status().Peer) == 2
	})
	if !reaches(laptop, two) {
		t.Fatal("the laptop does not reach two")
	}
}

// --confirm-within: taken back by itself, confirmed, and taken back although the server was down at the time.
func TestPolicyConfirm(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	key := s.newKey("--reusable").Key
	a, b := newLightNode(s, "a"), newLightNode(s, "b")
	for _, n := range []*lightNode{a, b} {
		defer n.close()
		if err := n.join(ctxFor(t, 10*time.Second), key); err != nil {
			t.Fatal(err)
		}
	}
	seen := func() bool { return a.peerNamed("b") != nil && b.peerNamed("a") != nil }
	eventually(t, 3*time.Second, "they see each other", seen)
	s.setPolicy(openPolicy)

	s.setPolicy(`{"acls": []}`, "--confirm-within", "5s")
	eventually(t, time.Second, "nobody sees anybody", func() bool { return a.peerNamed("b") == nil })
	eventually(t, 8*time.Second, "it is taken back", seen)
	if p := s.policy(); p.Version != 3 || p.Text != openPolicy || p.Author != "confirmation" {
		t.Fatalf("%+v", p)
	}

	s.setPolicy(`{"acls": []}`, "--confirm-within", "5s")
	s.cli("policy", "confirm", "4")
	time.Sleep(6 * time.Second)
	if p := s.policy(); p.Version != 4 || p.ConfirmBy != "" || a.peerNamed("b") != nil {
		t.Fatalf("confirmed: %+v", p)
	}

	s.setPolicy(openPolicy, "--confirm-within", "5s")
	s.kill()
	time.Sleep(6 * time.Second)
	s.start()
	eventually(t, 3*time.Second, "the start takes it back", func() bool { return s.policy().Version == 6 })
	if p := s.policy(); p.Text != `{"acls": []}` {
		t.Fatalf("%+v", p)
	}
	out := s.cli("policy", "history")
	if strings.Count(out, "was not confirmed in time") != 2 {
		t.Error(out)
	}
}

// What is stored never stops the server.
func TestPolicyBrokenStored(t *testing.T) {
	s := startServer(t)
	s.setPolicy(k3sPolicy)
	s.stop()
	sqlite(t, filepath.Join(s.dir, "fairlead.db"), "INSERT INTO policies SELECT tailnet_id, 2, made_unix_s, author, '', 0, 0,"+
		" CAST('{\"from\": \"the future\"}' AS BLOB) FROM policies")
	s.start()
	p := s.policy()
	if p.Version != 1 || p.Text != k3sPolicy || !strings.Contains(p.Problem, "line 1, column 2") {
		t.Fatalf("%+v", p)
	}
	if log := s.log.String(); !strings.Contains(log, "stored policy is not understood") {
		t.Error("nothing in the log")
	}
	if m := s.metricsText(t); !strings.Contains(m, "\nfairlead_policy_invalid 1\n") {
		t.Error("the gauge is not set")
	}
	var status struct{ Policy struct{ Problem string } }
	s.cliJSON(&status, "status")
	if status.Policy.Problem == "" {
		t.Error("the status says nothing")
	}
	// Tests that fail by now do not matter at a start, but are told of.
	s.stop()
	sqlite(t, filepath.Join(s.dir, "fairlead.db"), "DELETE FROM policies WHERE version = 2", "UPDATE policies SET text ="+
		" CAST('{\"acls\": [], \"tests\": [{\"src\": \"100.64.0.1\", \"accept\": [\"100.64.0.2:22\"]}]}' AS BLOB)")
	s.start()
	if p := s.policy(); p.Version != 1 || p.Problem != "" {
		t.Fatalf("%+v", p)
	}
	eventually(t, 5*time.Second, "the log tells of failing tests", func() bool {
		return strings.Contains(s.log.String(), "would be refused today")
	})
	s.setPolicy(openPolicy)
	if p := s.policy(); p.Version != 2 || p.Problem != "" {
		t.Fatalf("%+v", p)
	}
	if m := s.metricsText(t); !strings.Contains(m, "\nfairlead_policy_invalid 0\n") {
		t.Error("the gauge is still set")
	}
}

func (s *server) metricsText(t *testing.T) string {
	t.Helper()
	res, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/metrics", s.metrics))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// The official client: what Terraform and gitops-pusher do.
func TestPolicyAPI(t *testing.T) {
	s := startServer(t)
	c := s.apiClient(t)
	c.APIKey = s.apiKey()
	ctx := ctxFor(t, 30*time.Second)
	policies := c.PolicyFile()

	raw, err := policies.Raw(ctx)
	if err != nil || !strings.Contains(raw.HuJSON, "No policy is set") || raw.ETag != `"ts-default"` {
		t.Fatalf("%+v %v", raw, err)
	}
	if err := policies.Set(ctx, k3sPolicy, "ts-default"); err != nil {
		t.Fatal(err)
	}
	if err := policies.Set(ctx, openPolicy, "ts-default"); err == nil || !strings.Contains(err.Error(), "(412)") {
		t.Fatalf("a lost change: %v", err)
	}
	if raw, err = policies.Raw(ctx); err != nil || raw.HuJSON != k3sPolicy {
		t.Fatalf("%+v %v", raw, err)
	}
	acl, err := policies.Get(ctx)
	if err != nil || len(acl.ACLs) != 1 || acl.ACLs[0].Source[0] != "tag:testing-k3s" || acl.ETag != raw.ETag {
		t.Fatalf("%+v %v", acl, err)
	}
	acl.TagOwners = map[string][]string{"tag:testing-k3s": {}}
	acl.Groups = map[string][]string{"group:ops": {"ann@example.org"}}
	acl.RandomizeClientPort = true
	next, err := policies.SetAndGet(ctx, *acl, acl.ETag)
	if err != nil || next.ETag == acl.ETag || len(next.Groups) != 1 || !next.RandomizeClientPort {
		t.Fatalf("%+v %v", next, err)
	}
	if err := policies.Validate(ctx, *next); err != nil {
		t.Error(err)
	}
	if err := policies.Validate(ctx, k3sPolicy); err != nil {
		t.Error(err)
	}
	if err := policies.Validate(ctx, `{"acls": 7}`); err == nil || !strings.Contains(err.Error(), "line 1, column 10: ") {
		t.Errorf("a bad policy is valid: %v", err)
	}
	if err := policies.Validate(ctx, []tsapi.ACLTest{{Source: "10.42.0.7", Accept: []string{"10.42.1.1:80"}}}); err != nil {
		t.Error(err)
	}
	if err := policies.Validate(ctx, []tsapi.ACLTest{{Source: "10.43.0.7", Accept: []string{"10.42.1.1:80"}}}); err == nil ||
		!strings.Contains(err.Error(), "test(s) failed") {
		t.Errorf("a failing test: %v", err)
	}
	if err := policies.Set(ctx, "", ""); err != nil {
		t.Fatal(err)
	}
	if raw, err = policies.Raw(ctx); err != nil || raw.ETag != `"ts-default"` {
		t.Fatalf("after the reset: %+v %v", raw, err)
	}
}

// As with curl: ETag and If-Match, and an answer for machines to every fault.
func TestPolicyPlainHTTP(t *testing.T) {
	s := startServer(t)
	key := s.apiKey()
	do := func(method, path, body string, fields ...string) (*http.Response, string) {
		t.Helper()
		req, err := http.NewRequest(method, s.url+"/api/v2/tailnet/-/acl"+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.SetBasicAuth(key, "")
		for i := 0; i < len(fields); i += 2 {
			req.Header.Set(fields[i], fields[i+1])
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res, string(b)
	}
	res, text := do("POST", "", k3sPolicy, "Content-Type", "application/hujson", "Accept", "application/hujson")
	if res.StatusCode != 200 || text != k3sPolicy || res.Header.Get("Content-Type") != "application/hujson" {
		t.Fatalf("%s\n%s", res.Status, text)
	}
	etag := res.Header.Get("ETag")
	if res, _ := do("POST", "", openPolicy, "If-Match", `"0123"`); res.StatusCode != 412 {
		t.Error(res.Status)
	}
	if res, _ := do("POST", "", openPolicy, "If-Match", etag); res.StatusCode != 200 || res.Header.Get("ETag") == etag {
		t.Error(res.Status, res.Header)
	}
	res, text = do("GET", "?details=1", "", "Accept", "application/hujson")
	var details struct {
		ACL      []byte
		Warnings []string
	}
	if err := json.Unmarshal([]byte(text), &details); err != nil || string(details.ACL) != openPolicy {
		t.Errorf("%s %v %+v", res.Status, err, details)
	}
	res, text = do("POST", "/preview?type=ipport&previewFor=10.42.0.1:80", k3sPolicy)
	var preview struct {
		Matches []struct {
			Users, Ports []string
			LineNumber   int
		}
	}
	if err := json.Unmarshal([]byte(text), &preview); err != nil || len(preview.Matches) != 1 ||
		preview.Matches[0].LineNumber != 2 || preview.Matches[0].Users[1] != "10.42.0.0/16" {
		t.Errorf("%s %s", res.Status, text)
	}
	for _, bad := range []string{"{", "[]", "{}{}", `{"acls": [{"action": "accept"`, "\xff", `{"hosts": {"a": "10.0.0.0/33"}}`} {
		res, text := do("POST", "", bad)
		var e struct {
			Message string
			Status  int
			Data    []struct{ Errors []string }
		}
		if err := json.Unmarshal([]byte(text), &e); err != nil || res.StatusCode != 400 || e.Status != 400 ||
			!strings.HasPrefix(e.Message, "line ") || len(e.Data) == 0 {
			t.Errorf("%q: %s %s", bad, res.Status, text)
		}
	}
}

// tagOwners, as clients meet them.
func TestPolicyTagOwners(t *testing.T) {
	s := startServer(t)
	tagged := s.newKey("--reusable", "--tags", "tag:k3s").Key
	s.cli("users", "create", "ann@example.org")
	s.setPolicy(`{"grants": [], "tagOwners": {"tag:k3s": ["ann@example.org"], "tag:edge": ["tag:k3s"], "tag:db": []}}`)
	anns := s.newKey("--reusable", "--user", "ann@example.org").Key
	join := func(key string, tags ...string) (*lightNode, error) {
		n := newLightNode(s, "n")
		t.Cleanup(n.close)
		n.hostinfo.RequestTags = tags
		return n, n.join(ctxFor(t, 10*time.Second), key)
	}
	n, err := join(tagged, "tag:edge")
	if err != nil || strings.Join(n.selfNode().Tags, " ") != "tag:edge tag:k3s" {
		t.Fatalf("%v", err)
	}
	if n, err = join(anns, "tag:edge"); err != nil || strings.Join(n.selfNode().Tags, " ") != "tag:edge" {
		t.Fatalf("%v", err)
	}
	for _, c := range []struct{ key, tag, why string }{
		{tagged, "tag:db", "requested tags [tag:db] are invalid or not permitted: none of [tag:k3s] owns tag:db"},
		{anns, "tag:db", "user ann@example.org does not own tag:db"},
		{anns, "tag:nowhere", "tag:nowhere is not among the tagOwners"},
	} {
		if _, err := join(c.key, c.tag); err == nil || !strings.Contains(err.Error(), c.why) {
			t.Errorf("%s: %v", c.tag, err)
		}
	}
	if _, err := s.tryCLI("keys", "create", "--user", "ann@example.org", "--tags", "tag:nowhere"); err == nil ||
		!strings.Contains(err.Error(), "tag:nowhere is not among the tagOwners") {
		t.Errorf("a key with an unknown tag: %v", err)
	}
	// A real client shows it to its user.
	c := newNode(t, nodeOptions{url: s.url, hostname: "real", key: anns, tags: []string{"tag:db"}})
	if _, _, err := c.up(10 * time.Second); err == nil || !strings.Contains(err.Error(), "user ann@example.org does not own tag:db") {
		t.Errorf("what its user sees: %v", err)
	}
	if s.nodeNamed("real") != nil {
		t.Error("a refused node was stored")
	}
}

// policy.path: the file is the policy.
func TestPolicyInFile(t *testing.T) {
	path := policyFile(t, k3sPolicy)
	s := startServer(t, "--policy-path", path)
	eventually(t, 5*time.Second, "the file is in force", func() bool { return s.policy().Text == k3sPolicy })
	if _, err := s.tryCLI("policy", "set", policyFile(t, openPolicy)); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("set beside the file: %v", err)
	}
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	eventually(t, 6*time.Second, "the broken file is noticed", func() bool { return s.policy().Problem != "" })
	if p := s.policy(); p.Text != k3sPolicy || !strings.Contains(p.Problem, path) {
		t.Fatalf("%+v", p)
	}
	if err := os.WriteFile(path, []byte(openPolicy), 0o600); err != nil {
		t.Fatal(err)
	}
	eventually(t, 6*time.Second, "the mended file is in force", func() bool { return s.policy().Text == openPolicy })
	if err := os.WriteFile(path, []byte("["), 0o600); err != nil {
		t.Fatal(err)
	}
	s.stop()
	s.start() // a broken file does not stop it
	if p := s.policy(); p.Text != openPolicy || p.Problem == "" {
		t.Fatalf("%+v", p)
	}
}

// Policies made to hurt: refused, or done, while a connected client is served as ever.
func TestPolicyHostile(t *testing.T) {
	s := startServer(t)
	key := s.newKey("--reusable").Key
	nodes := make([]*lightNode, 20)
	if err := parallel(len(nodes), 8, func(i int) error {
		nodes[i] = newLightNode(s, fmt.Sprintf("n%d", i))
		return nodes[i].join(ctxFor(t, 20*time.Second), key)
	}); err != nil {
		t.Fatal(err)
	}
	for _, n := range nodes {
		defer n.close()
	}
	list := func(n int, item func(i int) string) string {
		var b bytes.Buffer
		for i := range n {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString(item(i))
		}
		return b.String()
	}
	rule := func(src, dst string) string {
		return `{"action":"accept","src":[` + src + `],"dst":[` + dst + `]}`
	}
	sshRule := func(users string) string {
		return `{"action":"accept","src":["autogroup:member"],"dst":["autogroup:member"],"users":[` + users + `]}`
	}
	ip := func(i int) string { return fmt.Sprintf(`"100.64.%d.%d"`, i>>8&255, i&255) }
	port := func(i int) string { return fmt.Sprintf(`"100.64.%d.%d:%d"`, i>>8&255, i&255, 1+i%60000) }
	cases := []struct {
		name, text string
		refused    string // "": taken
	}{
		{"10 MiB", `{"acls":[],"hosts":{` + strings.Repeat(" ", 10<<20) + `}}`, "longer than"},
		{"100,000 rules", `{"acls":[` + list(50000, func(int) string { return rule(`"*"`, `"*:1"`) }) + `]}`, "rules"},
		{"200,000 pairs", `{"acls":[` + list(4000, func(int) string {
			return rule(`"*"`, list(50, func(i int) string { return fmt.Sprintf(`"*:%d"`, i+1) }))
		}) + `]}`, "destinations"},
		{"deep lists", strings.Repeat("[", 1<<20), "deep"},
		{"deep objects", strings.Repeat(`{"a":`, 1<<19), "deep"},
		{"groups in groups", `{"groups":{"group:a":["group:b"],"group:b":["group:a"]},"acls":[]}`, "recursive"},
		{"ipsets in circles", `{"ipsets":{"ipset:a":["add ipset:b"],"ipset:b":["add ipset:a"]},"acls":[]}`, "ipset"},
		{"costly tests", `{"acls":[` + list(9000, func(i int) string { return rule(`"*"`, port(i)) }) + `],"tests":[` +
			list(300, func(i int) string {
				return `{"src":"100.64.0.1","deny":[` + list(300, func(j int) string { return `"100.64.0.2:` + itoa(j+1) + `"` }) + `]}`
			}) + `]}`, "test(s) failed"},
		{"2,000 ssh rules", `{"ssh":[` + list(2000, func(int) string { return sshRule(`"root"`) }) + `]}`, "ssh rules"},
		{"long ssh rules", `{"ssh":[` + list(1000, func(int) string {
			return sshRule(`"localpart:*@example.com","` + strings.Repeat("x", 2500) + `"`)
		}) + `]}`, "would be told"},
		{"19,000 rules", `{"acls":[` + list(19000, func(i int) string { return rule(ip(i), port(i*7)) }) + `]}`, ""},
		{"90,000 pairs", `{"acls":[` + list(1800, func(i int) string {
			return rule(ip(i%20), list(50, func(j int) string { return port(i*50 + j) }))
		}) + `]}`, ""},
		{"wide", `{"acls":[` + rule(list(5000, ip), list(5000, port)) + `]}`, ""},
	}
	apiKey := s.apiKey()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			path := policyFile(t, c.text)
			var worst time.Duration
			for try := 1; try <= 3; try++ { // the machine may have other things to do
				if worst = s.worstAnswer(t, apiKey, func() {
					_, err := s.tryCLI("policy", "set", path)
					if c.refused == "" && err != nil {
						t.Errorf("refused: %v", err)
					}
					if c.refused != "" && (err == nil || !strings.Contains(err.Error(), c.refused)) {
						t.Errorf("not refused as %q: %.300v", c.refused, err)
					}
				}); worst < 250*time.Millisecond {
					break
				}
				s.setPolicy(`{"acls": []}`)
			}
			t.Logf("longest answer meanwhile: %v", worst)
			if worst >= 250*time.Millisecond {
				t.Error("others were held up")
			}
		})
	}
	s.setPolicy(openPolicy)
	eventually(t, 5*time.Second, "everybody sees everybody", func() bool {
		for _, n := range nodes {
			count := 0
			n.view(func(_ *tailcfg.Node, peers map[tailcfg.NodeID]*tailcfg.Node) { count = len(peers) })
			if count != len(nodes)-1 || n.ended() != nil {
				return false
			}
		}
		return true
	})
}

// worstAnswer asks the coordinator all the while, and says how long the slowest answer took.
func (s *server) worstAnswer(t *testing.T, key string, fn func()) time.Duration {
	t.Helper()
	var stop atomic.Bool
	result := make(chan time.Duration)
	go func() {
		var worst time.Duration
		for !stop.Load() {
			req, _ := http.NewRequest("GET", s.url+"/api/fairlead/v1/users", nil)
			req.SetBasicAuth(key, "")
			begin := time.Now()
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Error(err)
				break
			}
			_, _ = io.Copy(io.Discard, res.Body)
			res.Body.Close()
			if took := time.Since(begin); took > worst {
				worst = took
			}
			time.Sleep(2 * time.Millisecond)
		}
		result <- worst
	}()
	fn()
	time.Sleep(300 * time.Millisecond) // its distribution, too
	stop.Store(true)
	return <-result
}
