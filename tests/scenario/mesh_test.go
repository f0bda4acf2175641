// Proves the mesh: our relay and the reference implementation's pass on packets for each other's clients, both ways,
// over TLS with a pin and plain; a link comes back after the other relay has.
package scenario

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"tailscale.com/derp"
	"tailscale.com/derp/derphttp"
	"tailscale.com/derp/derpserver"
	"tailscale.com/net/netmon"
	"tailscale.com/types/key"
)

func meshKey(t *testing.T) (path, key string) {
	t.Helper()
	b := make([]byte, 32)
	rand.Read(b)
	key = hex.EncodeToString(b)
	path = filepath.Join(t.TempDir(), "mesh.key")
	if err := os.WriteFile(path, []byte(key+"\n"), 0600); err != nil {
		t.Fatal(err)
	}
	return path, key
}

// derper is the reference relay in this process, watching ours as cmd/derper does.
type derper struct {
	*derpserver.Server
	http  *httptest.Server // for relays
	plain *httptest.Server // for clients
	pin   string
}

func newDerper(t *testing.T, mesh string, isTLS bool) *derper {
	t.Helper()
	d := &derper{Server: derpserver.New(key.NewNode(), t.Logf)}
	if err := d.SetMeshKey(mesh); err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/derp", derpserver.Handler(d.Server))
	d.http, d.plain = httptest.NewUnstartedServer(mux), httptest.NewServer(mux)
	if isTLS {
		k, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		tmpl := &x509.Certificate{
			SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "127.0.0.1"},
			NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
			IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		}
		der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, k.Public(), k)
		if err != nil {
			t.Fatal(err)
		}
		d.http.TLS = &tls.Config{Certificates: []tls.Certificate{{
			Certificate: [][]byte{der, d.MetaCert()}, PrivateKey: k,
		}}}
		sum := sha256.Sum256(der)
		d.pin = "sha256-raw:" + hex.EncodeToString(sum[:]) + "@"
		d.http.StartTLS()
	} else {
		d.http.Start()
	}
	t.Cleanup(func() {
		d.Close()
		for _, s := range []*httptest.Server{d.http, d.plain} {
			s.CloseClientConnections()
			s.Close()
		}
	})
	return d
}

// watch makes the reference relay a mesh client of ours.
func (d *derper) watch(t *testing.T, url string) {
	t.Helper()
	c, err := derphttp.NewClient(d.PrivateKey(), url, t.Logf, netmon.NewStatic())
	if err != nil {
		t.Fatal(err)
	}
	c.MeshKey = d.MeshKey()
	c.WatchConnectionChanges = true
	ctx := t.Context()
	go c.RunWatchConnectionLoop(ctx, d.PublicKey(), nil,
		func(m derp.PeerPresentMessage) { d.AddPacketForwarder(m.Key, c) },
		func(m derp.PeerGoneMessage) { d.RemovePacketForwarder(m.Peer, c) },
		func(error) {})
	t.Cleanup(func() { c.Close() })
}

func plainClient(t *testing.T, url string, priv key.NodePrivate) *derphttp.Client {
	t.Helper()
	c, err := newPlainClient(t, url, priv)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func newPlainClient(t *testing.T, url string, priv key.NodePrivate) (*derphttp.Client, error) {
	t.Helper()
	c, err := derphttp.NewClient(priv, url, t.Logf, netmon.NewStatic())
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { c.Close() })
	return c, c.Connect(ctxFor(t, 5*time.Second))
}

// sendUntil sends the packet again and again until it arrives: routes over the mesh take a moment.
func sendUntil(t *testing.T, from *derphttp.Client, src, dst key.NodePublic, to *derphttp.Client, data []byte) {
	t.Helper()
	done := make(chan struct{})
	defer close(done)
	go func() {
		for {
			if err := from.Send(dst, data); err != nil {
				t.Error(err)
				return
			}
			select {
			case <-done:
				return
			case <-time.After(200 * time.Millisecond):
			}
		}
	}()
	deadline := time.Now().Add(15 * time.Second)
	for time.Now().Before(deadline) {
		m := recv(t, to, 15*time.Second)
		if p, ok := m.(derp.ReceivedPacket); ok && p.Source == src && bytes.Equal(p.Data, data) {
			return
		}
	}
	t.Fatalf("%d bytes did not arrive", len(data))
}

func TestMeshWithReferenceRelay(t *testing.T) {
	for _, c := range []struct {
		name    string
		isTLS   bool
		workers string
	}{{"plain, 1 worker", false, "1"}, {"TLS with pin, 2 workers", true, "2"}} {
		t.Run(c.name, func(t *testing.T) {
			path, mesh := meshKey(t)
			d := newDerper(t, mesh, c.isTLS)
			target := "http://" + d.http.Listener.Addr().String()
			if c.isTLS {
				target = "https://" + d.pin + d.http.Listener.Addr().String()
			}
			s := startServer(t, "--derp-verify-clients=false", "--workers", c.workers,
				"--derp-mesh-key-file", path, "--derp-mesh-with", target)
			d.watch(t, s.url+"/derp")
			eventually(t, 15*time.Second, "both links are up", func() bool {
				return s.metric("fairlead_derp_mesh_links") == 1 && s.metric("derp_watchers") == 1
			})
			ka, kb := key.NewNode(), key.NewNode()
			a, b := plainClient(t, s.url+"/derp", ka), plainClient(t, d.plain.URL+"/derp", kb)
			for _, size := range []int{1, 1280, 60000} {
				data := make([]byte, size)
				rand.Read(data)
				sendUntil(t, a, ka.Public(), kb.Public(), b, data)
				sendUntil(t, b, kb.Public(), ka.Public(), a, data)
			}
			if s.metric("derp_packets_forwarded_in") < 3 || s.metric("derp_packets_forwarded_out") < 3 {
				t.Error("nothing was forwarded")
			}
			// Who has left there is told of here, and the other way round.
			b.Close()
			for {
				if g, ok := recv(t, a, 10*time.Second).(derp.PeerGoneMessage); ok && g.Peer == kb.Public() {
					break
				}
			}
			b = plainClient(t, d.plain.URL+"/derp", kb)
			sendUntil(t, a, ka.Public(), kb.Public(), b, []byte("back again"))
			// It moves to our relay: no detour any more.
			b.Close()
			b = plainClient(t, s.url+"/derp", kb)
			out := s.metric("derp_packets_forwarded_out")
			sendUntil(t, a, ka.Public(), kb.Public(), b, []byte("here now"))
			if s.metric("derp_packets_forwarded_out") != out {
				t.Error("a packet between two clients of one relay was forwarded")
			}
		})
	}
}

func TestMeshOfOurOwn(t *testing.T) {
	t.Parallel()
	path, _ := meshKey(t)
	flags := []string{"--derp-verify-clients=false", "--derp-mesh-key-file", path, "--derp-mesh-with"}
	one, two := newServer(t), newServer(t)
	// Each names both: itself is left out.
	both := fmt.Sprintf("http://127.0.0.1:%d,http://localhost:%d", one.http, two.http)
	one.flags, two.flags = append(flags, both), append(flags, both)
	one.start()
	two.start()
	for _, s := range []*server{one, two} {
		eventually(t, 20*time.Second, "linked", func() bool {
			return s.metric("fairlead_derp_mesh_links") == 1 && s.metric("derp_watchers") == 1
		})
	}
	ka, kb := key.NewNode(), key.NewNode()
	a, b := plainClient(t, one.url+"/derp", ka), plainClient(t, two.url+"/derp", kb)
	sendUntil(t, a, ka.Public(), kb.Public(), b, []byte("there"))
	sendUntil(t, b, kb.Public(), ka.Public(), a, []byte("and back"))
	two.stop()
	eventually(t, 10*time.Second, "the other's clients are gone", func() bool {
		return one.metric("derp_clients_remote") == 0 && one.metric("fairlead_derp_mesh_links") == 0
	})
	two.start()
	eventually(t, 20*time.Second, "linked again", func() bool {
		return one.metric("fairlead_derp_mesh_links") == 1 && two.metric("fairlead_derp_mesh_links") == 1
	})
}

func TestMeshPinIsChecked(t *testing.T) {
	path, mesh := meshKey(t)
	d := newDerper(t, mesh, true)
	wrong := fmt.Sprintf("sha256-raw:%064d@%s", 1, d.http.Listener.Addr())
	unpinned := d.http.Listener.Addr().String()
	s := startServer(t, "--derp-mesh-key-file", path, "--derp-mesh-with", wrong+","+unpinned)
	eventually(t, 10*time.Second, "both are refused", func() bool {
		log := s.log.String()
		return bytes.Count([]byte(log), []byte("no link to a relay of the region")) == 2
	})
	if s.metric("fairlead_derp_mesh_links") != 0 {
		t.Error("a link without the right certificate")
	}
}
