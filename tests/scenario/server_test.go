// Harness: starts the real binary in a directory of its own and talks to it with its own command.
package scenario

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// serverBinary is build/fairlead of this checkout, or $FAIRLEAD_BIN.
func serverBinary(t testing.TB) string {
	t.Helper()
	path := os.Getenv("FAIRLEAD_BIN")
	if path == "" {
		path = "../../build/fairlead"
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(abs); err != nil {
		t.Fatalf("no server to test: %v", err)
	}
	return abs
}

type server struct {
	t                 testing.TB
	bin, dir, socket  string
	https, http, stun int
	metrics           int
	url               string
	flags             []string
	prefix            []string // e.g. ip netns exec NAME
	argv              []string // whole command line, in place of all of the above
	keepsOutput       bool     // its output outlives it: another process goes on writing there

	mu   sync.Mutex
	cmd  *exec.Cmd
	log  *logBuffer
	done chan struct{}
	err  error
}

// logBuffer keeps what the server prints; shown when a test fails.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.b.Len() < 4<<20 {
		l.b.Write(p)
	}
	return len(p), nil
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func freePort(t testing.TB, network string) int {
	t.Helper()
	for i := 0; i < 100; i++ {
		var port int
		if network == "udp" {
			c, err := net.ListenPacket("udp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			port = c.LocalAddr().(*net.UDPAddr).Port
			c.Close()
		} else {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			port = l.Addr().(*net.TCPAddr).Port
			l.Close()
		}
		// The kernel may give the one that was just closed again.
		if _, known := portsGiven.LoadOrStore(fmt.Sprint(network, port), true); !known {
			return port
		}
	}
	t.Fatal("no free port")
	return 0
}

var portsGiven sync.Map

// newServer prepares a server on free loopback ports; flags are added to `fairlead serve`.
func newServer(t testing.TB, flags ...string) *server {
	t.Helper()
	dir := t.TempDir()
	s := &server{
		t: t, bin: serverBinary(t), dir: filepath.Join(dir, "data"), socket: filepath.Join(dir, "s"),
		https: freePort(t, "tcp"), http: freePort(t, "tcp"), stun: freePort(t, "udp"),
		metrics: freePort(t, "tcp"),
		flags:   flags,
	}
	s.url = fmt.Sprintf("http://127.0.0.1:%d", s.http)
	t.Cleanup(func() {
		s.stop()
		if t.Failed() && s.log != nil {
			t.Logf("server log:\n%s", s.log.String())
		}
	})
	return s
}

func startServer(t testing.TB, flags ...string) *server {
	t.Helper()
	s := newServer(t, flags...)
	s.start()
	return s
}

func (s *server) args() []string {
	if s.argv != nil {
		return s.argv
	}
	a := append([]string{}, s.prefix...)
	a = append(a, s.bin, "serve", "--data-dir", s.dir, "--unix-socket", s.socket,
		"--server-url", s.url,
		"--listen-https", fmt.Sprintf("127.0.0.1:%d", s.https),
		"--listen-http", fmt.Sprintf("127.0.0.1:%d", s.http),
		"--listen-stun", fmt.Sprintf("127.0.0.1:%d", s.stun),
		"--metrics-listen-addr", fmt.Sprintf("127.0.0.1:%d", s.metrics))
	return append(a, s.flags...)
}

// launch runs the server.
func (s *server) launch() (done chan struct{}) {
	s.t.Helper()
	if s.log == nil {
		s.log = &logBuffer{}
	}
	a := s.args()
	cmd := exec.Command(a[0], a[1:]...)
	cmd.Stdout, cmd.Stderr = s.log, s.log
	if s.keepsOutput {
		r, w, err := os.Pipe()
		if err != nil {
			s.t.Fatal(err)
		}
		defer w.Close()
		go func() {
			_, _ = io.Copy(s.log, r)
			r.Close()
		}()
		cmd.Stdout, cmd.Stderr = w, w
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	done = make(chan struct{})
	s.mu.Lock()
	s.cmd, s.done = cmd, done
	s.mu.Unlock()
	go func() {
		err := cmd.Wait()
		s.mu.Lock()
		s.err = err
		s.mu.Unlock()
		close(done)
	}()
	return done
}

// start runs the server and waits until it answers.
func (s *server) start() {
	s.t.Helper()
	done := s.launch()
	deadline := time.Now().Add(20 * time.Second)
	for time.Now().Before(deadline) {
		// The socket answers a moment before the first user is there.
		if out, err := s.tryCLI("users", "list", "-o", "json"); err == nil && strings.Contains(out, `"name"`) {
			return
		}
		select {
		case <-done:
			s.t.Fatalf("the server ended at start: %v\n%s", s.err, s.log.String())
		case <-time.After(20 * time.Millisecond):
		}
	}
	s.t.Fatalf("the server did not answer\n%s", s.log.String())
}

// stop ends the server with SIGTERM and says how long that took.
func (s *server) stop() time.Duration { return s.end(syscall.SIGTERM, 15*time.Second) }

// interrupt is ^C.
func (s *server) interrupt() time.Duration { return s.end(syscall.SIGINT, 20*time.Second) }

func (s *server) end(sig syscall.Signal, within time.Duration) time.Duration {
	s.mu.Lock()
	cmd, done := s.cmd, s.done
	s.cmd = nil
	s.mu.Unlock()
	if cmd == nil {
		return 0
	}
	begin := time.Now()
	_ = cmd.Process.Signal(sig)
	select {
	case <-done:
		if s.err != nil {
			s.t.Errorf("the server did not end cleanly: %v", s.err)
		}
	case <-time.After(within):
		s.t.Errorf("the server did not end within %v of %v", within, sig)
		_ = cmd.Process.Kill()
		<-done
	}
	return time.Since(begin)
}

// kill is kill -9.
func (s *server) kill() {
	s.mu.Lock()
	cmd, done := s.cmd, s.done
	s.cmd = nil
	s.mu.Unlock()
	if cmd == nil {
		return
	}
	_ = cmd.Process.Kill()
	<-done
}

func (s *server) pid() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cmd.Process.Pid
}

func (s *server) tryCLI(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, s.bin, append(args, "--socket", s.socket)...)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); err != nil {
		return out.String(), errors.New(strings.TrimSpace(errOut.String()) + " (" + err.Error() + ")")
	}
	return out.String(), nil
}

// cli runs the fairlead command; a failure ends the test.
func (s *server) cli(args ...string) string {
	s.t.Helper()
	out, err := s.tryCLI(args...)
	if err != nil {
		s.t.Fatalf("fairlead %s: %v", strings.Join(args, " "), err)
	}
	return out
}

func (s *server) cliJSON(v any, args ...string) {
	s.t.Helper()
	out := s.cli(append(args, "-o", "json")...)
	if err := json.Unmarshal([]byte(out), v); err != nil {
		s.t.Fatalf("fairlead %s printed no JSON: %v\n%s", strings.Join(args, " "), err, out)
	}
}

type keyInfo struct {
	ID, Key, State string
}

// newKey makes an auth key with these flags of `fairlead keys create`.
func (s *server) newKey(flags ...string) keyInfo {
	s.t.Helper()
	var k keyInfo
	s.cliJSON(&k, append([]string{"keys", "create"}, flags...)...)
	if !strings.HasPrefix(k.Key, "tskey-auth-") {
		s.t.Fatalf("no auth key in %+v", k)
	}
	return k
}

type nodeInfo struct {
	ID        string   `json:"id"`
	Name      string   `json:"name"`
	Addresses []string `json:"addresses"`
	Tags      []string `json:"tags"`
	Online    bool     `json:"online"`
	User      string   `json:"user"`
}

func (s *server) nodes() []nodeInfo {
	s.t.Helper()
	var list struct {
		Nodes []nodeInfo `json:"nodes"`
	}
	s.cliJSON(&list, "nodes", "list")
	return list.Nodes
}

func (s *server) nodeNamed(name string) *nodeInfo {
	s.t.Helper()
	for _, n := range s.nodes() {
		if n.Name == name {
			return &n
		}
	}
	return nil
}

func (s *server) get(t testing.TB, path string) (*http.Response, string) {
	t.Helper()
	res, err := http.Get(s.url + path)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(body)
}

// eventually polls until ok or the time is over.
func eventually(t testing.TB, within time.Duration, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(within)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", within, what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// serveEach serves every connection until the listener is closed; serve's end is the connection's.
func serveEach(l net.Listener, serve func(in net.Conn)) {
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer in.Close()
				serve(in)
			}()
		}
	}()
}

// notifications is a socket as systemd gives to a service: its address, and what comes next.
func notifications(t *testing.T) (path string, next func(within time.Duration) string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "notify")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return path, func(within time.Duration) string {
		t.Helper()
		b := make([]byte, 1024)
		_ = l.SetReadDeadline(time.Now().Add(within))
		n, err := l.Read(b)
		if err != nil {
			t.Fatalf("systemd was told nothing: %v", err)
		}
		return string(b[:n])
	}
}

// madeOnce makes a target of the Makefile when it is first asked for; its path.
func madeOnce(target, file string) func() (string, error) {
	return sync.OnceValues(func() (string, error) {
		path, err := filepath.Abs("../../" + file)
		if err != nil {
			return "", err
		}
		if out, err := exec.Command("make", "-s", "-C", "../..", "BUILD=build", target).CombinedOutput(); err != nil {
			return "", fmt.Errorf("make %s: %v\n%s", target, err, out)
		}
		return path, nil
	})
}
