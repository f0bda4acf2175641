// Attacks on the relay: the greeting, frames, floods, clients that read nothing.
package scenario

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"go4.org/mem"
	"tailscale.com/derp"
	"tailscale.com/types/key"
)

var relayAttacks = []attack{
	{name: "broken greetings", fn: attackGreetings, logBytes: 16 << 10},
	{name: "broken frames", fn: attackFrames},
	{name: "frames of a mesh", fn: attackMesh},
	{name: "endless unknown frame", fn: attackEndlessFrame},
	{name: "packets of 64 KiB", fn: attackBigPackets},
	{name: "packets to nobody", fn: attackNobody},
	{name: "pings never read", fn: attackUnreadPings},
	{name: "packets never read", fn: attackUnreadPackets},
	{name: "one key, many connections", fn: attackDuplicates},
	{name: "300 silent clients", fn: attackSilent},
	{name: "flood of ten pairs", fn: attackFlood},
	{name: "resets under traffic", fn: attackResets},
	{name: "keys of others", fn: attackForeignKeys, logBytes: 16 << 10},
	{name: "a WebSocket's nonsense", fn: attackWebSocket},
}

const (
	derpClientInfo    = 0x02
	derpSendPacket    = 0x04
	derpNotePreferred = 0x07
	derpForwardPacket = 0x0a
	derpWatchConns    = 0x10
	derpClosePeer     = 0x11
	derpPing          = 0x12
)

func derpFrame(kind byte, payload []byte) []byte {
	b := append([]byte{kind}, binary.BigEndian.AppendUint32(nil, uint32(len(payload)))...)
	return append(b, payload...)
}

// derpGreeting reads ServerKey.
func derpGreeting(c net.Conn, br *bufio.Reader) (k key.NodePublic, err error) {
	_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
	b := make([]byte, 5+8+32)
	if _, err = io.ReadFull(br, b); err != nil {
		return k, err
	}
	_ = c.SetReadDeadline(time.Time{})
	return key.NodePublicFromRaw32(mem.B(b[13:])), nil
}

func clientInfo(priv key.NodePrivate, named key.NodePublic, server key.NodePublic, json string) []byte {
	return derpFrame(derpClientInfo, append(named.AppendTo(nil), priv.SealTo(server, []byte(json))...))
}

// rawRelay is a connection behind the upgrade and ServerKey.
func (a *attacker) rawRelay(from string) (net.Conn, *bufio.Reader, key.NodePublic) {
	c, br, err := upgradeDERP(a.s, from)
	if err != nil {
		a.t.Fatal(err)
	}
	k, err := derpGreeting(c, br)
	if err != nil {
		a.t.Fatal(err)
	}
	return c, br, k
}

const goodInfo = `{"version":2,"CanAckPings":true}`

// member is a relay client of a node of ours, greeted.
func (a *attacker) member(from string, n *lightNode) net.Conn {
	c, br, k := a.rawRelay(from)
	_, _ = c.Write(clientInfo(n.node, n.node.Public(), k, goodInfo))
	head := make([]byte, 5)
	_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
	if _, err := io.ReadFull(br, head); err != nil || head[0] != 3 {
		a.t.Fatalf("no ServerInfo: %v %v", head, err)
	}
	_, _ = io.CopyN(io.Discard, br, int64(binary.BigEndian.Uint32(head[1:])))
	_ = c.SetReadDeadline(time.Time{})
	return bufConn{c, br}
}

var guests struct {
	sync.Mutex
	nodes []*lightNode
}

// guest is a registered node of the attacker, without a stream; made once.
func (a *attacker) guest(i int) *lightNode {
	guests.Lock()
	defer guests.Unlock()
	for len(guests.nodes) <= i {
		n, err := lightFrom(a.s, loopback(len(guests.nodes)))
		if err != nil {
			a.t.Fatal(err)
		}
		if err := n.register(ctxFor(a.t, 10*time.Second), a.authKey); err != nil {
			a.t.Fatal(err)
		}
		n.close()
		guests.nodes = append(guests.nodes, n)
	}
	return guests.nodes[i]
}

func attackGreetings(a *attacker) {
	me := a.guest(0)
	_, _, server := a.rawRelay("127.0.1.1")
	good := clientInfo(me.node, me.node.Public(), server, goodInfo)
	stranger := key.NewNode()
	wrongTag := bytes.Clone(good)
	wrongTag[len(wrongTag)-1] ^= 1
	for what, b := range map[string][]byte{
		"garbage":               bytes.Repeat([]byte{0xee}, 500),
		"a wrong box":           wrongTag,
		"a zero key":            clientInfo(me.node, key.NodePublic{}, server, goodInfo),
		"the key of another":    clientInfo(stranger, me.node.Public(), server, goodInfo),
		"a stranger's key":      clientInfo(stranger, stranger.Public(), server, goodInfo),
		"a box for somebody":    clientInfo(me.node, me.node.Public(), stranger.Public(), goodInfo),
		"a frame too early":     derpFrame(derpSendPacket, make([]byte, 100)),
		"a ping too early":      derpFrame(derpPing, make([]byte, 8)),
		"a short ClientInfo":    derpFrame(derpClientInfo, make([]byte, 40)),
		"an oversized one":      append([]byte{derpClientInfo, 0, 4, 0, 1}, make([]byte, 300000)...),
		"an endless one":        {derpClientInfo, 0xff, 0xff, 0xff, 0xff},
		"no JSON":               clientInfo(me.node, me.node.Public(), server, "xyz"),
		"deep JSON":             clientInfo(me.node, me.node.Public(), server, string(bytes.Repeat([]byte("["), 2000))),
		"a wrong mesh key":      clientInfo(me.node, me.node.Public(), server, `{"meshKey":"abc"}`),
		"numbers for booleans":  clientInfo(me.node, me.node.Public(), server, `{"CanAckPings":7}`),
		"an HTTP request":       []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
		"a record of TLS":       clientHello(),
		"ClientInfo's own head": good[:5+32],
	} {
		c, _, _ := a.rawRelay("127.0.1.1")
		_, _ = c.Write(b)
		if what == "ClientInfo's own head" {
			_ = c.(*net.TCPConn).CloseWrite()
		}
		a.wantClosed(what, c, 3*time.Second)
		c.Close()
	}
	// Without the upgrade there is no relay.
	a.sayClosed("frames at once", a.s.plain(), "127.0.1.1", good, 3*time.Second)
}

func attackFrames(a *attacker) {
	for what, b := range map[string][]byte{
		"an oversized packet":      append([]byte{derpSendPacket, 0, 1, 0, 33}, make([]byte, 70000)...),
		"a packet's length of 4 G": {derpSendPacket, 0xff, 0xff, 0xff, 0xff},
		"a packet without a key":   derpFrame(derpSendPacket, make([]byte, 31)),
		"a short ping":             derpFrame(derpPing, make([]byte, 7)),
		"a long ping":              derpFrame(derpPing, make([]byte, 5000)),
		"an empty preference":      derpFrame(derpNotePreferred, nil),
		"a long preference":        derpFrame(derpNotePreferred, make([]byte, 2)),
		"a second greeting": func() []byte {
			n := a.guest(0)
			return clientInfo(n.node, n.node.Public(), key.NewNode().Public(), goodInfo)
		}(),
	} {
		c := a.member("127.0.1.1", a.guest(0))
		_, _ = c.Write(b)
		if what != "a second greeting" { // which may be skipped as an unknown frame
			a.wantClosed(what, c, 3*time.Second)
		}
		c.Close()
	}
}

func attackMesh(a *attacker) {
	victim := a.w.nodes[1].node.Public()
	for what, b := range map[string][]byte{
		"WatchConns":    derpFrame(derpWatchConns, nil),
		"ClosePeer":     derpFrame(derpClosePeer, victim.AppendTo(nil)),
		"ForwardPacket": derpFrame(derpForwardPacket, append(a.w.nodes[2].node.Public().AppendTo(nil), victim.AppendTo(make([]byte, 0, 100))...)),
	} {
		c := a.member("127.0.1.1", a.guest(1))
		_, _ = c.Write(b)
		if got := a.wantClosed(what, c, 3*time.Second); len(got) != 0 {
			a.t.Errorf("%s is answered by %d bytes", what, len(got))
		}
		c.Close()
	}
}

// A frame of an unknown type that says it has 4 GiB: skipped as it comes, nothing is kept.
func attackEndlessFrame(a *attacker) {
	before := a.s.rssMB()
	c := a.member("127.0.1.1", a.guest(0))
	defer c.Close()
	_, _ = c.Write([]byte{0xee, 0xff, 0xff, 0xff, 0xff})
	block := make([]byte, 256<<10)
	_ = c.SetWriteDeadline(time.Now().Add(time.Second))
	for range 400 {
		if _, err := c.Write(block); err != nil {
			break
		}
		time.Sleep(time.Millisecond)
	}
	if got := a.s.rssMB(); got > before+13 && !isSanitized() {
		a.t.Errorf("%d MB before, %d MB after", before, got)
	}
}

// The longest packet there is arrives whole.
func attackBigPackets(a *attacker) {
	from, to := a.member("127.0.1.1", a.guest(0)), a.member("127.0.1.2", a.guest(1))
	defer from.Close()
	defer to.Close()
	data := make([]byte, 64<<10)
	rand.Read(data)
	_, _ = from.Write(derpFrame(derpSendPacket, append(a.guest(1).node.Public().AppendTo(nil), data...)))
	got := make([]byte, 5+32+len(data))
	_ = to.SetReadDeadline(time.Now().Add(5 * time.Second))
	if _, err := io.ReadFull(to, got); err != nil || !bytes.Equal(got[37:], data) {
		a.t.Errorf("a packet of 65,536 bytes does not arrive: %v", err)
	}
}

// A million packets to keys that nobody has; those that look like disco may be answered, seldom.
func attackNobody(a *attacker) {
	c := a.member("127.0.1.1", a.guest(0))
	defer c.Close()
	var answers atomic.Int64
	go func() {
		b := make([]byte, 5+33)
		for {
			if _, err := io.ReadFull(c, b); err != nil {
				return
			}
			answers.Add(1)
		}
	}()
	disco := append([]byte("TS\xf0\x9f\x92\xac"), make([]byte, 60)...)
	var batch []byte
	for range 200 {
		batch = append(batch, derpFrame(derpSendPacket, append(key.NewNode().Public().AppendTo(nil), disco...))...)
	}
	end := time.Now().Add(1500 * time.Millisecond)
	_ = c.SetWriteDeadline(end.Add(time.Second))
	n := 0
	for ; time.Now().Before(end); n += 200 {
		if _, err := c.Write(batch); err != nil {
			a.t.Errorf("closed after %d packets to nobody: %v", n, err)
			return
		}
	}
	time.Sleep(100 * time.Millisecond)
	if got := answers.Load(); got > 10 {
		a.t.Errorf("%d packets to nobody got %d answers", n, got)
	}
}

func attackUnreadPings(a *attacker) {
	before := a.s.rssMB()
	var batch []byte
	for range 1000 {
		batch = append(batch, derpFrame(derpPing, make([]byte, 8))...)
	}
	_ = parallel(4, 4, func(i int) error {
		c := a.member(loopback(i), a.guest(i))
		defer c.Close()
		end := time.Now().Add(1500 * time.Millisecond)
		_ = c.SetWriteDeadline(end.Add(3 * time.Second))
		for k := 0; time.Now().Before(end); k++ {
			if _, err := c.Write(batch); err != nil {
				a.t.Errorf("closed after %d pings: %v", 1000*k, err)
				return nil
			}
		}
		return nil
	})
	if got := a.s.rssMB(); got > before+13 && !isSanitized() {
		a.t.Errorf("%d MB before, %d MB after", before, got)
	}
}

// Receivers that stand still; their senders and all others go on.
func attackUnreadPackets(a *attacker) {
	before := a.s.rssMB()
	_ = parallel(4, 4, func(i int) error {
		still, from := a.member(loopback(2*i), a.guest(2*i)), a.member(loopback(2*i+1), a.guest(2*i+1))
		defer still.Close()
		defer from.Close()
		frame := derpFrame(derpSendPacket, append(a.guest(2*i).node.Public().AppendTo(nil), make([]byte, 1400)...))
		batch := bytes.Repeat(frame, 20)
		_ = from.SetWriteDeadline(time.Now().Add(3 * time.Second))
		for range 700 {
			if _, err := from.Write(batch); err != nil {
				a.t.Errorf("the sender to a still receiver stands still too: %v", err)
				return nil
			}
			time.Sleep(time.Millisecond)
		}
		return nil
	})
	if got := a.s.rssMB(); got > before+13 && !isSanitized() {
		a.t.Errorf("%d MB before, %d MB after", before, got)
	}
}

// The newest connection of a key gets its packets; when it leaves the one before gets them.
func attackDuplicates(a *attacker) {
	n, sender := a.guest(2), a.member("127.0.1.9", a.guest(3))
	defer sender.Close()
	var conns []net.Conn
	for i := range 50 {
		conns = append(conns, a.member(loopback(i), n))
	}
	frame := derpFrame(derpSendPacket, append(n.node.Public().AppendTo(nil), []byte("hello")...))
	for i := len(conns) - 1; i >= len(conns)-3; i-- {
		_, _ = sender.Write(frame)
		b := make([]byte, 5+32+5)
		_ = conns[i].SetReadDeadline(time.Now().Add(3 * time.Second))
		if _, err := io.ReadFull(conns[i], b); err != nil || string(b[37:]) != "hello" {
			a.t.Errorf("connection %d of one key did not get the packet: %v", i, err)
		}
		conns[i].Close()
		time.Sleep(50 * time.Millisecond)
	}
	for _, c := range conns {
		c.Close()
	}
}

// Clients that say nothing behind the upgrade; and one that does is served.
func attackSilent(a *attacker) {
	conns := make([]net.Conn, 300)
	err := parallel(len(conns), 20, func(i int) (err error) {
		conns[i], _, err = upgradeDERP(a.s, loopback(i%3))
		return err
	})
	if err != nil {
		a.t.Fatal(err)
	}
	begin := time.Now()
	a.member("127.0.1.7", a.guest(0)).Close()
	if took := time.Since(begin); took > 500*time.Millisecond && !isSanitized() {
		a.t.Errorf("with 300 silent clients a greeting takes %v", took)
	}
	// One of them is watched to its end, while the other attacks go on.
	a.late("a silent client is closed", func() error {
		_ = conns[0].SetReadDeadline(begin.Add(13 * time.Second))
		defer conns[0].Close()
		if _, err := io.Copy(io.Discard, conns[0]); err != nil {
			return fmt.Errorf("after %v: %w", time.Since(begin), err)
		}
		if took := time.Since(begin); took < 5*time.Second {
			return fmt.Errorf("after %v already", took)
		}
		return nil
	})
	for _, c := range conns[1:] {
		c.Close()
	}
}

func attackFlood(a *attacker) {
	end := time.Now().Add(2 * time.Second)
	_ = parallel(10, 10, func(i int) error {
		from, to := a.member(loopback(2*i), a.guest(2*i)), a.member(loopback(2*i+1), a.guest(2*i+1))
		defer from.Close()
		defer to.Close()
		go func() { _, _ = io.Copy(io.Discard, to) }()
		frame := derpFrame(derpSendPacket, append(a.guest(2*i+1).node.Public().AppendTo(nil), make([]byte, 1280)...))
		batch := bytes.Repeat(frame, 10)
		_ = from.SetWriteDeadline(end.Add(time.Second))
		for time.Now().Before(end) {
			if _, err := from.Write(batch); err != nil {
				a.t.Errorf("a flooding client was closed: %v", err)
				return nil
			}
			time.Sleep(time.Millisecond) // 100 Mbit/s each: the rest of this process has to run, too
		}
		return nil
	})
	// Afterwards everything is as before: a fresh pair is served.
	from, to := a.member("127.0.1.1", a.guest(0)), a.member("127.0.1.2", a.guest(1))
	defer from.Close()
	defer to.Close()
	_, _ = from.Write(derpFrame(derpSendPacket, append(a.guest(1).node.Public().AppendTo(nil), []byte("after")...)))
	// What is left of the flood goes to whoever has the key now.
	_ = to.SetReadDeadline(time.Now().Add(5 * time.Second))
	for last := ""; last != "after"; {
		head := make([]byte, 5)
		if _, err := io.ReadFull(to, head); err != nil {
			a.t.Errorf("after a flood nothing is relayed: %v", err)
			return
		}
		payload := make([]byte, binary.BigEndian.Uint32(head[1:]))
		if _, err := io.ReadFull(to, payload); err != nil {
			a.t.Errorf("after a flood nothing is relayed: %v", err)
			return
		}
		last = string(payload[min(32, len(payload)):])
	}
}

func attackResets(a *attacker) {
	a.timed(6, 1500*time.Millisecond, func(i int, from string) bool {
		n := a.guest(i)
		c, br, err := upgradeDERP(a.s, from)
		if err != nil {
			return true
		}
		defer c.Close()
		k, err := derpGreeting(c, br)
		if err != nil {
			return true
		}
		_, _ = c.Write(clientInfo(n.node, n.node.Public(), k, goodInfo))
		frame := derpFrame(derpSendPacket, append(a.guest((i+1)%6).node.Public().AppendTo(nil), make([]byte, 1000)...))
		_, _ = c.Write(bytes.Repeat(frame, 200))
		_, _ = c.Write(frame[:500])
		_ = c.(*net.TCPConn).SetLinger(0)
		time.Sleep(2 * time.Millisecond)
		return true
	})
}

// Node keys of others, and the key of a node that was deleted.
func attackForeignKeys(a *attacker) {
	gone := newLightNode(a.s, "gone")
	if err := gone.join(ctxFor(a.t, 5*time.Second), a.authKey); err != nil {
		a.t.Fatal(err)
	}
	c := a.member("127.0.1.1", gone)
	a.s.cli("nodes", "delete", "gone")
	gone.close()
	a.wantClosed("the relay connection of a deleted node", c, 3*time.Second)
	c.Close()
	a.timed(4, time.Second, func(i int, from string) bool {
		priv := key.NewNode()
		if i == 0 {
			priv = gone.node
		}
		dc, conn, err := relayPlain(a.s, from, priv)
		if err != nil {
			return true
		}
		defer conn.Close()
		_ = conn.SetReadDeadline(time.Now().Add(3 * time.Second))
		if m, err := dc.Recv(); err == nil {
			if _, ok := m.(derp.ServerInfoMessage); ok {
				a.t.Errorf("somebody unknown is admitted (%d)", i)
				return false
			}
		}
		return true
	})
}

func attackWebSocket(a *attacker) {
	const head = "GET /derp HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" +
		"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: derp\r\n\r\n"
	for what, b := range map[string][]byte{
		"no mask":             {0x82, 5, 1, 2, 3, 4, 5},
		"a reserved bit":      {0xf2, 0x85, 0, 0, 0, 0, 1, 2, 3, 4, 5},
		"a reserved opcode":   {0x83, 0x80, 0, 0, 0, 0},
		"text":                {0x81, 0x81, 0, 0, 0, 0, 'x'},
		"a long ping":         append([]byte{0x89, 0xfe, 1, 0, 0, 0, 0, 0}, make([]byte, 256)...),
		"a continuation":      {0x80, 0x80, 0, 0, 0, 0},
		"a negative length":   {0x82, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0},
		"a length too long":   {0x82, 0xfe, 0, 5, 0, 0, 0, 0, 1, 2, 3, 4, 5},
		"no greeting in it":   {0x82, 0x85, 0, 0, 0, 0, 4, 0, 0, 0, 0},
		"a close":             {0x88, 0x80, 0, 0, 0, 0},
		"frames of no data":   bytes.Repeat([]byte{0x89, 0x80, 0, 0, 0, 0}, 100000),
		"an endless fragment": append([]byte{0x02, 0xff, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0}, make([]byte, 1<<20)...),
	} {
		a.sayClosed("WebSocket: "+what, a.s.plain(), "127.0.1.1", append([]byte(head), b...), 4*time.Second)
	}
}
