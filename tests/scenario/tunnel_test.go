// Ways to the server for clients that only know a plain address: TLS, a proxy's header, a connection already used.
package scenario

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"
)

type dialFunc func() (net.Conn, error)

func dialPlain(addr string) dialFunc {
	return func() (net.Conn, error) { return net.DialTimeout("tcp", addr, 5*time.Second) }
}

func dialTLS(d dialFunc, cfg *tls.Config) dialFunc {
	return func() (net.Conn, error) {
		c, err := d()
		if err != nil {
			return nil, err
		}
		tc := tls.Client(c, cfg)
		_ = tc.SetDeadline(time.Now().Add(10 * time.Second))
		if err := tc.Handshake(); err != nil {
			c.Close()
			return nil, err
		}
		_ = tc.SetDeadline(time.Time{})
		return tc, nil
	}
}

// dialSaying sends something first, in pieces of that many bytes (0: at once).
func dialSaying(d dialFunc, text string, piece int) dialFunc {
	return func() (net.Conn, error) {
		c, err := d()
		if err != nil {
			return nil, err
		}
		if piece == 0 {
			piece = len(text)
		}
		for rest := text; len(rest) > 0; {
			n := min(piece, len(rest))
			if _, err := c.Write([]byte(rest[:n])); err != nil {
				c.Close()
				return nil, err
			}
			if rest = rest[n:]; len(rest) > 0 {
				time.Sleep(time.Millisecond)
			}
		}
		return c, nil
	}
}

// dialUsed gets those paths one after the other on the connection before it is given out.
func dialUsed(d dialFunc, paths ...string) dialFunc {
	return func() (net.Conn, error) {
		c, err := d()
		if err != nil {
			return nil, err
		}
		br := bufio.NewReader(c)
		_ = c.SetDeadline(time.Now().Add(10 * time.Second))
		for _, p := range paths {
			fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: fairlead\r\n\r\n", p)
			res, err := http.ReadResponse(br, nil)
			if err != nil {
				c.Close()
				return nil, fmt.Errorf("GET %s: %w", p, err)
			}
			_, err = io.Copy(io.Discard, res.Body)
			if err != nil || res.Close {
				c.Close()
				return nil, fmt.Errorf("GET %s (%s): kept alive %v, %v", p, res.Status, !res.Close, err)
			}
		}
		_ = c.SetDeadline(time.Time{})
		return bufConn{c, br}, nil
	}
}

// tunnel gives a plain loopback address that leads where d leads.
func tunnel(t *testing.T, d dialFunc) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	serveEach(l, func(in net.Conn) {
		out, err := d()
		if err != nil {
			if t.Context().Err() == nil {
				t.Logf("tunnel: %v", err)
			}
			return
		}
		defer out.Close()
		go func() {
			_, _ = io.Copy(out, in)
			out.Close()
		}()
		_, _ = io.Copy(in, out)
	})
	return l.Addr().String()
}

// authority is a CA with one certificate for localhost and 127.0.0.1.
type authority struct {
	pool              *x509.CertPool
	caFile            string
	certFile, keyFile string
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	dir := t.TempDir()
	a := &authority{pool: x509.NewCertPool(), caFile: filepath.Join(dir, "ca.pem"),
		certFile: filepath.Join(dir, "cert.pem"), keyFile: filepath.Join(dir, "key.pem")}
	make1 := func(serial int64, name string, parent *x509.Certificate, signer *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		tmpl := &x509.Certificate{
			SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name},
			NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
			BasicConstraintsValid: true,
		}
		if parent == nil {
			parent, signer, tmpl.IsCA, tmpl.KeyUsage = tmpl, k, true, x509.KeyUsageCertSign
		} else {
			tmpl.DNSNames, tmpl.IPAddresses = []string{name}, []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}
			tmpl.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		}
		der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, &k.PublicKey, signer)
		if err != nil {
			t.Fatal(err)
		}
		c, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return c, k
	}
	write := func(path, kind string, der []byte) {
		b := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ca, caKey := make1(1, "Scenario CA", nil, nil)
	leaf, key := make1(2, "localhost", ca, caKey)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write(a.caFile, "CERTIFICATE", ca.Raw)
	write(a.certFile, "CERTIFICATE", leaf.Raw)
	write(a.keyFile, "PRIVATE KEY", der)
	a.pool.AddCert(ca)
	return a
}
