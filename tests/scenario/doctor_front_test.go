// Proves that `fairlead doctor` names what a front end does wrong: nginx without Upgrade, proxies that close, hang, hold
// bytes back or speak something else, another server behind the name; certificates, and a server's clock.
package scenario

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const doctorNginx = `daemon off;
master_process off;
pid nginx.pid;
error_log stderr warn;
events { worker_connections 256; }
http {
	access_log off;
	client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;
	server {
		listen 127.0.0.1:@PORT@ ssl;
		ssl_certificate @CERT@;
		ssl_certificate_key @KEY@;
		location / { proxy_pass http://127.0.0.1:@UPSTREAM@; @LINES@ }
		@MORE@
	}
}
`

const upgradeLines = `proxy_http_version 1.1; proxy_set_header Host $http_host; proxy_set_header Upgrade $http_upgrade;` +
	` proxy_set_header Connection upgrade; proxy_buffering off; proxy_read_timeout 1h;`

func doctorProxy(t *testing.T, ca *authority, upstream, port int, lines, more string) {
	t.Helper()
	dir, log := t.TempDir(), &logBuffer{}
	conf := strings.NewReplacer("@PORT@", itoa(port), "@CERT@", ca.certFile, "@KEY@", ca.keyFile, "@UPSTREAM@", itoa(upstream),
		"@LINES@", lines, "@MORE@", more).Replace(doctorNginx)
	cmd := exec.Command(needTool(t, "nginx"), "-e", "stderr", "-p", dir, "-c", writeFile(t, filepath.Join(dir, "nginx.conf"), conf))
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	eventually(t, 10*time.Second, "nginx answers: "+log.String(), func() bool {
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			c.Close()
		}
		return err == nil
	})
}

func TestDoctorBehindNginx(t *testing.T) {
	t.Parallel()
	ca, port := newAuthority(t), freePort(t, "tcp")
	env := []string{"SSL_CERT_FILE=" + ca.caFile}
	s := newServer(t)
	s.url = fmt.Sprintf("https://localhost:%d", port)
	s.start()
	local := []string{s.bin, "doctor", "--socket", s.socket}

	t.Run("right", func(t *testing.T) {
		doctorProxy(t, ca, s.http, port, upgradeLines, "")
		d := runDoctor(t, env, local...)
		d.lacks("fail")
		d.want("warn", "proxy", "nginx", "trusted_proxies")
		d.want("ok", "control")
		d.want("ok", "websocket")
		d = runDoctor(t, env, s.bin, "doctor", "--server", s.url, "--stun-port", itoa(s.stun))
		d.lacks("fail")
		d.want("ok", "proxy", "75 s")
		d.want("ok", "relay", "TLS ends in front")
	})
	t.Run("without Upgrade", func(t *testing.T) {
		port := freePort(t, "tcp")
		doctorProxy(t, ca, s.http, port, "", "")
		d := runDoctor(t, env, s.bin, "doctor", "--server", fmt.Sprintf("https://localhost:%d", port), "--stun-port", itoa(s.stun))
		d.want("ok", "key")
		d.want("fail", "control", "426", "proxy_set_header Upgrade $http_upgrade")
		d.want("warn", "websocket", "426")
		d.want("fail", "relay", "426")
	})
	t.Run("some paths only", func(t *testing.T) {
		port := freePort(t, "tcp")
		doctorProxy(t, ca, s.http, port, upgradeLines, "location /derp/ { return 404; }\nlocation /ts2021 { return 405; }")
		d := runDoctor(t, env, s.bin, "doctor", "--server", fmt.Sprintf("https://localhost:%d", port), "--stun-port", itoa(s.stun))
		d.want("fail", "control", "405")
		d.want("warn", "relay", "/derp/probe", "404")
		port = freePort(t, "tcp")
		doctorProxy(t, ca, s.http, port, upgradeLines, "location /key { return 404; }\nlocation /derp { return 404; }")
		d = runDoctor(t, env, s.bin, "doctor", "--server", fmt.Sprintf("https://localhost:%d", port), "--stun-port", itoa(s.stun))
		d.want("fail", "connect", "404")
		d.want("fail", "key", "no key")
		d.want("fail", "control", "not tried")
		d.want("fail", "relay", "no relay there")
	})

	// Another server's certificate, and its relay, where the map says that ours is.
	trusting := newServer(t, "--trusted-proxies", "127.0.0.1")
	trusting.url = s.url
	trusting.start()
	t.Run("another server", func(t *testing.T) {
		doctorProxy(t, ca, s.http, port, upgradeLines, "")
		d := runDoctor(t, env, trusting.bin, "doctor", "--socket", trusting.socket)
		d.want("fail", "key", "another server")
		d.want("ok", "proxy", "nginx")
	})
}

// wireProxy passes bytes to the server; head sees each request's head first, and whether to go on is what it returns.
func wireProxy(t *testing.T, to string, cfg *tls.Config, head func(in net.Conn, head string) bool, answer func([]byte) []byte) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	serve := func(in net.Conn) {
		if cfg != nil {
			in = tls.Server(in, cfg)
		}
		br := bufio.NewReader(in)
		var text strings.Builder
		for !strings.HasSuffix(text.String(), "\r\n\r\n") {
			line, err := br.ReadString('\n')
			if err != nil {
				return
			}
			text.WriteString(line)
		}
		if !head(in, text.String()) {
			return
		}
		out, err := net.Dial("tcp", to)
		if err != nil {
			return
		}
		defer out.Close()
		_, _ = io.WriteString(out, text.String())
		go func() { _, _ = io.Copy(out, br) }()
		b := make([]byte, 64<<10)
		for {
			n, err := out.Read(b)
			if _, werr := in.Write(answer(b[:n])); err != nil || werr != nil {
				return
			}
		}
	}
	serveEach(l, serve)
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

func same(b []byte) []byte { return b }

// Front ends that no configuration file describes.
func TestDoctorBadFrontEnds(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	upgrade := func(head string) bool { return strings.HasPrefix(head, "POST /ts2021") }
	look := func(name, found string, head func(in net.Conn, head string) bool) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			port := wireProxy(t, s.plain(), nil, head, same)
			d := doctor(t, "--server", "http://127.0.0.1:"+port, "--only", "key,control")
			d.want("ok", "key")
			d.want("fail", "control", found)
		})
	}
	hang := func(in net.Conn) bool { time.Sleep(8 * time.Second); return false }
	look("closes", "closed in answer", func(in net.Conn, head string) bool { return !upgrade(head) })
	look("hangs", "within 5 seconds", func(in net.Conn, head string) bool { return !upgrade(head) || hang(in) })
	look("speaks h2", "HTTP/2 only", func(in net.Conn, head string) bool {
		if upgrade(head) {
			_, _ = in.Write([]byte("\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x64"))
		}
		return !upgrade(head)
	})
	look("speaks no HTTP", "not HTTP/1.1", func(in net.Conn, head string) bool {
		if upgrade(head) {
			_, _ = io.WriteString(in, "SSH-2.0-OpenSSH_9\r\n")
		}
		return !upgrade(head)
	})
	look("holds back", "nothing comes through", func(in net.Conn, head string) bool {
		if !upgrade(head) {
			return true
		}
		_, _ = io.WriteString(in, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: tailscale-control-protocol\r\n\r\n")
		return hang(in)
	})
	look("another server", "two servers", func(in net.Conn, head string) bool {
		if upgrade(head) {
			_, _ = in.Write(append([]byte("HTTP/1.1 101 Switching Protocols\r\n\r\n\x02\x00\x30"), make([]byte, 48)...))
		}
		return !upgrade(head)
	})
	t.Run("one way", func(t *testing.T) {
		t.Parallel()
		one, _ := net.Listen("tcp", "127.0.0.1:0") // passes on what the server says, but not what the client says
		t.Cleanup(func() { one.Close() })
		serveEach(one, func(in net.Conn) {
			out, err := net.Dial("tcp", s.plain())
			if err != nil {
				return
			}
			defer out.Close()
			b := make([]byte, 4096)
			n, _ := in.Read(b)
			_, _ = out.Write(b[:n])
			_, _ = io.Copy(in, out)
		})
		d := doctor(t, "--server", "http://"+one.Addr().String(), "--only", "control")
		d.want("fail", "control", "holds bytes back")
	})
	t.Run("websocket", func(t *testing.T) {
		t.Parallel()
		port := wireProxy(t, s.plain(), nil, func(in net.Conn, head string) bool {
			if strings.HasPrefix(head, "GET /ts2021") {
				_, _ = io.WriteString(in, "HTTP/1.1 101 Switching Protocols\r\n\r\n\x88\x00")
				return false
			}
			return true
		}, same)
		doctor(t, "--server", "http://127.0.0.1:"+port, "--only", "websocket").want("warn", "websocket", "nothing comes through")
	})
}

// frontWith serves TLS with that certificate in front of the server, for the name localhost.
func frontWith(t *testing.T, s *server, change func(c *x509.Certificate), isSelf bool, ca *authority) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "front"}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(90 * 24 * time.Hour), BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	change(tmpl)
	parent, signer := tmpl, key
	if !isSelf {
		caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		root := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Doctor CA"}, IsCA: true,
			NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
			BasicConstraintsValid: true}
		der, err := x509.CreateCertificate(rand.Reader, root, root, &caKey.PublicKey, caKey)
		if err != nil {
			t.Fatal(err)
		}
		parent, signer = root, caKey
		writePEM(t, ca.caFile, der)
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	cfg := &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	return wireProxy(t, s.plain(), cfg, func(net.Conn, string) bool { return true }, same)
}

func TestDoctorCertificates(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	for _, c := range []struct {
		name, level, found string
		isSelf, isUnknown  bool
		change             func(c *x509.Certificate)
	}{
		{"good", "ok", "good for", false, false, func(c *x509.Certificate) {}},
		{"expired", "fail", "expired at", false, false, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }},
		{"not yet", "fail", "not valid before", false, false, func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Hour) }},
		{"ends soon", "warn", "in 3 days", false, false, func(c *x509.Certificate) {
			c.NotBefore, c.NotAfter = time.Now().Add(-80*24*time.Hour), time.Now().Add(73*time.Hour)
		}},
		{"wrong name", "fail", "is for other.example.org, 192.0.2.7, not for localhost", false, false,
			func(c *x509.Certificate) {
				c.DNSNames, c.IPAddresses = []string{"other.example.org"}, []net.IP{net.IPv4(192, 0, 2, 7)}
			}},
		{"self-signed", "fail", "self-signed", true, false, func(c *x509.Certificate) {}},
		{"unknown authority", "fail", "issued by Doctor CA", false, true, func(c *x509.Certificate) {}},
	} {
		t.Run(c.name, func(t *testing.T) {
			ca := &authority{caFile: filepath.Join(t.TempDir(), "ca.pem")}
			port := frontWith(t, s, c.change, c.isSelf, ca)
			env := []string{"SSL_CERT_FILE=" + ca.caFile}
			if c.isUnknown || c.isSelf {
				env = []string{"SSL_CERT_FILE=/dev/null"}
			}
			d := runDoctor(t, env, s.bin, "doctor", "--server", "https://localhost:"+port, "--only", "certificate,key,relay")
			d.want(c.level, "certificate", c.found)
			d.want("ok", "key")
			if c.level == "fail" && !c.isSelf { // whose pin might be in the map
				d.want("fail", "relay", c.found)
			}
		})
	}
}

func TestDoctorServerClock(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	for _, c := range []struct {
		off          time.Duration
		level, found string
	}{
		{0, "ok", "agrees"}, {2 * time.Minute, "warn", "ahead"}, {-2 * time.Minute, "warn", "behind"},
		{time.Hour, "fail", "NTP"}, {-24 * time.Hour, "fail", "behind"},
	} {
		date := []byte("Date: " + time.Now().Add(c.off).UTC().Format(http.TimeFormat))
		port := wireProxy(t, s.plain(), nil, func(net.Conn, string) bool { return true }, func(b []byte) []byte {
			if i := bytes.Index(b, []byte("Date: ")); i >= 0 {
				copy(b[i:], date)
			}
			return b
		})
		doctor(t, "--server", "http://127.0.0.1:"+port, "--only", "clock").want(c.level, "clock/server", c.found)
	}
}
