// Proves start and stop: the line to join is printed once, whatever is wrong is one clear sentence and a non-zero exit,
// ^C with a thousand streams is quick, ten thousand nodes are there in a second, every command explains itself.
package scenario

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// startFails runs the server's command line, which must end by itself, and returns the one sentence.
func (s *server) startFails(env ...string) string {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	a := s.args()
	cmd := exec.CommandContext(ctx, a[0], a[1:]...)
	cmd.Env = append(os.Environ(), env...)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	begin := time.Now()
	err := cmd.Run()
	took := time.Since(begin)
	text := strings.TrimSpace(errOut.String())
	if err == nil || cmd.ProcessState.ExitCode() <= 0 {
		s.t.Fatalf("the server ended with %v after %v; it printed %q and %q", err, took, out.String(), text)
	}
	if took > 5*time.Second {
		s.t.Errorf("it took %v to find out: %s", took, text)
	}
	// What went well until then may be logged; what is wrong is said once, at the end.
	lines := strings.Split(text, "\n")
	for _, l := range lines[:len(lines)-1] {
		if !strings.HasPrefix(l, "time=") || !strings.Contains(l, " level=info ") {
			s.t.Errorf("not one sentence at the end of stderr:\n%s", text)
		}
	}
	text = lines[len(lines)-1]
	if !strings.HasPrefix(text, "fairlead: ") || len(text) < 20 {
		s.t.Errorf("not a sentence: %q", text)
	}
	if strings.Contains(out.String(), "tskey-") {
		s.t.Errorf("a key is printed by a server that did not start: %s", out.String())
	}
	return text
}

func wantWords(t *testing.T, text string, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(text, w) {
			t.Errorf("%q does not name %q", text, w)
		}
	}
	t.Log(text)
}

func writeFile(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestPortsInUse(t *testing.T) {
	for _, port := range []string{"https", "http", "stun"} {
		t.Run(port, func(t *testing.T) {
			s := newServer(t)
			var l io.Closer
			var err error
			number := map[string]int{"https": s.https, "http": s.http, "stun": s.stun}[port]
			address := fmt.Sprintf("127.0.0.1:%d", number)
			if port == "stun" {
				l, err = net.ListenPacket("udp", address)
			} else {
				l, err = net.Listen("tcp", address)
			}
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			wantWords(t, s.startFails(), itoa(number), "in use")
		})
	}
	t.Run("by another server", func(t *testing.T) {
		first, second := startServer(t), newServer(t)
		second.http = first.http
		wantWords(t, second.startFails(), itoa(first.http), "in use")
	})
}

func TestDataDirectory(t *testing.T) {
	t.Run("in use", func(t *testing.T) {
		first, second := startServer(t), newServer(t)
		second.dir = first.dir
		wantWords(t, second.startFails(), first.dir, "in use", itoa(first.pid()))
	})
	t.Run("below a file", func(t *testing.T) {
		s := newServer(t)
		s.dir = filepath.Join(writeFile(t, filepath.Join(t.TempDir(), "file"), ""), "data")
		wantWords(t, s.startFails(), s.dir[:len(s.dir)-len("/data")])
	})
	t.Run("cannot be made", func(t *testing.T) {
		s := newServer(t)
		s.dir = "/proc/fairlead"
		wantWords(t, s.startFails(), s.dir)
	})
	t.Run("no database", func(t *testing.T) {
		s := newServer(t)
		writeFile(t, filepath.Join(s.dir, "fairlead.db"), strings.Repeat("this is not a database\n", 500))
		wantWords(t, s.startFails(), "fairlead.db")
	})
	for _, file := range []string{"noise_private.key", "derp_private.key"} {
		for name, text := range map[string]string{
			"text":  "nonsense\n",
			"empty": "",
			"short": "privkey:0123456789abcdef\n",
			"zero":  "privkey:" + strings.Repeat("0", 64) + "\n",
		} {
			t.Run(file+" "+name, func(t *testing.T) {
				s := newServer(t)
				path := writeFile(t, filepath.Join(s.dir, file), text)
				wantWords(t, s.startFails(), path)
				if b, err := os.ReadFile(path); err != nil || string(b) != text {
					t.Errorf("a key file that could not be read was changed: %q %v", b, err)
				}
			})
		}
	}
	t.Run("socket in use", func(t *testing.T) {
		first, second := startServer(t), newServer(t)
		second.socket = first.socket
		wantWords(t, second.startFails(), first.socket)
		first.cli("status")
	})
	t.Run("socket below a file", func(t *testing.T) {
		s := newServer(t)
		s.socket = filepath.Join(writeFile(t, filepath.Join(t.TempDir(), "file"), ""), "s")
		wantWords(t, s.startFails(), s.socket[:len(s.socket)-len("/s")])
	})
}

func TestBadConfiguration(t *testing.T) {
	for _, c := range []struct{ name, file, line, word string }{
		{"unknown key", "# ours\nlog:\n  level: info\nserver_ulr: http://x\n", "line 4", "server_ulr"},
		{"unknown inner key", "log:\n  levle: info\n", "line 2", "levle"},
		{"bad value", "\nlog:\n  level: loud\n", "line 3", "loud"},
		{"bad number", "workers: many\n", "line 1", "many"},
		{"out of range", "dns:\n  magic_dns: true\nworkers: 1000\n", "line 3", "workers"},
		{"bad list item", "trusted_proxies:\n  - 127.0.0.1\n  - nowhere\n", "line 3", "nowhere"},
		{"no YAML", "log:\n  level: [info\n", "line ", ""},
		{"tabs", "log:\n\tlevel: info\n", "line 2", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := writeFile(t, filepath.Join(t.TempDir(), "config.yaml"), c.file)
			s := newServer(t, "--config", path)
			wantWords(t, s.startFails(), path, c.line, c.word)
			out, err := exec.Command(s.bin, "config", "check", path).CombinedOutput()
			if err == nil {
				t.Errorf("`config check` finds nothing: %s", out)
			}
			wantWords(t, string(out), path, c.line, c.word)
		})
	}
	t.Run("file missing", func(t *testing.T) {
		wantWords(t, newServer(t, "--config", "/nonexistent/f.yaml").startFails(), "/nonexistent/f.yaml")
	})
	t.Run("environment", func(t *testing.T) {
		wantWords(t, newServer(t).startFails("FAIRLEAD_LIMITS_CONNS=lots"), "FAIRLEAD_LIMITS_CONNS", "lots")
	})
	for _, flags := range [][]string{{"--no-such-flag"}, {"--no-such-flag=1"}, {"stray"}, {"--workers"},
		{"--workers", "x"}, {"--server-url", "gopher://x"}, {"--tls-cert-path", "/nonexistent/c.pem"},
		{"--tls-cert-path", "/nonexistent/c.pem", "--tls-key-path", "/nonexistent/k.pem"}} {
		t.Run(strings.Join(flags, " "), func(t *testing.T) {
			name, _, _ := strings.Cut(flags[0], "=")
			if len(flags) == 4 {
				name = flags[1]
			}
			wantWords(t, newServer(t, flags...).startFails(), name)
		})
	}
}

var authKeyRE = regexp.MustCompile(`tskey-auth-[A-Za-z0-9_-]+`)

func TestJoinLineIsPrintedOnce(t *testing.T) {
	s := startServer(t)
	line := s.joinLine()
	if !strings.Contains(line, "--login-server="+s.url+" ") {
		t.Errorf("not the login server %s in %q", s.url, line)
	}
	printed := s.log.String()
	for _, w := range []string{s.url, s.dir, s.socket, itoa(s.https), itoa(s.http), itoa(s.stun)} {
		if !strings.Contains(printed, w) {
			t.Errorf("the start does not say %q:\n%s", w, printed)
		}
	}
	key := authKeyRE.FindString(line)
	n := newLightNode(s, "first")
	defer n.close()
	if err := n.join(ctxFor(t, 10*time.Second), key); err != nil {
		t.Fatalf("the printed key: %v", err)
	}
	id := n.selfNode().ID

	s.stop()
	s.log = &logBuffer{}
	s.start()
	if k := authKeyRE.FindString(s.log.String()); k != "" {
		t.Error("the second start prints a key")
	}
	n.h2 = nil
	if err := n.join(ctxFor(t, 10*time.Second), key); err != nil || n.selfNode().ID != id {
		t.Fatalf("the node did not come back as itself: %v", err)
	}

	s.stop()
	s.log = &logBuffer{}
	s.flags = append(s.flags, "--new-key")
	s.start()
	other := authKeyRE.FindString(s.joinLine())
	if other == key {
		t.Error("--new-key prints the old key")
	}
	m := newLightNode(s, "second")
	defer m.close()
	if err := m.join(ctxFor(t, 10*time.Second), other); err != nil {
		t.Fatalf("the key of --new-key: %v", err)
	}
	for _, f := range []string{"fairlead.db", "noise_private.key", "derp_private.key"} {
		st, err := os.Stat(filepath.Join(s.dir, f))
		if err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", f, st, err)
		}
	}
}

// idle joins and keeps a stream open without looking at what comes; returns when the first message begins.
func (n *lightNode) idle(ctx context.Context, authKey string) error {
	if err := n.dial(ctx); err != nil {
		return err
	}
	if err := n.register(ctx, authKey); err != nil {
		return err
	}
	req := n.mapRequest()
	req.Stream = true
	res, err := n.post(ctx, "/machine/map", req)
	if err != nil {
		return err
	}
	if res.StatusCode != 200 {
		return fmt.Errorf("map: %s", res.Status)
	}
	var head [4]byte
	if _, err := io.ReadFull(res.Body, head[:]); err != nil {
		return err
	}
	go func() {
		_, err := io.Copy(io.Discard, res.Body)
		res.Body.Close()
		n.mu.Lock()
		defer n.mu.Unlock()
		if n.closed = err; err == nil {
			n.closed = io.EOF
		}
	}()
	return nil
}

func TestInterruptWithManyStreams(t *testing.T) {
	const streams = 1000
	var lim syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &lim); err != nil || lim.Cur < 2*streams+200 {
		t.Fatalf("the limit of open files is too low for this test: %+v %v", lim, err)
	}
	s := startServer(t)
	key := s.newKey("--reusable").Key
	nodes := make([]*lightNode, streams)
	t.Cleanup(func() {
		for _, n := range nodes {
			if n != nil {
				n.close()
			}
		}
	})
	begin := time.Now()
	err := parallel(streams, 50, func(i int) error {
		nodes[i] = newLightNode(s, fmt.Sprintf("idle-%04d", i))
		ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
		defer cancel()
		// The request's context would end the stream.
		return within(ctx, func() error { return nodes[i].idle(context.Background(), key) })
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d nodes joined in %v", streams, time.Since(begin))
	for i, n := range nodes {
		if err := n.ended(); err != nil {
			t.Fatalf("stream %d ended early: %v", i, err)
		}
	}
	took := s.interrupt()
	t.Logf("SIGINT with %d streams took %v", streams, took)
	if took > 5*time.Second {
		t.Errorf("SIGINT took %v", took)
	}
	eventually(t, 5*time.Second, "every stream is ended", func() bool {
		for _, n := range nodes {
			if n.ended() == nil {
				return false
			}
		}
		return true
	})
	s.start()
	if got := len(s.nodes()); got != streams {
		t.Errorf("%d nodes after the restart, want %d", got, streams)
	}
}

func within(ctx context.Context, fn func() error) error {
	done := make(chan error, 1)
	go func() { done <- fn() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func TestHelp(t *testing.T) {
	bin := serverBinary(t)
	help := func(args ...string) string {
		t.Helper()
		var out, errOut bytes.Buffer
		cmd := exec.Command(bin, args...)
		cmd.Stdout, cmd.Stderr = &out, &errOut
		if err := cmd.Run(); err != nil || errOut.Len() > 0 || out.Len() < 40 {
			t.Errorf("fairlead %s: %v\n%s%s", strings.Join(args, " "), err, out.String(), errOut.String())
		}
		return out.String()
	}
	top := help("--help")
	for _, c := range [][]string{{"serve"}, {"users"}, {"users", "create"}, {"users", "list"}, {"keys"}, {"keys", "create"},
		{"keys", "list"}, {"keys", "revoke"}, {"nodes"}, {"nodes", "list"}, {"nodes", "delete"}, {"nodes", "rename"},
		{"nodes", "tag"}, {"nodes", "expire"}, {"status"}, {"config"}, {"config", "check"}, {"version"}} {
		if !strings.Contains(top, c[0]) {
			t.Errorf("`fairlead --help` does not name %s", c[0])
		}
		text := help(append(c, "--help")...)
		if help(append(c, "-h")...) != text {
			t.Errorf("-h and --help of %v differ", c)
		}
		if len(c) == 2 && !strings.Contains(help(c[0], "--help"), c[1]) {
			t.Errorf("help of %s does not name %s", c[0], c[1])
		}
	}
	if !strings.Contains(help("serve", "--help"), "--new-key") {
		t.Error("help of serve does not name --new-key")
	}
	for _, args := range [][]string{{"no-such-command"}, {"nodes", "no-such-verb"}, {"nodes", "list", "--no-such-flag"}} {
		out, err := exec.Command(bin, args...).CombinedOutput()
		if err == nil || !strings.Contains(string(out), args[len(args)-1]) {
			t.Errorf("fairlead %s: %v %s", strings.Join(args, " "), err, out)
		}
	}
	out, err := exec.Command(bin, "version").Output()
	if err != nil || len(strings.TrimSpace(string(out))) == 0 || strings.Count(string(out), "\n") > 3 {
		t.Errorf("version: %v %q", err, out)
	}
}

// Without a server the command says so in a sentence; with one, -o json is JSON for every list.
func TestCommandAndServer(t *testing.T) {
	s := newServer(t)
	_, err := s.tryCLI("status")
	if err == nil || !strings.Contains(err.Error(), s.socket) {
		t.Errorf("status without a server: %v", err)
	}
	s.start()
	n := newLightNode(s, "one")
	defer n.close()
	if err := n.join(ctxFor(t, 10*time.Second), s.newKey().Key); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"users", "list"}, {"keys", "list"}, {"nodes", "list"}, {"status"}} {
		var v any
		s.cliJSON(&v, args...)
		if _, ok := v.(map[string]any); !ok {
			b, _ := json.Marshal(v)
			t.Errorf("%v -o json is no object: %s", args, b)
		}
		if table := s.cli(args...); strings.TrimSpace(table) == "" {
			t.Errorf("%v prints nothing", args)
		}
	}
	if out := s.cli("keys", "list") + s.cli("keys", "list", "-o", "json"); len(authKeyRE.FindString(out)) > 30 {
		t.Error("a list shows a whole key")
	}
	if ip := n.selfNode().Addresses[0].Addr().String(); !strings.Contains(s.cli("nodes", "list"), ip) {
		t.Errorf("the table of nodes lacks %s", ip)
	}
	if v := s.nodeNamed("one"); v == nil || fmt.Sprint(v.ID) != fmt.Sprint(int64(n.selfNode().ID)) {
		t.Errorf("nodes list has %+v", v)
	}
}

// fill puts n nodes into the database, as large as real ones, and starts the server again.
func (s *server) fill(n int) {
	s.t.Helper()
	hostinfo := `{"IPNVersion":"1.102.5-tfe5dd4ba8","BackendLogID":"","OS":"linux","OSVersion":"6.18.0","Distro":"debian",` +
		`"DistroVersion":"12","DistroCodeName":"bookworm","DeviceModel":"","Hostname":"many","GoArch":"amd64",` +
		`"GoArchVar":"v1","GoVersion":"go1.26.0","Services":[{"Proto":"peerapi4","Port":40000},` +
		`{"Proto":"peerapi6","Port":40000},{"Proto":"peerapi-dns-proxy","Port":1}],"NetInfo":{"MappingVariesByDestIP":` +
		`false,"WorkingIPv6":false,"WorkingUDP":true,"PreferredDERP":900,"DERPLatency":{"900-v4":0.0123}},"Userspace":false}`
	s.stop()
	sqlite(s.t, filepath.Join(s.dir, "fairlead.db"), "BEGIN",
		fmt.Sprintf(`INSERT INTO nodes (id, tailnet_id, user_id, machine_key, node_key, name, is_name_given, ip4, ip6, tags,
		created_unix_s, key_expiry_unix_s, is_ephemeral, is_authorized, authkey_id) WITH RECURSIVE c (i) AS (SELECT 1 UNION ALL
		SELECT i + 1 FROM c WHERE i < %d) SELECT i + 100000, 1, 1, randomblob(32), randomblob(32), 'many-' || i, 0,
		printf('100.100.%%d.%%d', i / 256, i %% 256), printf('fd7a:115c:a1e0::7:%%x', i), '[]', 1790000000, 0, 0, 1, '' FROM c`, n),
		fmt.Sprintf(`INSERT INTO node_state (node_id, hostinfo, disco_key, endpoints, home_derp, cap_version, last_seen_unix_s,
		is_online) SELECT id, '%s', randomblob(32), '["192.0.2.7:41641/2","10.0.0.7:41641/1"]',
		900, 113, 1790000000, 1 FROM nodes WHERE id > 100000`, hostinfo), "COMMIT")
	s.start()
}

// How long the server takes until it answers, with ten thousand nodes; the bound is for its own CPU, as others may use
// the machine meanwhile.
func TestStartWithTenThousandNodes(t *testing.T) {
	s := startServer(t)
	s.fill(10000)
	for range 3 {
		s.stop()
		begin := time.Now()
		s.launch()
		for {
			if res, err := http.Get(s.url + "/health"); err == nil {
				res.Body.Close()
				break
			}
			if time.Since(begin) > 20*time.Second {
				t.Fatal("it does not answer")
			}
			time.Sleep(2 * time.Millisecond)
		}
		took := time.Since(begin)
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.pid()))
		if err != nil {
			t.Fatal(err)
		}
		_, rest, _ := strings.Cut(string(b), ") ")
		fields := strings.Fields(rest)
		user, _ := strconv.Atoi(fields[11])
		system, _ := strconv.Atoi(fields[12])
		cpu := time.Duration(user+system) * 10 * time.Millisecond // USER_HZ is 100
		t.Logf("answers after %v, %v of CPU", took, cpu)
		if cpu > time.Second && !isSanitized() {
			t.Errorf("a start with 10,000 nodes costs %v of CPU", cpu)
		}
	}
}
