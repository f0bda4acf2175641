// Proves the WebSocket variants of /derp and /ts2021, which browsers use: the official DERP client and the official
// Noise and HTTP/2 code over a WebSocket library that we did not write.
package scenario

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"golang.org/x/net/http2"
	"tailscale.com/control/controlbase"
	"tailscale.com/derp"
	"tailscale.com/net/wsconn"
	"tailscale.com/types/key"
)

func wsDial(ctx context.Context, url, protocol string) (*websocket.Conn, *http.Response, error) {
	return websocket.Dial(ctx, url, &websocket.DialOptions{
		Subprotocols: []string{protocol},
		HTTPClient: &http.Client{Transport: &http.Transport{
			TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
		}},
	})
}

// derpOverWS is the official DERP client on a WebSocket.
func derpOverWS(t *testing.T, url string, priv key.NodePrivate) (*derp.Client, *websocket.Conn, error) {
	t.Helper()
	ctx := ctxFor(t, 5*time.Second)
	c, _, err := wsDial(ctx, url, "derp")
	if err != nil {
		return nil, nil, err
	}
	t.Cleanup(func() { c.CloseNow() })
	if c.Subprotocol() != "derp" {
		return nil, nil, fmt.Errorf("subprotocol %q", c.Subprotocol())
	}
	nc := wsconn.NetConn(context.Background(), c, websocket.MessageBinary, url)
	brw := bufio.NewReadWriter(bufio.NewReader(nc), bufio.NewWriter(nc))
	dc, err := derp.NewClient(priv, nc, brw, t.Logf)
	return dc, c, err
}

// received is what a client is told, until its connection ends.
func received(c *derp.Client) <-chan derp.ReceivedMessage {
	ch := make(chan derp.ReceivedMessage, 64)
	go func() {
		defer close(ch)
		for {
			m, err := c.Recv()
			if err != nil {
				return
			}
			if p, ok := m.(derp.ReceivedPacket); ok { // its bytes are the client's until the next one
				m = derp.ReceivedPacket{Source: p.Source, Data: bytes.Clone(p.Data)}
			}
			ch <- m
		}
	}()
	return ch
}

// next is the next message of its kind; false: none within 3 s, or the connection ended.
func next[T derp.ReceivedMessage](ch <-chan derp.ReceivedMessage) (T, bool) {
	var none T
	late := time.After(3 * time.Second)
	for {
		select {
		case m, ok := <-ch:
			if !ok {
				return none, false
			}
			if p, is := m.(T); is {
				return p, true
			}
		case <-late:
			return none, false
		}
	}
}

// relayThree sends the same packet three times at once, so that frames and messages do not fall together. A relay
// may drop what has waited for long, as it does when the machine has no time for it: then it is tried again.
func relayThree(from *derp.Client, fromKey, to key.NodePublic, ch <-chan derp.ReceivedMessage, data []byte) error {
	for try := 0; ; try++ {
		for range 3 {
			if err := from.Send(to, data); err != nil {
				return err
			}
		}
		n := 0
		for ; n < 3; n++ {
			p, ok := next[derp.ReceivedPacket](ch)
			if !ok {
				break
			}
			if p.Source != fromKey || !bytes.Equal(p.Data, data) {
				return fmt.Errorf("%d bytes: wrong packet", len(data))
			}
		}
		if n == 3 {
			return nil
		}
		if try == 4 {
			return fmt.Errorf("%d bytes: %d of 3 came", len(data), n)
		}
	}
}

func TestDERPOverWebSocket(t *testing.T) {
	s := startServer(t, "--derp-verify-clients=false")
	for _, u := range []string{
		fmt.Sprintf("ws://127.0.0.1:%d/derp", s.http), fmt.Sprintf("wss://127.0.0.1:%d/derp", s.https),
	} {
		t.Run(u[:strings.IndexByte(u, ':')], func(t *testing.T) {
			ka, kb := key.NewNode(), key.NewNode()
			a, _, err := derpOverWS(t, u, ka)
			if err != nil {
				t.Fatal(err)
			}
			b, bws, err := derpOverWS(t, u, kb)
			if err != nil {
				t.Fatal(err)
			}
			toA, toB := received(a), received(b)
			for _, size := range []int{1, 100, 126, 1280, 16384, 65536} {
				data := make([]byte, size)
				rand.Read(data)
				if err := relayThree(a, ka.Public(), kb.Public(), toB, data); err != nil {
					t.Fatal(err)
				}
			}
			if err := relayThree(b, kb.Public(), ka.Public(), toA, []byte("back")); err != nil {
				t.Fatal(err)
			}
			if err := bws.Ping(ctxFor(t, 5*time.Second)); err != nil {
				t.Fatalf("WebSocket ping: %v", err)
			}
			bws.Close(websocket.StatusNormalClosure, "")
			if g, ok := next[derp.PeerGoneMessage](toA); !ok || g.Peer != kb.Public() {
				t.Fatalf("no peer-gone but %+v", g)
			}
		})
	}
}

// dialWS makes the control connection of a light node over a WebSocket.
func (n *lightNode) dialWS(ctx context.Context) error {
	pub, err := serverKey(ctx, n.addr)
	if err != nil {
		return err
	}
	init, cont, err := controlbase.ClientDeferred(n.machine, pub, uint16(n.version))
	if err != nil {
		return err
	}
	query := url.Values{"X-Tailscale-Handshake": {base64.StdEncoding.EncodeToString(init)}}
	c, _, err := wsDial(ctx, "ws://"+n.addr+"/ts2021?"+query.Encode(), "tailscale-control-protocol")
	if err != nil {
		return err
	}
	conn, err := cont(ctx, wsconn.NetConn(context.Background(), c, websocket.MessageBinary, n.addr))
	if err != nil {
		c.CloseNow()
		return err
	}
	// No early payload on this variant: HTTP/2 begins at once.
	h2, err := (&http2.Transport{AllowHTTP: true, DisableCompression: true}).NewClientConn(conn)
	if err != nil {
		conn.Close()
		return err
	}
	n.mu.Lock()
	n.conn, n.h2 = conn, h2
	n.mu.Unlock()
	return nil
}

func TestControlOverWebSocket(t *testing.T) {
	s := startServer(t, "--node-offline-grace-s", "1")
	n := newLightNode(s, "browser")
	defer n.close()
	ctx := ctxFor(t, 10*time.Second)
	if err := n.dialWS(ctx); err != nil {
		t.Fatal(err)
	}
	if err := n.join(ctx, s.newKey().Key); err != nil {
		t.Fatal(err)
	}
	eventually(t, 5*time.Second, "the node is online", func() bool {
		i := s.nodeNamed("browser")
		return i != nil && i.Online
	})
	n.close()
	eventually(t, 15*time.Second, "the node is offline", func() bool { return !s.nodeNamed("browser").Online })
}

func TestWebSocketRefusals(t *testing.T) {
	s := startServer(t)
	const ws = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" +
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
	for _, c := range []struct{ request, want string }{
		{"GET /derp HTTP/1.1\r\nHost: h\r\n" + ws + "Sec-WebSocket-Protocol: chat, derp\r\n\r\n",
			"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
				"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: derp\r\n"},
		{"GET /derp HTTP/1.1\r\nHost: h\r\n" + ws + "\r\n", // another subprotocol, or none, is plain DERP
			"HTTP/1.1 101 Switching Protocols\r\nUpgrade: DERP\r\n"},
		{"GET /derp HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 426 "},
		{"GET /derp HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
			"Sec-WebSocket-Version: 8\r\nSec-WebSocket-Protocol: derp\r\n\r\n", "HTTP/1.1 400 "},
		{"GET /derp HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
			"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: derp\r\n\r\n", "HTTP/1.1 400 "},
		{"GET /ts2021 HTTP/1.1\r\nHost: h\r\n" + ws + "Sec-WebSocket-Protocol: tailscale-control-protocol\r\n\r\n",
			"HTTP/1.1 400 "},
		{"GET /ts2021 HTTP/1.1\r\nHost: h\r\n" + ws + "Sec-WebSocket-Protocol: derp\r\n\r\n", "HTTP/1.1 426 "},
	} {
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", s.http))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(conn, c.request)
		conn.SetReadDeadline(time.Now().Add(5 * time.Second))
		got := make([]byte, 4096)
		n, _ := conn.Read(got)
		if !strings.HasPrefix(string(got[:n]), c.want) {
			t.Errorf("%q answered %q", c.request, got[:n])
		}
		conn.Close()
	}
}
