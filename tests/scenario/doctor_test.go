// Proves that `fairlead doctor` finds what it is to find, from outside: names, addresses, ports and relays that are not
// reached, nodes that say nothing; and that it says nothing when all is well.
package scenario

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
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
	"testing"
	"time"
)

type finding struct{ Level, Name, Found, Todo string }

type diagnosis struct {
	t      *testing.T
	Checks []finding
	Failed int
	code   int
}

// runDoctor runs `fairlead doctor -o json` with that command line and environment.
func runDoctor(t *testing.T, env []string, argv ...string) *diagnosis {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	argv = append(argv, "-o", "json")
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), env...)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	d := &diagnosis{t: t, code: cmd.ProcessState.ExitCode()}
	if err := json.Unmarshal(out.Bytes(), d); err != nil {
		t.Fatalf("%v: %v\n%s\n%s", argv, err, out.String(), errOut.String())
	}
	if d.Failed > 0 != (d.code == 1) || d.code > 1 {
		t.Errorf("%d failed, exit code %d", d.Failed, d.code)
	}
	for _, c := range d.Checks {
		if (c.Todo == "") != (c.Level == "ok") || c.Found == "" {
			t.Errorf("%+v", c)
		}
	}
	return d
}

func doctor(t *testing.T, args ...string) *diagnosis {
	t.Helper()
	return runDoctor(t, nil, append([]string{serverBinary(t), "doctor"}, args...)...)
}

func (s *server) doctor(args ...string) *diagnosis {
	s.t.Helper()
	return doctor(s.t.(*testing.T), append([]string{"--socket", s.socket}, args...)...)
}

// want finds the check and compares its level; every word must be in what was found or is to be done.
func (d *diagnosis) want(level, name string, words ...string) {
	d.t.Helper()
	for _, c := range d.Checks {
		if c.Name != name && !strings.HasPrefix(c.Name, name+"/") {
			continue
		}
		if c.Level == level {
			for _, w := range words {
				if !strings.Contains(c.Found+" "+c.Todo, w) {
					d.t.Errorf("%s does not say %q: %q -> %q", name, w, c.Found, c.Todo)
				}
			}
			return
		}
	}
	d.t.Errorf("no check %s is %s: %+v", name, level, d.Checks)
}

func (d *diagnosis) lacks(level string, except ...string) {
	d.t.Helper()
	for _, c := range d.Checks {
		if c.Level == level && !strings.Contains(" "+strings.Join(except, " ")+" ", " "+c.Name+" ") {
			d.t.Errorf("%+v", c)
		}
	}
}

// doctorCA starts a server whose certificate is of a private authority, and trusts that.
func doctorCA(t *testing.T, flags ...string) (*server, *authority, []string) {
	t.Helper()
	ca := newAuthority(t)
	s := newServer(t, append([]string{"--tls-cert-path", ca.certFile, "--tls-key-path", ca.keyFile}, flags...)...)
	s.url = fmt.Sprintf("https://localhost:%d", s.https)
	s.start()
	return s, ca, []string{"SSL_CERT_FILE=" + ca.caFile}
}

func TestDoctorHealthy(t *testing.T) {
	t.Parallel()
	s, _, env := doctorCA(t)
	s.newKey()
	d := runDoctor(t, env, s.bin, "doctor", "--socket", s.socket)
	d.lacks("fail")
	d.lacks("warn", "server", "clock/ntp", "server-url", "disk-space", "disk-write")
	for _, name := range []string{"files", "policy", "silent-nodes", "store", "data-dir", "keys", "wal", "database", "schema",
		"references", "addresses", "tags", "clock/newest", "resolve", "connect/127.0.0.1", "key", "clock/server", "control",
		"websocket", "stun"} {
		d.want("ok", name)
	}
	d.want("ok", "key", "this server's")
	d.want("ok", "control", "Noise handshake")
	d.want("ok", "certificate", "for localhost", "Scenario CA")
	d.want("warn", "server-url", "no other node")

	// For people: a line each, what to do below, nothing that is secret.
	out, err := exec.Command(s.bin, "doctor", "--socket", s.socket, "--only", "server-url,stun,keys").Output()
	if err != nil || !strings.Contains(string(out), "\n      ") || !strings.Contains(string(out), "-> set server_url") ||
		!strings.Contains(string(out), "ok    stun/900a/127.0.0.1") || strings.ContainsAny(string(out), "\x1b") {
		t.Errorf("%v\n%s", err, out)
	}
	for _, file := range []string{"noise_private.key", "derp_private.key"} {
		key, _ := os.ReadFile(filepath.Join(s.dir, file))
		if _, hex, _ := strings.Cut(strings.TrimSpace(string(key)), ":"); len(hex) != 64 || strings.Contains(fmt.Sprint(d), hex) {
			t.Errorf("%s is shown", file)
		}
	}

	// From another machine.
	d = runDoctor(t, env, s.bin, "doctor", "--server", s.url, "--stun-port", itoa(s.stun))
	d.lacks("fail")
	d.want("ok", "control")
	d.want("ok", "stun/guessed")
	for _, c := range d.Checks {
		if c.Name == "data-dir" || c.Name == "files" {
			t.Errorf("with --server: %+v", c)
		}
	}
}

// A self-signed certificate, the relay pinned to it, as most servers begin.
func TestDoctorSelfSigned(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	d := s.doctor()
	d.lacks("fail")
	d.want("ok", "relay/900a/127.0.0.1", "fast start", "admits nodes only", "the one of the map")
	d = doctor(t, "--server", fmt.Sprintf("https://127.0.0.1:%d", s.https), "--stun-port", itoa(s.stun))
	d.want("fail", "certificate", "self-signed", "tls_letsencrypt_hostname")
	d.want("ok", "relay/guessed")

	open := startServer(t, "--derp-verify-clients=false")
	open.doctor("--only", "relay").want("ok", "relay", "admits strangers")
}

// The relay's front end: what comes instead of frames.
func TestDoctorBadRelays(t *testing.T) {
	t.Parallel()
	s, _, env := doctorCA(t)
	cert, err := tls.LoadX509KeyPair(s.flags[1], s.flags[3])
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, found, answer string }{
		{"not HTTP", "not HTTP/1.1", "SSH-2.0-x\r\n\r\n"},
		{"refuses", "status 403", "HTTP/1.1 403 Forbidden\r\n\r\n"},
		{"closes", "not answered", ""},
		{"no frame", "first frame", "HTTP/1.1 101 Switching Protocols\r\n\r\n\x06\x00\x00\x00\x00"},
	} {
		t.Run(c.name, func(t *testing.T) {
			port := wireProxy(t, s.plain(), &tls.Config{Certificates: []tls.Certificate{cert}}, func(in net.Conn, head string) bool {
				if !strings.HasPrefix(head, "GET /derp ") {
					return true
				}
				_, _ = io.WriteString(in, c.answer)
				return false
			}, same)
			d := runDoctor(t, env, s.bin, "doctor", "--server", "https://localhost:"+port, "--only", "relay")
			d.want("fail", "relay", c.found)
		})
	}
	t.Run("not there", func(t *testing.T) {
		d := doctor(t, "--server", fmt.Sprintf("http://localhost:%d", s.http), "--only", "relay")
		d.want("fail", "relay", "connect")
	})
	// The map names an address where another server answers, or none.
	other := newServer(t, "--derp-ipv4", "127.0.0.2", "--derp-hostname", "relay.test")
	other.start()
	other.doctor("--only", "relay,stun").want("fail", "relay/900a/127.0.0.2", "connect", "behind NAT")
	other.doctor("--only", "relay,stun").want("fail", "stun/900a/127.0.0.2", "udp")
	l, err := tls.Listen("tcp", fmt.Sprintf("127.0.0.2:%d", other.https), &tls.Config{Certificates: []tls.Certificate{cert}})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	serveEach(l, func(in net.Conn) { _ = in.(*tls.Conn).Handshake() })
	other.doctor("--only", "relay").want("fail", "relay/900a/127.0.0.2", "another certificate")

	startServer(t, "--derp-enabled=false").doctor("--only", "relay,stun").want("fail", "relay", "no relay", "derp.enabled")
	startServer(t, "--listen-stun", "").doctor("--only", "relay,stun").want("warn", "stun", "no STUN", "listen_stun")
	startServer(t, "--derp-hostname", "relay.invalid").doctor("--only", "relay,stun").want("fail", "relay", "relay.invalid")
}

// Relays of other regions are looked at as well, each by what the map says of it.
func TestDoctorRegions(t *testing.T) {
	t.Parallel()
	far, _, env := doctorCA(t)
	s := startServer(t)
	host := fmt.Sprintf("localhost:%d", far.https)
	s.cli("regions", "add", "far", host, "--stun-port", itoa(far.stun))
	s.cli("regions", "add", "gone", fmt.Sprintf("127.0.0.1:%d", freePort(t, "tcp")), "--stun-port", "off")
	s.cli("regions", "add", "other", host, "--stun-port", "off", "--pin", "sha256-raw:"+strings.Repeat("0", 64))
	d := runDoctor(t, env, s.bin, "doctor", "--socket", s.socket, "--only", "relay,stun")
	levels := map[string]int{}
	for _, c := range d.Checks {
		levels[strings.SplitN(c.Name, "/", 2)[0]+" "+c.Level]++
	}
	if levels["relay ok"] != 2 || levels["relay fail"] != 2 || levels["stun ok"] != 2 || levels["stun warn"] != 2 {
		t.Errorf("%v: %+v", levels, d.Checks)
	}
	d.want("ok", "relay/900a", "the one of the map")
	d = runDoctor(t, []string{"SSL_CERT_FILE=/dev/null"}, s.bin, "doctor", "--socket", s.socket, "--only", "relay")
	d.want("ok", "relay/900a")
	if d.Failed != 3 {
		t.Errorf("%+v", d.Checks)
	}
}

// mapped answers STUN requests with one address.
func mapped(c net.PacketConn, ip net.IP) {
	b := make([]byte, 512)
	for {
		n, from, err := c.ReadFrom(b)
		if err != nil {
			return
		}
		a := append([]byte{1, 1, 0, 12}, b[4:20]...)
		a = append(a, 0, 0x20, 0, 8, 0, 1, 0x21^0x12, 0x12^0x34)
		a = binary.BigEndian.AppendUint32(a, binary.BigEndian.Uint32(ip.To4())^0x2112a442)
		if n >= 20 {
			_, _ = c.WriteTo(a, from)
		}
	}
}

func TestDoctorSTUN(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	nobody := freePort(t, "udp")
	begin := time.Now()
	d := doctor(t, "--server", s.url, "--stun-port", itoa(nobody), "--only", "stun")
	d.want("fail", "stun", "refused", "udp")
	silent, err := net.ListenPacket("udp", "127.0.0.1:0") // as behind a firewall
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	d = doctor(t, "--server", s.url, "--stun-port", itoa(silent.LocalAddr().(*net.UDPAddr).Port), "--only", "stun")
	d.want("fail", "stun", "within 2 seconds")
	if took := time.Since(begin); took > 20*time.Second {
		t.Errorf("it took %v", took)
	}
	noise, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer noise.Close()
	go func() {
		b := make([]byte, 512)
		for {
			_, from, err := noise.ReadFrom(b)
			if err != nil {
				return
			}
			_, _ = noise.WriteTo([]byte("not STUN at all, or of another request"), from)
		}
	}()
	d = doctor(t, "--server", s.url, "--stun-port", itoa(noise.LocalAddr().(*net.UDPAddr).Port), "--only", "stun")
	d.want("fail", "stun", "within 2 seconds")
}

// In a network of its own with the usual ports, without IPv6, and with an address that looks public.
func TestDoctorUsualPorts(t *testing.T) {
	t.Parallel()
	needRoot(t)
	ns, ca := newNetns(t, "doc"), newAuthority(t)
	in := []string{"ip", "netns", "exec", ns}
	run(t, "", "ip", "-n", ns, "address", "add", "203.0.113.1/32", "dev", "lo")
	run(t, "", "ip", "-n", ns, "route", "add", "default", "dev", "lo")
	s := newServer(t)
	s.argv = append(in, s.bin, "serve", "--data-dir", s.dir, "--unix-socket", s.socket, "--server-url", "http://203.0.113.1")
	s.start()
	env := []string{"SSL_CERT_FILE=" + ca.caFile}
	look := func(args ...string) *diagnosis {
		t.Helper()
		return runDoctor(t, env, append(append(in, s.bin, "doctor"), args...)...)
	}
	d := look("--socket", s.socket)
	d.lacks("fail")
	d.want("ok", "port80", "generate_204")
	d.want("warn", "server-url", "in the middle")
	d.want("ok", "stun", "203.0.113.1")
	look("--server", "https://[2001:db8::1]").want("warn", "connect/2001:db8::1", "no IPv6")
	look("--server", "https://[2001:db8::1]").want("warn", "relay", "no IPv6")
	look("--server", "https://[2001:db8::1]").want("warn", "stun", "no IPv6")

	inNetns(t, ns, func() error {
		c, err := net.ListenPacket("udp", "203.0.113.1:7777")
		if err == nil {
			t.Cleanup(func() { c.Close() })
			go mapped(c, net.IPv4(172, 17, 0, 1))
		}
		return err
	})
	look("--server", "http://203.0.113.1", "--stun-port", "7777", "--only", "stun").want("warn", "stun", "172.17.0.1", "host")

	// Something else on port 80, or nothing.
	s.stop()
	s.argv = append(in, s.bin, "serve", "--data-dir", s.dir, "--unix-socket", s.socket, "--server-url", "https://localhost",
		"--tls-cert-path", ca.certFile, "--tls-key-path", ca.keyFile, "--listen-http", "127.0.0.1:8080")
	s.start()
	d = look("--socket", s.socket)
	d.want("warn", "port80", "no answer", "80/tcp")
	d.want("ok", "control")
	inNetns(t, ns, func() error {
		l, err := net.Listen("tcp", "127.0.0.1:80")
		if err == nil {
			t.Cleanup(func() { l.Close() })
			go func() { _ = http.Serve(l, http.NotFoundHandler()) }()
		}
		return err
	})
	look("--socket", s.socket).want("warn", "port80", "404")
	env = append(env, "FAIRLEAD_TLS_LETSENCRYPT_HOSTNAME=vpn.example.org")
	look("--socket", s.socket).want("fail", "port80", "ACME")
}

func TestDoctorNames(t *testing.T) {
	t.Parallel()
	doctor(t, "--server", "https://no-such-host.invalid").want("fail", "resolve", "no-such-host.invalid", "A record")
	doctor(t, "--server", "ftp://x").want("fail", "server-url", "https://vpn.example.org")
	port := itoa(freePort(t, "tcp"))
	d := doctor(t, "--server", "https://127.0.0.1:"+port)
	d.want("fail", "connect", "connect", "firewall")
	d.want("fail", "certificate", "see connect")
	d.want("fail", "key", "see connect")
	d.want("fail", "control", "see key")
	l, err := net.Listen("tcp", "127.0.0.1:0") // accepts and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	begin := time.Now()
	d = doctor(t, "--server", "https://"+l.Addr().String(), "--stun-port", port)
	d.want("fail", "connect", "within 5 seconds")
	if took := time.Since(begin); took > 20*time.Second {
		t.Errorf("it took %v", took)
	}
	s := newServer(t)
	s.url = "https://vpn.example.com:" + itoa(s.https)
	s.start()
	s.doctor("--only", "server-url").want("warn", "server-url", "443")
}

// A name with two addresses of which one answers: nodes get there, if slower.
func TestDoctorTwoAddresses(t *testing.T) {
	t.Parallel()
	needRoot(t)
	s := startServer(t)
	hosts := writeFile(t, filepath.Join(t.TempDir(), "hosts"), "127.0.0.1 two.test\n127.0.0.9 two.test\n")
	look := func(port int) *diagnosis {
		return runDoctor(t, nil, "unshare", "--mount", "sh", "-c", "mount --bind "+hosts+" /etc/hosts; exec "+s.bin+" doctor --server"+
			" http://two.test:"+itoa(port)+" --only resolve,connect \"$@\"", "sh")
	}
	d := look(s.http)
	d.want("ok", "resolve", "127.0.0.1", "127.0.0.9")
	d.want("ok", "connect/127.0.0.1", "ms")
	d.want("warn", "connect/127.0.0.9", "take this address out")
	d = look(freePort(t, "tcp"))
	d.want("fail", "connect/127.0.0.1")
	d.want("fail", "connect/127.0.0.9")
}

func TestDoctorUsage(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		words string
		args  []string
	}{
		{"outside only", []string{"--server", "https://x", "--data-dir", "/x"}},
		{"outside only", []string{"--server", "https://x", "--socket", "/x"}},
		{"did you mean \"relay\"", []string{"--only", "stun,relais"}},
		{"no check \"zzz\"", []string{"--only", "zzz"}},
		{"not a port", []string{"--server", "https://x", "--stun-port", "0"}},
		{"unknown flag", []string{"--frobnicate"}},
		{"too much", []string{"me"}},
	} {
		out, err := exec.Command(serverBinary(t), append([]string{"doctor"}, c.args...)...).CombinedOutput()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != 2 || !strings.Contains(string(out), c.words) {
			t.Errorf("%v: %v %s", c.args, err, out)
		}
	}
	doctor(t, "--socket", filepath.Join(t.TempDir(), "none")).want("warn", "server", "does not run", "start it")
	bad := writeFile(t, filepath.Join(t.TempDir(), "config.yaml"), "server_url: [1")
	d := runDoctor(t, []string{"FAIRLEAD_CONFIG=" + bad}, serverBinary(t), "doctor", "--socket", "/nowhere")
	d.want("fail", "config", "config.yaml")
}

// A node that relays and holds no map stream is named once that has lasted; one that is merely away is not.
func TestDoctorSilentNodes(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	silent, away := newLightNode(s, "silent"), newLightNode(s, "away")
	for _, n := range []*lightNode{silent, away} {
		if err := n.join(ctxFor(t, 10*time.Second), s.newKey().Key); err != nil {
			t.Fatal(err)
		}
		n.close()
	}
	s.stop()
	sqlite(t, filepath.Join(s.dir, "fairlead.db"), "update node_state set is_online = 0, last_seen_unix_s = last_seen_unix_s - 1000;")
	s.start()
	plainClient(t, fmt.Sprintf("http://127.0.0.1:%d/derp", s.http), silent.node)
	d := s.doctor("--only", "silent-nodes")
	d.want("warn", "silent-nodes", "silent")
	for _, check := range d.Checks {
		if strings.Contains(check.Found, "away") {
			t.Errorf("a node that is away is named: %+v", check)
		}
	}
}
