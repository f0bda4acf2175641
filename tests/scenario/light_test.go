// A light client: Noise and HTTP/2 of the Tailscale module, but no engine, so that hundreds fit into a test.
package scenario

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/net/http2"
	"tailscale.com/control/controlbase"
	"tailscale.com/tailcfg"
	"tailscale.com/types/key"
)

const lightVersion = tailcfg.CapabilityVersion(113) // the oldest that the server accepts

type lightNode struct {
	addr     string            // host:port of the plain listener
	server   key.MachinePublic // zero: asked for
	secure   string            // host:port of the listener with TLS, to be used for the control connection; "": addr
	version  tailcfg.CapabilityVersion
	hostname string
	machine  key.MachinePrivate
	node     key.NodePrivate
	disco    key.DiscoPrivate
	hostinfo *tailcfg.Hostinfo

	gate sync.RWMutex // locked: nothing is read from the socket

	mu     sync.Mutex
	conn   *controlbase.Conn
	h2     *http2.ClientConn
	self   *tailcfg.Node
	peers  map[tailcfg.NodeID]*tailcfg.Node
	derp   *tailcfg.DERPMap
	maps   int // messages of the stream, keep-alives not counted
	alive  int // keep-alives
	bytes  int
	closed error

	onMap func(*tailcfg.MapResponse) // each message, in its order; may be nil
	onEnd func(error)                // of the stream; may be nil
}

func newLightNode(s *server, hostname string) *lightNode {
	return &lightNode{
		addr: fmt.Sprintf("127.0.0.1:%d", s.http), version: lightVersion, hostname: hostname,
		machine: key.NewMachine(), node: key.NewNode(), disco: key.NewDisco(),
		hostinfo: &tailcfg.Hostinfo{Hostname: hostname, OS: "linux", IPNVersion: "1.80.0"},
		peers:    map[tailcfg.NodeID]*tailcfg.Node{},
	}
}

func serverKey(ctx context.Context, addr string) (key.MachinePublic, error) {
	var k tailcfg.OverTLSPublicKeyResponse
	req, err := http.NewRequestWithContext(ctx, "GET", "http://"+addr+"/key?v=113", nil)
	if err != nil {
		return k.PublicKey, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return k.PublicKey, err
	}
	defer res.Body.Close()
	return k.PublicKey, json.NewDecoder(res.Body).Decode(&k)
}

// earlyConn drops the early payload in front of HTTP/2.
type earlyConn struct {
	net.Conn
	r    *bufio.Reader
	once sync.Once
	err  error
}

func (c *earlyConn) Read(p []byte) (int, error) {
	c.once.Do(func() {
		head, err := c.r.Peek(9)
		if err != nil {
			c.err = err
			return
		}
		if bytes.HasPrefix(head, []byte("\xff\xff\xffTS")) {
			n := int(binary.BigEndian.Uint32(head[5:]))
			_, c.err = c.r.Discard(9 + n)
		}
	})
	if c.err != nil {
		return 0, c.err
	}
	return c.r.Read(p)
}

// connect makes what the control connection lies in; which certificate the server has is not looked at.
func (n *lightNode) connect(ctx context.Context) (net.Conn, error) {
	if n.secure == "" {
		var d net.Dialer
		return d.DialContext(ctx, "tcp", n.addr)
	}
	d := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}}
	return d.DialContext(ctx, "tcp", n.secure)
}

// dial makes the control connection.
func (n *lightNode) dial(ctx context.Context) error {
	pub := n.server
	if pub.IsZero() {
		var err error
		if pub, err = serverKey(ctx, n.addr); err != nil {
			return err
		}
	}
	init, cont, err := controlbase.ClientDeferred(n.machine, pub, uint16(n.version))
	if err != nil {
		return err
	}
	tcp, err := n.connect(ctx)
	if err != nil {
		return err
	}
	if dl, ok := ctx.Deadline(); ok {
		_ = tcp.SetDeadline(dl)
	}
	fmt.Fprintf(tcp, "POST /ts2021 HTTP/1.1\r\nHost: %s\r\nContent-Length: 0\r\nConnection: upgrade\r\n"+
		"Upgrade: tailscale-control-protocol\r\nX-Tailscale-Handshake: %s\r\n\r\n",
		n.addr, base64.StdEncoding.EncodeToString(init))
	br := bufio.NewReader(tcp)
	res, err := http.ReadResponse(br, nil)
	if err != nil {
		tcp.Close()
		return err
	}
	if res.StatusCode != 101 {
		body, _ := io.ReadAll(res.Body)
		tcp.Close()
		return fmt.Errorf("upgrade answered %s: %s", res.Status, body)
	}
	conn, err := cont(ctx, gatedConn{bufConn{tcp, br}, &n.gate})
	if err != nil {
		tcp.Close()
		return err
	}
	_ = tcp.SetDeadline(time.Time{})
	tr := &http2.Transport{AllowHTTP: true, DisableCompression: true}
	h2, err := tr.NewClientConn(&earlyConn{Conn: conn, r: bufio.NewReader(conn)})
	if err != nil {
		conn.Close()
		return err
	}
	n.mu.Lock()
	n.conn, n.h2 = conn, h2
	n.mu.Unlock()
	return nil
}

type bufConn struct {
	net.Conn
	r *bufio.Reader
}

func (c bufConn) Read(p []byte) (int, error) { return c.r.Read(p) }

type gatedConn struct {
	bufConn
	gate *sync.RWMutex
}

func (c gatedConn) Read(p []byte) (int, error) {
	c.gate.RLock()
	c.gate.RUnlock() // it was only waited for
	return c.bufConn.Read(p)
}

func (n *lightNode) close() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.conn != nil {
		n.conn.Close()
		n.conn = nil
	}
}

func (n *lightNode) post(ctx context.Context, path string, body any) (*http.Response, error) {
	b, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, "POST", "https://"+n.addr+path, bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	return n.h2.RoundTrip(req)
}

// registerWith sends a register request as it is and returns the answer.
func (n *lightNode) registerWith(ctx context.Context, req tailcfg.RegisterRequest) (*tailcfg.RegisterResponse, error) {
	if n.h2 == nil {
		if err := n.dial(ctx); err != nil {
			return nil, err
		}
	}
	res, err := n.post(ctx, "/machine/register", req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, err
	}
	if res.StatusCode != 200 {
		return nil, fmt.Errorf("register: %s: %s", res.Status, b)
	}
	var out tailcfg.RegisterResponse
	return &out, json.Unmarshal(b, &out)
}

// register joins with an auth key ("" for a restart refresh).
func (n *lightNode) register(ctx context.Context, authKey string) error {
	req := tailcfg.RegisterRequest{Version: 1, NodeKey: n.node.Public(), Hostinfo: n.hostinfo}
	if authKey != "" {
		req.Auth = &tailcfg.RegisterResponseAuth{AuthKey: authKey}
	}
	res, err := n.registerWith(ctx, req)
	switch {
	case err != nil:
		return err
	case res.Error != "":
		return errors.New(res.Error)
	case res.AuthURL != "" || res.NodeKeyExpired || !res.MachineAuthorized:
		return fmt.Errorf("not joined: %+v", res)
	}
	return nil
}

// rotate registers with a new node key in place of the one that it has.
func (n *lightNode) rotate(t *testing.T, authKey string) {
	t.Helper()
	old := n.node.Public()
	n.node = key.NewNode()
	res, err := n.registerWith(ctxFor(t, 10*time.Second), tailcfg.RegisterRequest{
		NodeKey: n.node.Public(), OldNodeKey: old, Hostinfo: n.hostinfo,
		Auth: &tailcfg.RegisterResponseAuth{AuthKey: authKey},
	})
	if err != nil || res.Error != "" {
		t.Fatalf("rotation: %v %+v", err, res)
	}
}

func (n *lightNode) mapRequest() *tailcfg.MapRequest {
	return &tailcfg.MapRequest{
		Version: n.version, Compress: "zstd", KeepAlive: true, NodeKey: n.node.Public(),
		DiscoKey: n.disco.Public(), Hostinfo: n.hostinfo,
	}
}

// update sends a lite map request.
func (n *lightNode) update(ctx context.Context, change func(*tailcfg.MapRequest)) error {
	req := n.mapRequest()
	req.OmitPeers = true
	change(req)
	res, err := n.post(ctx, "/machine/map", req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	b, _ := io.ReadAll(res.Body)
	if res.StatusCode != 200 || len(b) != 0 {
		return fmt.Errorf("lite map request: %s: %q", res.Status, b)
	}
	return nil
}

// poll opens the long poll, which outlives ctx: that bounds the wait for its first message.
func (n *lightNode) poll(ctx context.Context) (*http.Response, error) {
	req := n.mapRequest()
	req.Stream = true
	res, err := n.post(context.WithoutCancel(ctx), "/machine/map", req)
	if err == nil && res.StatusCode != 200 {
		b, _ := io.ReadAll(res.Body)
		res.Body.Close()
		return nil, fmt.Errorf("map: %s: %s", res.Status, b)
	}
	return res, err
}

// stream opens the long poll and follows it until the connection ends; it returns after the first message.
func (n *lightNode) stream(ctx context.Context) error {
	res, err := n.poll(ctx)
	if err != nil {
		return err
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true))
	if err != nil {
		return err
	}
	first := make(chan error, 1)
	go func() {
		defer res.Body.Close()
		err := n.follow(res.Body, dec, first)
		n.mu.Lock()
		n.closed = err
		n.mu.Unlock()
		if n.onEnd != nil {
			n.onEnd(err)
		}
		select {
		case first <- err:
		default:
		}
	}()
	select {
	case err := <-first:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (n *lightNode) follow(r io.Reader, dec *zstd.Decoder, first chan<- error) error {
	isFirst := true
	for {
		var head [4]byte
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return err
		}
		packed := make([]byte, binary.LittleEndian.Uint32(head[:]))
		if _, err := io.ReadFull(r, packed); err != nil {
			return err
		}
		text, err := dec.DecodeAll(packed, nil)
		if err != nil {
			return fmt.Errorf("zstd: %w", err)
		}
		var m tailcfg.MapResponse
		if err := json.Unmarshal(text, &m); err != nil {
			return fmt.Errorf("%w in %s", err, text)
		}
		if isFirst && m.Node == nil {
			return errors.New("first message without Node")
		}
		n.mu.Lock()
		n.bytes += len(packed) + 4
		if m.KeepAlive {
			n.alive++
		} else {
			n.maps++
		}
		err = n.apply(&m)
		n.mu.Unlock()
		if n.onMap != nil {
			n.onMap(&m)
		}
		if err != nil {
			return err
		}
		if isFirst {
			isFirst = false
			first <- nil
		}
	}
}

// apply does what a client does with a message; n.mu is held.
func (n *lightNode) apply(m *tailcfg.MapResponse) error {
	if m.Node != nil {
		n.self = m.Node
	}
	if m.DERPMap != nil {
		n.derp = m.DERPMap
	}
	if len(m.Peers) > 0 {
		n.peers = map[tailcfg.NodeID]*tailcfg.Node{}
	}
	for _, p := range append(append([]*tailcfg.Node{}, m.Peers...), m.PeersChanged...) {
		if n.self != nil && p.ID == n.self.ID {
			return errors.New("the node itself is among its peers")
		}
		n.peers[p.ID] = p
	}
	for _, id := range m.PeersRemoved {
		delete(n.peers, id)
	}
	for _, c := range m.PeersChangedPatch {
		p := n.peers[c.NodeID]
		if p == nil {
			continue
		}
		q := *p
		if c.Endpoints != nil {
			q.Endpoints = c.Endpoints
		}
		if c.DERPRegion != 0 {
			q.HomeDERP = c.DERPRegion
		}
		if c.Online != nil {
			q.Online = c.Online
		}
		if c.LastSeen != nil {
			q.LastSeen = c.LastSeen
		}
		if c.Key != nil {
			q.Key = *c.Key
		}
		if c.DiscoKey != nil {
			q.DiscoKey = *c.DiscoKey
		}
		if c.KeyExpiry != nil {
			q.KeyExpiry = *c.KeyExpiry
		}
		n.peers[c.NodeID] = &q
	}
	return nil
}

// join dials, registers and opens the stream.
func (n *lightNode) join(ctx context.Context, authKey string) error {
	if err := n.dial(ctx); err != nil {
		return err
	}
	if err := n.register(ctx, authKey); err != nil {
		return err
	}
	return n.stream(ctx)
}

// view runs fn with the peers locked.
func (n *lightNode) view(fn func(self *tailcfg.Node, peers map[tailcfg.NodeID]*tailcfg.Node)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	fn(n.self, n.peers)
}

func (n *lightNode) peerNamed(name string) *tailcfg.Node {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, p := range n.peers {
		if strings.HasPrefix(p.Name, name+".") {
			return p
		}
	}
	return nil
}

func (n *lightNode) selfNode() *tailcfg.Node {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.self
}

func (n *lightNode) ended() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.closed
}

// addresses of self and all peers, sorted.
func (n *lightNode) addresses() []netip.Prefix {
	n.mu.Lock()
	defer n.mu.Unlock()
	var a []netip.Prefix
	if n.self != nil {
		a = append(a, n.self.Addresses...)
	}
	for _, p := range n.peers {
		a = append(a, p.Addresses...)
	}
	sort.Slice(a, func(i, j int) bool { return a[i].String() < a[j].String() })
	return a
}

// parallel runs fn for 0..n-1, at most width at once, and returns the first error.
func parallel(n, width int, fn func(i int) error) error {
	sem := make(chan struct{}, width)
	var wg sync.WaitGroup
	var mu sync.Mutex
	var first error
	for i := range n {
		wg.Add(1)
		sem <- struct{}{}
		go func() {
			defer func() { <-sem; wg.Done() }()
			if err := fn(i); err != nil {
				mu.Lock()
				if first == nil {
					first = fmt.Errorf("%d: %w", i, err)
				}
				mu.Unlock()
			}
		}()
	}
	wg.Wait()
	return first
}
