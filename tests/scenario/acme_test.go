// Proves certificates: one had from an ACME authority (pebble) without a restart, renewed without a lost connection and
// kept when the authority fails; named files that change are served, bad ones are not.
package scenario

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/letsencrypt/challtestsrv"
	"github.com/letsencrypt/pebble/v2/ca"
	"github.com/letsencrypt/pebble/v2/db"
	"github.com/letsencrypt/pebble/v2/va"
	"github.com/letsencrypt/pebble/v2/wfe"
	"tailscale.com/derp"
	"tailscale.com/derp/derphttp"
)

const acmeName = "vpn.fairlead.test"

// signed is a certificate of that name with its key, both PEM; self-signed without a parent.
type signed struct {
	cert    *x509.Certificate
	key     *ecdsa.PrivateKey
	certPEM []byte
	keyPEM  []byte
	pair    tls.Certificate
}

func newSigned(t *testing.T, name string, serial int64, parent *signed) *signed {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotBefore: time.Now().Add(-time.Minute),
		NotAfter: time.Now().Add(24 * time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, BasicConstraintsValid: true,
	}
	by, byKey := c, k
	if parent != nil {
		by, byKey = parent.cert, parent.key
	} else {
		c.IsCA, c.KeyUsage = true, x509.KeyUsageCertSign|x509.KeyUsageDigitalSignature
	}
	der, err := x509.CreateCertificate(rand.Reader, c, by, &k.PublicKey, byKey)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	s := &signed{
		key:     k,
		certPEM: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		keyPEM:  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}),
	}
	if s.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	if s.pair, err = tls.X509KeyPair(s.certPEM, s.keyPEM); err != nil {
		t.Fatal(err)
	}
	return s
}

// acmeCA is pebble on loopback, behind a gate: closed, it lets requests wait; broken, it fails them.
type acmeCA struct {
	url   string
	trust *signed        // of its own TLS
	roots *x509.CertPool // of what it issues

	mu       sync.Mutex
	gate     chan struct{}
	isBroken bool
	orders   int
}

func (a *acmeCA) setBroken(is bool) {
	a.mu.Lock()
	a.isBroken = is
	a.mu.Unlock()
}

func (a *acmeCA) asked() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.orders
}

// newACMECA validates at that port and issues for that long. Every name leads to 127.0.0.1.
func newACMECA(t *testing.T, httpPort int, life time.Duration) *acmeCA {
	t.Helper()
	os.Setenv("PEBBLE_VA_NOSLEEP", "1")
	os.Setenv("PEBBLE_VA_ALWAYS_VALID", "0")
	os.Setenv("PEBBLE_WFE_NONCEREJECT", "5") // per cent
	quiet := log.New(io.Discard, "", 0)
	dns := fmt.Sprintf("127.0.0.1:%d", freePort(t, "tcp"))
	names, err := challtestsrv.New(challtestsrv.Config{DNSAddrs: []string{dns}, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	names.SetDefaultDNSIPv6("")
	go names.Run()
	t.Cleanup(names.Shutdown)
	eventually(t, 5*time.Second, "names are answered", func() bool {
		c, err := net.Dial("tcp", dns)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	store := db.NewMemoryStore()
	issuer := ca.New(quiet, store, "", "ecdsa", 0, 1, map[string]ca.Profile{
		"default": {Description: "short", ValidityPeriod: uint64(life / time.Second)}})
	front := wfe.New(quiet, store, va.New(quiet, httpPort, httpPort, false, dns, store), issuer,
		[]string{"pebble.test"}, false, false, 1, 1)
	handler := front.Handler()
	a := &acmeCA{gate: make(chan struct{}), roots: x509.NewCertPool()}
	a.roots.AppendCertsFromPEM(issuer.GetRootCert(0).PEM())
	a.trust = newSigned(t, "authority", 1, nil)
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		<-a.gate
		a.mu.Lock()
		isBroken := a.isBroken
		if strings.Contains(r.URL.Path, "order-plz") {
			a.orders++
		}
		a.mu.Unlock()
		if isBroken {
			http.Error(w, `{"type": "urn:x", "detail": "the authority is out of order"}`, 503)
			return
		}
		handler.ServeHTTP(w, r)
	}))
	srv.TLS = &tls.Config{Certificates: []tls.Certificate{newSigned(t, "127.0.0.1", 2, a.trust).pair}}
	srv.StartTLS()
	t.Cleanup(srv.Close)
	a.url = srv.URL + "/dir"
	return a
}

// trustPrefix is a command line in whose mount namespace the system trusts this authority and no other.
func trustPrefix(t *testing.T, trust *signed) []string {
	t.Helper()
	unshare := []string{"unshare", "-m"}
	if os.Geteuid() != 0 {
		unshare = []string{"unshare", "-rm"}
	}
	why := ""
	if out, err := exec.Command(unshare[0], append(unshare[1:], "true")...).CombinedOutput(); err != nil {
		why = "no mount namespace: " + strings.TrimSpace(string(out))
	}
	if _, err := exec.LookPath("uacme"); err != nil {
		why = "no uacme"
	}
	if why != "" {
		if os.Getenv("CI") == "true" {
			t.Fatalf("this test must run in CI: %s", why)
		}
		fmt.Fprintf(os.Stderr, "\n*** NOT TESTED: certificates by ACME (%s) ***\n\n", why)
		t.Skip(why)
	}
	bundle := writeFile(t, filepath.Join(t.TempDir(), "ca.crt"), string(trust.certPEM))
	return append(unshare, "sh", "-c",
		`mount --bind "$0" /etc/ssl/certs/ca-certificates.crt && exec "$@"`, bundle)
}

// shown dials anew and returns the leaf, verified by roots if there are any.
func (s *server) shown(t *testing.T, name string, roots *x509.CertPool) (*x509.Certificate, error) {
	t.Helper()
	d := tls.Dialer{NetDialer: &net.Dialer{Timeout: 5 * time.Second}, Config: &tls.Config{
		ServerName: name, RootCAs: roots, InsecureSkipVerify: roots == nil}}
	c, err := d.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", s.https))
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return c.(*tls.Conn).ConnectionState().PeerCertificates[0], nil
}

// keptAlive asks for /health on one connection again and again.
type keptAlive struct {
	t *testing.T
	c net.Conn
}

func (s *server) keepAlive(t *testing.T, name string, roots *x509.CertPool) *keptAlive {
	t.Helper()
	c, err := tls.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", s.https),
		&tls.Config{ServerName: name, RootCAs: roots, InsecureSkipVerify: roots == nil})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &keptAlive{t, c}
}

func (k *keptAlive) ask() string {
	k.t.Helper()
	_ = k.c.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := io.WriteString(k.c, "GET /health HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		k.t.Fatalf("the connection was dropped: %v", err)
	}
	buf := make([]byte, 4096)
	n := 0
	for !bytes.HasSuffix(buf[:n], []byte("}\n")) {
		m, err := k.c.Read(buf[n:])
		if err != nil {
			k.t.Fatalf("the connection was dropped: %v", err)
		}
		n += m
	}
	if !bytes.HasPrefix(buf, []byte("HTTP/1.1 200 ")) {
		k.t.Fatalf("health: %s", buf[:n])
	}
	return string(buf[:n])
}

func (s *server) hup() { _ = syscall.Kill(s.pid(), syscall.SIGHUP) }

type certStatus struct {
	Certificate struct {
		Source         string    `json:"source"`
		Expires        time.Time `json:"expires"`
		FailedAttempts int       `json:"failedAttempts"`
	} `json:"certificate"`
}

func (s *server) certStatus() (v certStatus) {
	s.t.Helper()
	s.cliJSON(&v, "status")
	return v
}

var expiryMetricRE = regexp.MustCompile(`(?m)^fairlead_certificate_expiry_timestamp_seconds (\d+)$`)

func TestCertificateByACME(t *testing.T) {
	t.Parallel()
	const life = 60 * time.Second // renewed after 40
	metrics := freePort(t, "tcp")
	s := newServer(t, "--tls-letsencrypt-hostname", acmeName, "--derp-ipv4", "127.0.0.1", "--derp-ipv6", "none",
		"--metrics-listen-addr", fmt.Sprintf("127.0.0.1:%d", metrics))
	a := newACMECA(t, s.http, life)
	s.prefix = trustPrefix(t, a.trust)
	s.url = fmt.Sprintf("https://%s:%d", acmeName, s.https)
	s.flags = append(s.flags, "--acme-url", a.url, "--acme-email", "ann@example.com")
	s.start()

	// The authority has not answered yet: the self-signed certificate serves, and the relay is pinned to it.
	if v := s.certStatus().Certificate; v.Source != "self-signed" {
		t.Fatalf("before: %+v", v)
	}
	key := s.newKey("--reusable").Key
	var nodes [2]*lightNode
	var relay [2]*derphttp.Client
	for i := range nodes {
		n := newLightNode(s, fmt.Sprintf("n%d", i))
		defer n.close()
		if err := n.join(ctxFor(t, 10*time.Second), key); err != nil {
			t.Fatal(err)
		}
		if n.derp.Regions[900].Nodes[0].CertName == "" {
			t.Fatal("the map has no pin of the self-signed certificate")
		}
		c := derpClient(t, n.node, n.derp)
		if err := c.Connect(ctxFor(t, 10*time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Recv(); err != nil {
			t.Fatal(err)
		}
		nodes[i], relay[i] = n, c
	}
	first := s.keepAlive(t, acmeName, nil)
	if text := first.ask(); !strings.Contains(text, `"pass"`) {
		t.Errorf("health with ten years to go: %s", text)
	}
	allIsAlive := func(what string) {
		t.Helper()
		first.ask()
		if err := relay[0].Send(nodes[1].node.Public(), []byte(what)); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if p, ok := recv(t, relay[1], 5*time.Second).(derp.ReceivedPacket); !ok || string(p.Data) != what {
			t.Fatalf("%s: the relay connection does not carry packets", what)
		}
		for _, n := range nodes {
			if err := n.ended(); err != nil {
				t.Fatalf("%s: a stream ended: %v", what, err)
			}
		}
	}
	pinIs := func(want bool) bool {
		for _, n := range nodes {
			n.mu.Lock()
			has := n.derp.Regions[900].Nodes[0].CertName != ""
			n.mu.Unlock()
			if has != want {
				return false
			}
		}
		return true
	}
	// Nobody but the authority is told anything, and nothing but tokens.
	for _, path := range []string{"x", "..%2f..%2fattempt", "../attempt"} {
		res, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/.well-known/acme-challenge/%s", s.http, path))
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != 404 {
			t.Errorf("%s: %s", path, res.Status)
		}
	}

	close(a.gate)
	var leaf *x509.Certificate
	eventually(t, 40*time.Second, "a certificate that the authority's root verifies", func() (ok bool) {
		c, err := s.shown(t, acmeName, a.roots)
		leaf = c
		return err == nil
	})
	eventually(t, 5*time.Second, "nodes hear that there is no pin any more", func() bool { return pinIs(false) })
	allIsAlive("after the first certificate")
	if v := s.certStatus().Certificate; v.Source != "acme" || !v.Expires.Equal(leaf.NotAfter) || v.FailedAttempts != 0 {
		t.Errorf("status: %+v, want the end %v", v, leaf.NotAfter)
	}
	issued := s.keepAlive(t, acmeName, a.roots)
	if text := issued.ask(); !strings.Contains(text, `"warn"`) {
		t.Errorf("health with a minute to go: %s", text)
	}
	res, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/metrics", metrics))
	if err != nil {
		t.Fatal(err)
	}
	text, _ := io.ReadAll(res.Body)
	res.Body.Close()
	m := expiryMetricRE.FindSubmatch(text)
	if m == nil || string(m[1]) != strconv.FormatInt(leaf.NotAfter.Unix(), 10) {
		t.Errorf("the metric says %q, the certificate %d", m, leaf.NotAfter.Unix())
	}

	// The renewal fails: the certificate stays, and the authority is left alone.
	a.setBroken(true)
	eventually(t, life, "an attempt that failed", func() bool { return s.certStatus().Certificate.FailedAttempts == 1 })
	if c, err := s.shown(t, acmeName, a.roots); err != nil || !c.Equal(leaf) {
		t.Fatalf("after the failure: %v", err)
	}
	if !strings.Contains(s.log.String(), "no certificate from the authority") {
		t.Error("the log does not say it")
	}
	orders := a.asked()
	a.setBroken(false)
	allIsAlive("after a failed renewal")
	if a.asked() != orders {
		t.Error("the authority is asked again at once")
	}

	// Somebody asks: now it is renewed, and nobody notices.
	s.hup()
	eventually(t, 30*time.Second, "another certificate", func() bool {
		c, err := s.shown(t, acmeName, a.roots)
		return err == nil && !c.Equal(leaf)
	})
	issued.ask()
	allIsAlive("after the renewal")
	if !pinIs(false) {
		t.Error("the pin is back")
	}
	renewed, err := s.shown(t, acmeName, a.roots)
	if err != nil {
		t.Fatal(err)
	}
	orders = a.asked()
	s.stop()
	s.start()
	if c, err := s.shown(t, acmeName, a.roots); err != nil || !c.Equal(renewed) || a.asked() != orders {
		t.Errorf("after a restart: %v, %d orders more", err, a.asked()-orders)
	}
	if log := s.log.String(); strings.Contains(log, "PRIVATE KEY") || !strings.Contains(log, "certificate issued") {
		t.Error("the log is not as it should be")
	}
}

func TestACMEWithoutClient(t *testing.T) {
	s := newServer(t, "--tls-letsencrypt-hostname", acmeName, "--acme-url", "https://127.0.0.1:1/dir")
	s.url = fmt.Sprintf("https://%s:%d", acmeName, s.https)
	s.prefix = []string{"env", "PATH=/nonexistent"}
	s.start()
	eventually(t, 5*time.Second, "the log names what is missing", func() bool {
		return strings.Contains(s.log.String(), "the program uacme is not installed (Debian package uacme)")
	})
	if v := s.certStatus().Certificate; v.Source != "self-signed" || v.FailedAttempts != 1 {
		t.Errorf("status: %+v", v)
	}
}

func TestCertificateFilesAreReloaded(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "c.pem"), filepath.Join(dir, "k.pem")
	put := func(c *signed) {
		writeFile(t, cert, string(c.certPEM))
		writeFile(t, key, string(c.keyPEM))
	}
	root := newSigned(t, "root", 1, nil)
	roots := x509.NewCertPool()
	roots.AddCert(root.cert)
	put(newSigned(t, acmeName, 10, root))
	s := newServer(t, "--tls-cert-path", cert, "--tls-key-path", key)
	s.url = fmt.Sprintf("https://%s:%d", acmeName, s.https)
	s.start()
	serial := func() int64 {
		t.Helper()
		c, err := s.shown(t, acmeName, roots)
		if err != nil {
			t.Fatal(err)
		}
		return c.SerialNumber.Int64()
	}
	if n := serial(); n != 10 {
		t.Fatalf("certificate %d", n)
	}
	open := s.keepAlive(t, acmeName, roots)
	open.ask()
	put(newSigned(t, acmeName, 11, root))
	s.hup()
	eventually(t, 5*time.Second, "the new certificate after SIGHUP", func() bool { return serial() == 11 })
	open.ask()

	writeFile(t, cert, string(newSigned(t, acmeName, 12, root).certPEM)) // without its key
	s.hup()
	eventually(t, 5*time.Second, "a loud word", func() bool {
		return strings.Contains(s.log.String(), "level=error part=tls") && strings.Contains(s.log.String(), key)
	})
	if n := serial(); n != 11 {
		t.Fatalf("certificate %d", n)
	}
	open.ask()

	put(newSigned(t, acmeName, 13, root))
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for serial() != 13 { // nobody asks
		select {
		case <-ctx.Done():
			t.Fatal("changed files are not noticed")
		case <-time.After(500 * time.Millisecond):
		}
	}
	open.ask()
	if v := s.certStatus().Certificate; v.Source != "files" {
		t.Errorf("status: %+v", v)
	}
}
