// API v2 with clients we did not write: the official Go client with an API key and as an OAuth client, plain
// HTTP as curl sends it, and a node that joins with an OAuth client's secret. Then what the console uses:
// its sign-in over TLS, its events.
package scenario

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
	"time"

	tsapi "tailscale.com/client/tailscale/v2"
)

func (s *server) apiKey(flags ...string) string {
	return strings.TrimSpace(s.cli(append([]string{"apikeys", "create", "-q"}, flags...)...))
}

func (s *server) apiClient(t *testing.T) *tsapi.Client {
	t.Helper()
	base, err := url.Parse(s.url)
	if err != nil {
		t.Fatal(err)
	}
	return &tsapi.Client{BaseURL: base}
}

func TestAPIDevices(t *testing.T) {
	s := startServer(t)
	k := s.newKey("--reusable").Key
	tagged := s.newKey("--reusable", "--tags", "tag:cam").Key
	a, b := newLightNode(s, "alpha"), newLightNode(s, "beta")
	for n, key := range map[*lightNode]string{a: k, b: tagged} {
		defer n.close()
		if err := n.join(ctxFor(t, 10*time.Second), key); err != nil {
			t.Fatal(err)
		}
	}
	c := s.apiClient(t)
	c.APIKey = s.apiKey()
	ctx := ctxFor(t, 30*time.Second)
	devices := c.Devices()

	all, err := devices.ListWithAllFields(ctx)
	if err != nil || len(all) != 2 {
		t.Fatalf("%v %v", all, err)
	}
	id := string(a.selfNode().StableID)
	d, err := devices.Get(ctx, id)
	if err != nil || d.NodeID != id || d.ID != id || d.Hostname != "alpha" || !strings.HasPrefix(d.Name, "alpha.") ||
		strings.HasSuffix(d.Name, ".") || !d.ConnectedToControl || d.LastSeen != nil || len(d.Addresses) != 2 ||
		d.Addresses[0] != a.selfNode().Addresses[0].Addr().String() || !d.Authorized || d.KeyExpiryDisabled {
		t.Fatalf("%+v %v", d, err)
	}
	some, err := devices.List(ctx, tsapi.WithFilter("tags", []string{"tag:cam"}))
	if err != nil || len(some) != 1 || some[0].Hostname != "beta" || !some[0].KeyExpiryDisabled {
		t.Fatalf("%+v %v", some, err)
	}
	if _, err := devices.List(ctx, tsapi.WithFilter("colour", []string{"red"})); err == nil {
		t.Fatal("an unknown filter was ignored")
	}

	steps := []struct {
		what string
		err  error
	}{
		{"name", devices.SetName(ctx, id, "gamma")},
		{"tags", devices.SetTags(ctx, id, []string{"tag:k3s"})},
		{"no tags", devices.SetTags(ctx, id, nil)},
		{"key", devices.SetKey(ctx, id, tsapi.DeviceKey{KeyExpiryDisabled: true})},
		{"authorized", devices.SetAuthorized(ctx, id, true)},
		{"ip", devices.SetIPv4Address(ctx, id, "100.64.0.99")},
	}
	for _, step := range steps {
		if step.err != nil {
			t.Fatalf("%s: %v", step.what, step.err)
		}
	}
	eventually(t, 3*time.Second, "the node hears of its new name, tags and address", func() bool {
		n := a.selfNode()
		return strings.HasPrefix(n.Name, "gamma.") && len(n.Tags) == 1 && n.Tags[0] == "tag:k3s" &&
			n.Addresses[0].Addr().String() == "100.64.0.99"
	})
	routes, err := devices.SubnetRoutes(ctx, id)
	if err != nil || routes == nil {
		t.Fatal(err)
	}
	if err := devices.Delete(ctx, id); err != nil {
		t.Fatal(err)
	}
	for what, err := range map[string]error{
		"delete": devices.Delete(ctx, id),
		"name":   devices.SetName(ctx, id, "x"),
	} {
		if !tsapi.IsNotFound(err) {
			t.Errorf("%s of a device that is gone: %v", what, err)
		}
	}
	if _, err := c.Webhooks().List(ctx); err == nil || tsapi.IsNotFound(err) {
		t.Errorf("what is not supported: %v", err)
	}
	other := s.apiClient(t)
	other.APIKey = c.APIKey
	other.Tailnet = "example.com"
	if _, err := other.Devices().List(ctx); !tsapi.IsNotFound(err) {
		t.Errorf("a foreign tailnet: %v", err)
	}
}

func TestAPIKeysAndOAuth(t *testing.T) {
	s := startServer(t)
	admin := s.apiClient(t)
	admin.APIKey = s.apiKey()
	ctx := ctxFor(t, 60*time.Second)

	var caps tsapi.KeyCapabilities
	caps.Devices.Create.Ephemeral = true
	caps.Devices.Create.Tags = []string{"tag:ci"}
	made, err := admin.Keys().CreateAuthKey(ctx, tsapi.CreateKeyRequest{Capabilities: caps, ExpirySeconds: 600,
		Description: "ci"})
	if err != nil || !strings.HasPrefix(made.Key, "tskey-auth-") {
		t.Fatalf("%+v %v", made, err)
	}
	got, err := admin.Keys().Get(ctx, made.ID)
	if err != nil || got.Key != "" || got.Capabilities.Devices.Create.Preauthorized ||
		!got.Capabilities.Devices.Create.Ephemeral || got.ExpirySeconds == nil || *got.ExpirySeconds != 600 ||
		got.KeyType != "auth" || got.Description != "ci" || got.Invalid {
		t.Fatalf("%+v %v", got, err)
	}
	n := newLightNode(s, "ci")
	defer n.close()
	if err := n.join(ctxFor(t, 10*time.Second), made.Key); err != nil {
		t.Fatal(err)
	}
	if got, err = admin.Keys().Get(ctx, made.ID); err != nil || !got.Invalid {
		t.Fatalf("a used key: %+v %v", got, err)
	}

	client, err := admin.Keys().CreateOAuthClient(ctx, tsapi.CreateOAuthClientRequest{
		Scopes: []string{"devices:core", "auth_keys"}, Tags: []string{"tag:k8s-operator"}, Description: "operator"})
	if err != nil || !strings.HasPrefix(client.Key, "tskey-client-"+client.ID+"-") {
		t.Fatalf("%+v %v", client, err)
	}
	operator := s.apiClient(t)
	operator.Auth = &tsapi.OAuth{ClientID: client.ID, ClientSecret: client.Key}
	caps.Devices.Create.Tags = []string{"tag:k8s-operator"}
	if made, err = operator.Keys().CreateAuthKey(ctx, tsapi.CreateKeyRequest{Capabilities: caps}); err != nil {
		t.Fatal(err)
	}
	if _, err := operator.Devices().List(ctx); err != nil {
		t.Fatal(err)
	}
	if own, err := operator.Keys().Get(ctx, client.ID); err != nil || own.KeyType != "client" {
		t.Fatalf("its own key: %+v %v", own, err)
	}
	if _, err := operator.Keys().CreateOAuthClient(ctx, tsapi.CreateOAuthClientRequest{
		Scopes: []string{"all"}}); err == nil {
		t.Fatal("a client made a stronger client")
	}
	if _, err := operator.Users().List(ctx, nil, nil); err == nil {
		t.Fatal("a client without the scope read users")
	}
	// The server forgets nothing: the token is good after a restart, until its client is revoked.
	s.stop()
	s.start()
	if _, err := operator.Devices().List(ctx); err != nil {
		t.Fatalf("after a restart: %v", err)
	}
	if err := admin.Keys().Delete(ctx, client.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := operator.Devices().List(ctx); err == nil {
		t.Fatal("a revoked client's token works")
	}
	if got, err = admin.Keys().Get(ctx, client.ID); err != nil || !got.Invalid || got.Revoked.IsZero() {
		t.Fatalf("%+v %v", got, err)
	}
}

// `tailscale up --authkey=tskey-client-…?baseURL=… --advertise-tags=…`: the client makes its own auth key.
func TestJoinWithOAuthSecret(t *testing.T) {
	s := startServer(t)
	secret := strings.TrimSpace(s.cli("oauth-clients", "create", "-q", "--scopes", "auth_keys", "--tags", "tag:k3s"))
	n := newNode(t, nodeOptions{url: s.url, hostname: "oauth", tags: []string{"tag:k3s"},
		key: secret + "?baseURL=" + url.QueryEscape(s.url) + "&ephemeral=false&preauthorized=true"})
	st := n.mustUp()
	if st.Self.Tags == nil || st.Self.Tags.Len() != 1 {
		t.Fatalf("self has tags %v", st.Self.Tags)
	}
}

// As the manuals of other tools write it: curl -u KEY:, and a token by form.
func TestAPIPlainHTTP(t *testing.T) {
	s := startServer(t)
	key := s.apiKey()
	secret := strings.TrimSpace(s.cli("oauth-clients", "create", "-q", "--scopes", "devices:core:read"))
	do := func(method, path, user, body string) (int, map[string]any) {
		t.Helper()
		req, err := http.NewRequest(method, s.url+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if user != "" {
			req.SetBasicAuth(user, "")
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		var v map[string]any
		if err := json.NewDecoder(res.Body).Decode(&v); err != nil {
			t.Fatalf("%s %s: %d, no JSON: %v", method, path, res.StatusCode, err)
		}
		if res.StatusCode >= 400 && v["message"] == nil {
			t.Fatalf("%s %s: %d without a message", method, path, res.StatusCode)
		}
		return res.StatusCode, v
	}
	if code, _ := do("GET", "/api/v2/tailnet/-/devices", key, ""); code != 200 {
		t.Fatal(code)
	}
	for _, path := range []string{"/api/v2/tailnet/-/devices", "/api/v2/device/1", "/api/fairlead/v1/status",
		"/api/fairlead/v1/audit", "/api/fairlead/v1/events", "/api/fairlead/v1/session"} {
		if code, _ := do("GET", path, "", ""); code != 401 {
			t.Errorf("%s without a key: %d", path, code)
		}
	}
	if code, _ := do("GET", "/api/v2/nothing", key, ""); code != 404 {
		t.Error(code)
	}
	res, err := http.PostForm(s.url+"/api/v2/oauth/token", url.Values{"client_id": {"some-client-id"},
		"client_secret": {secret}})
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var token struct {
		Token   string `json:"access_token"`
		Type    string `json:"token_type"`
		Expires int    `json:"expires_in"`
	}
	if err := json.NewDecoder(res.Body).Decode(&token); err != nil || token.Expires != 3600 || token.Type != "Bearer" {
		t.Fatalf("%+v %v", token, err)
	}
	if code, _ := do("DELETE", "/api/v2/device/1", token.Token, ""); code != 403 {
		t.Errorf("a reader deleted: %d", code)
	}
	if out := s.cli("audit", "list", "--object", "user 1"); !strings.Contains(out, "user.create") {
		t.Errorf("audit list:\n%s", out)
	}
	if log := s.log.String(); strings.Contains(log, secret) || strings.Contains(log, key) {
		t.Error("a secret is in the log")
	}
}

// The console's way in, over TLS: link, cookie, events, restart.
func TestConsoleSession(t *testing.T) {
	s := startServer(t)
	jar, _ := cookiejar.New(nil)
	base := fmt.Sprintf("https://127.0.0.1:%d", s.https)
	hc := &http.Client{Jar: jar, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	var link struct{ URL string }
	s.cliJSON(&link, "console")
	_, token, ok := strings.Cut(link.URL, "/login#")
	if !ok {
		t.Fatalf("link %q", link.URL)
	}
	call := func(ctx context.Context, method, path, body string, fields ...string) *http.Response {
		t.Helper()
		req, err := http.NewRequestWithContext(ctx, method, base+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Sec-Fetch-Site", "same-origin")
		for i := 0; i+1 < len(fields); i += 2 {
			req.Header.Set(fields[i], fields[i+1])
		}
		res, err := hc.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { res.Body.Close() })
		return res
	}
	ctx := ctxFor(t, 60*time.Second)
	in := fmt.Sprintf(`{"token":%q}`, token)
	if res := call(ctx, "POST", "/api/fairlead/v1/session", in); res.StatusCode != 200 ||
		!strings.HasPrefix(res.Header.Get("Set-Cookie"), "__Host-fairlead_session=") {
		t.Fatalf("sign-in: %d", res.StatusCode)
	}
	if res := call(ctx, "POST", "/api/fairlead/v1/session", in); res.StatusCode != 401 {
		t.Fatalf("the link again: %d", res.StatusCode)
	}
	events := call(ctx, "GET", "/api/fairlead/v1/events", "")
	if events.StatusCode != 200 || events.Header.Get("Content-Type") != "text/event-stream; charset=utf-8" {
		t.Fatalf("events: %d", events.StatusCode)
	}
	lines := make(chan string, 1000)
	go func() {
		for sc := bufio.NewScanner(events.Body); sc.Scan(); {
			lines <- sc.Text()
		}
		close(lines)
	}()
	wait := func(text string) string {
		t.Helper()
		for timeout := time.After(10 * time.Second); ; {
			select {
			case line, ok := <-lines:
				if !ok {
					t.Fatalf("the stream ended before %q", text)
				}
				if strings.Contains(line, text) {
					return line
				}
			case <-timeout:
				t.Fatalf("no %q", text)
			}
		}
	}
	wait("event: hello")
	n := newLightNode(s, "live")
	defer n.close()
	if err := n.join(ctxFor(t, 10*time.Second), s.newKey().Key); err != nil {
		t.Fatal(err)
	}
	wait(`"what":"key.use"`)
	if line := wait(`"what":"node.online"`); !strings.Contains(line, `"name":"live"`) {
		t.Errorf("node.online: %s", line)
	}
	if res := call(ctx, "PATCH", "/api/fairlead/v1/nodes/live", `{"name":"renamed"}`,
		"Sec-Fetch-Site", "cross-site"); res.StatusCode != 403 {
		t.Errorf("a change from another site: %d", res.StatusCode)
	}
	if res := call(ctx, "PATCH", "/api/fairlead/v1/nodes/live", `{"name":"renamed"}`); res.StatusCode != 200 {
		t.Errorf("a change: %d", res.StatusCode)
	}
	if line := wait(`"what":"node.rename"`); !strings.Contains(line, `"by":"console of local uid `) {
		t.Errorf("node.rename: %s", line)
	}
	if took := s.stop(); took > 2*time.Second {
		t.Errorf("stopping with an open stream took %v", took)
	}
	s.start()
	res := call(ctx, "GET", "/api/fairlead/v1/session", "")
	body, _ := io.ReadAll(res.Body)
	if res.StatusCode != 200 || !strings.Contains(string(body), `"role":"owner"`) {
		t.Fatalf("after a restart: %d %s", res.StatusCode, body)
	}
	if res := call(ctx, "DELETE", "/api/fairlead/v1/session", ""); res.StatusCode != 200 {
		t.Fatal(res.StatusCode)
	}
	if res := call(ctx, "GET", "/api/fairlead/v1/session", ""); res.StatusCode != 401 {
		t.Fatalf("after signing out: %d", res.StatusCode)
	}
}
