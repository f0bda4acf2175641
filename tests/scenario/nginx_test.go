// Proves the front door behind a real nginx: nodes, relay and the Tailscale client through it over plain http and TLS,
// kept-alive connections, X-Forwarded-For.
package scenario

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"tailscale.com/tailcfg"
)

const nginxConf = `daemon off;
master_process off;
pid nginx.pid;
error_log stderr warn;
events { worker_connections 512; }
http {
	access_log access.log;
	client_body_temp_path body;
	proxy_temp_path proxy;
	fastcgi_temp_path fastcgi;
	uwsgi_temp_path uwsgi;
	scgi_temp_path scgi;
	map $http_upgrade $connection_upgrade { default upgrade; "" ""; }
	map $server_port $forwarded_for {
		default $proxy_add_x_forwarded_for;
		@FAR@ "192.0.2.66, 198.51.100.7";
		@OTHER@ "198.51.100.8, 127.0.0.1";
	}
	upstream fairlead { server 127.0.0.1:@UPSTREAM@; keepalive 4; }
	server {
		listen 127.0.0.1:@PLAIN@;
		listen 127.0.0.1:@FAR@;
		listen 127.0.0.1:@OTHER@;
		listen 127.0.0.1:@TLS@ ssl;
		ssl_certificate @CERT@;
		ssl_certificate_key @KEY@;
		location / {
			proxy_pass http://fairlead;
			proxy_http_version 1.1;
			proxy_set_header Host $http_host;
			proxy_set_header Upgrade $http_upgrade;
			proxy_set_header Connection $connection_upgrade;
			proxy_set_header X-Forwarded-For $forwarded_for;
			proxy_buffering off;
			proxy_read_timeout 1h;
		}
	}
}
`

type nginx struct {
	plain, tls string
	far, other string // where X-Forwarded-For names 198.51.100.7 and .8 as the last that is not a proxy
}

func startNginx(t *testing.T, s *server, a *authority) *nginx {
	t.Helper()
	bin := needTool(t, "nginx")
	dir := t.TempDir()
	ports := make([]string, 4)
	for i := range ports {
		ports[i] = itoa(freePort(t, "tcp"))
	}
	conf := strings.NewReplacer("@UPSTREAM@", itoa(s.http), "@PLAIN@", ports[0], "@TLS@", ports[1], "@FAR@", ports[2],
		"@OTHER@", ports[3], "@CERT@", a.certFile, "@KEY@", a.keyFile).Replace(nginxConf)
	log := &logBuffer{}
	cmd := exec.Command(bin, "-e", "stderr", "-p", dir, "-c", writeFile(t, filepath.Join(dir, "nginx.conf"), conf))
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			access, _ := os.ReadFile(filepath.Join(dir, "access.log"))
			t.Logf("nginx:\n%s\n%s", log.String(), access)
		}
	})
	n := &nginx{plain: "127.0.0.1:" + ports[0], tls: "127.0.0.1:" + ports[1], far: "127.0.0.1:" + ports[2],
		other: "127.0.0.1:" + ports[3]}
	eventually(t, 10*time.Second, "nginx answers", func() bool {
		res, err := http.Get("http://" + n.plain + "/health")
		if err != nil {
			return false
		}
		res.Body.Close()
		return res.StatusCode == 200
	})
	return n
}

func TestBehindNginx(t *testing.T) {
	s := startServer(t, "--trusted-proxies", "127.0.0.1", "--limits-register-fail-per-min", "5")
	ca := newAuthority(t)
	ng := startNginx(t, s, ca)
	k := s.newKey("--reusable").Key
	trusting := &tls.Config{RootCAs: ca.pool, ServerName: "localhost"}
	plain, https := dialPlain(ng.plain), dialTLS(dialPlain(ng.tls), trusting)

	t.Run("plain", func(t *testing.T) { joinVia(t, s, k, "plain", plain) })
	t.Run("TLS", func(t *testing.T) { joinVia(t, s, k, "secure", https) })
	t.Run("kept-alive upstream", func(t *testing.T) {
		for i := range 6 {
			used := []string{"/nothing", "/key?v=113", "/api/fairlead/v1/status"}[:1+i%3]
			joinVia(t, s, k, fmt.Sprintf("used-%d", i), dialUsed(https, used...))
		}
	})
	t.Run("small answers", func(t *testing.T) {
		c := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{TLSClientConfig: trusting}}
		for _, a := range smallAnswers {
			if a.status != 426 {
				checkAnswer(t, c, "https://"+ng.tls, a)
			}
		}
	})
	t.Run("many at once", func(t *testing.T) {
		addr := tunnel(t, https)
		nodes := make([]*lightNode, 60)
		err := parallel(len(nodes), 20, func(i int) error {
			nodes[i] = newLightNode(s, fmt.Sprintf("many-%d", i))
			nodes[i].addr = addr
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			defer cancel()
			return nodes[i].join(ctx, k)
		})
		for _, n := range nodes {
			defer n.close()
		}
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, 10*time.Second, "all see the last one", func() bool {
			for i, n := range nodes {
				if i != 59 && n.peerNamed("many-59") == nil {
					return false
				}
			}
			return true
		})
	})
	t.Run("relay", func(t *testing.T) {
		relayThrough(t, s, k, "https://localhost"+ng.tls[strings.Index(ng.tls, ":"):], trusting)
	})
	t.Run("peer address", func(t *testing.T) {
		far, other := dialPlain(ng.far), dialPlain(ng.other)
		if n := refusals(t, s, far, 20); n < 5 || n > 6 {
			t.Errorf("%d refusals of 5 a minute", n)
		}
		if n := refusals(t, s, other, 20); n < 5 || n > 6 {
			t.Errorf("another source has %d refusals of its 5 left", n)
		}
		joinVia(t, s, k, "not-limited", plain)
	})
	t.Run("tailscale client", func(t *testing.T) {
		var out bytes.Buffer
		cmd := exec.Command(os.Args[0], "-test.run=^TestClientOfPrivateCA$", "-test.count=1", "-test.v", "-test.timeout=90s")
		cmd.Env = append(os.Environ(), "SSL_CERT_FILE="+ca.caFile, "FAIRLEAD_TEST_KEY="+k,
			"FAIRLEAD_TEST_URL=https://localhost"+ng.tls[strings.Index(ng.tls, ":"):])
		cmd.Stdout, cmd.Stderr = &out, &out
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		if err := cmd.Run(); err != nil || !strings.Contains(out.String(), "up in ") {
			t.Fatalf("%v\n%s", err, out.String())
		}
	})
}

// A proxy that is not trusted may say what it likes.
func TestForwardedForIsNotTrusted(t *testing.T) {
	s := startServer(t, "--limits-register-fail-per-min", "5")
	ng := startNginx(t, s, newAuthority(t))
	n := refusals(t, s, dialPlain(ng.far), 20) + refusals(t, s, dialPlain(ng.other), 20)
	if n < 5 || n > 6 {
		t.Errorf("%d refusals of 5 a minute for one untrusted proxy", n)
	}
}

// TestClientOfPrivateCA is the body of a part of TestBehindNginx: it runs in a process of its own, whose system roots
// are the test's CA, and has nothing to do elsewhere.
func TestClientOfPrivateCA(t *testing.T) {
	url, k := os.Getenv("FAIRLEAD_TEST_URL"), os.Getenv("FAIRLEAD_TEST_KEY")
	if url == "" {
		return
	}
	relayOnly(t)
	a := newNode(t, nodeOptions{url: url, key: k, hostname: "ca-a"})
	_, took, err := a.up(30 * time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("up in %v", took)
	b := newNode(t, nodeOptions{url: url, key: k, hostname: "ca-b"})
	b.mustUp()
	res, err := a.ping(b.ip4(), tailcfg.PingTSMP, 20*time.Second)
	if err != nil || res.Err != "" {
		t.Fatalf("ping: %v %+v", err, res)
	}
	b.serveHTTP("through nginx")
	if body, err := a.fetch(b.ip4(), 15*time.Second); err != nil || body != "through nginx" {
		t.Fatalf("%q %v", body, err)
	}
}
