// Attacks below the requests of the control protocol: Noise, and HTTP/2 inside it.
package scenario

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"tailscale.com/control/controlbase"
	"tailscale.com/types/key"
)

// noiseConn is a control connection without HTTP/2; tamper may change the initiation.
func noiseConn(s *server, from string, m key.MachinePrivate, tamper func([]byte) []byte) (*controlbase.Conn, net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	pub, err := knownKey(s)
	if err != nil {
		return nil, nil, err
	}
	init, cont, err := controlbase.ClientDeferred(m, pub, uint16(lightVersion))
	if err != nil {
		return nil, nil, err
	}
	if tamper != nil {
		init = tamper(init)
	}
	tcp, err := dialFrom(from, s.plain())
	if err != nil {
		return nil, nil, err
	}
	_ = tcp.SetDeadline(time.Now().Add(10 * time.Second))
	fmt.Fprintf(tcp, "POST /ts2021 HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: tailscale-control-protocol\r\n"+
		"X-Tailscale-Handshake: %s\r\n\r\n", base64.StdEncoding.EncodeToString(init))
	br := bufio.NewReader(tcp)
	res, err := http.ReadResponse(br, nil)
	if err == nil && res.StatusCode != 101 {
		err = fmt.Errorf("refused: %s", res.Status)
	}
	if err != nil {
		tcp.Close()
		return nil, nil, err
	}
	conn, err := cont(ctx, bufConn{tcp, br})
	if err != nil {
		tcp.Close()
		return nil, nil, err
	}
	_ = tcp.SetDeadline(time.Time{})
	return conn, tcp, nil
}

var serverKeys sync.Map // by address: asking for it is not what attacks are about

func knownKey(s *server) (key.MachinePublic, error) {
	if k, ok := serverKeys.Load(s.plain()); ok {
		return k.(key.MachinePublic), nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	k, err := serverKey(ctx, s.plain())
	if err == nil {
		serverKeys.Store(s.plain(), k)
	}
	return k, err
}

func attackNoise(a *attacker) {
	for what, tamper := range map[string]func([]byte) []byte{
		"cut off":          func(b []byte) []byte { return b[:50] },
		"empty":            func(b []byte) []byte { return nil },
		"too long":         func(b []byte) []byte { return append(b, make([]byte, 4000)...) },
		"another version":  func(b []byte) []byte { b[0] = 0xff; return b },
		"another type":     func(b []byte) []byte { b[2] = 9; return b },
		"a wrong length":   func(b []byte) []byte { b[3] = 0xff; return b },
		"a zero ephemeral": func(b []byte) []byte { copy(b[5:37], make([]byte, 32)); return b },
		"a wrong tag":      func(b []byte) []byte { b[len(b)-1] ^= 1; return b },
		"a wrong identity": func(b []byte) []byte { b[40] ^= 1; return b },
		"garbage":          func(b []byte) []byte { return bytes.Repeat([]byte{0xa5}, len(b)) },
	} {
		if c, _, err := noiseConn(a.s, "127.0.1.1", key.NewMachine(), tamper); err == nil {
			c.Close()
			a.t.Errorf("an initiation that is %s is accepted", what)
		}
	}
	// Records after a good handshake.
	for what, b := range map[string][]byte{
		"a record that is not sealed": append([]byte{4, 0, 32}, make([]byte, 32)...),
		"an endless record":           append([]byte{4, 0xff, 0xff}, make([]byte, 70000)...),
		"an empty record":             {4, 0, 0},
		"another initiation":          append([]byte{0, 1, 1, 0, 96}, make([]byte, 96)...),
		"an HTTP request":             []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
	} {
		_, tcp, err := noiseConn(a.s, "127.0.1.2", key.NewMachine(), nil)
		if err != nil {
			a.t.Fatal(err)
		}
		_, _ = tcp.Write(b)
		a.wantClosed(what, tcp, 3*time.Second)
		tcp.Close()
	}
	// What was recorded once is worth nothing: the same initiation gets an answer that only its maker can read, and
	// the records behind it do not open.
	var recorded []byte
	c, _, err := noiseConn(a.s, "127.0.1.3", key.NewMachine(), func(b []byte) []byte { recorded = bytes.Clone(b); return b })
	if err != nil {
		a.t.Fatal(err)
	}
	c.Close()
	c, _, err = noiseConn(a.s, "127.0.1.3", key.NewMachine(), func([]byte) []byte { return recorded })
	if err == nil {
		c.Close()
		a.t.Error("a recorded handshake can be used by somebody else")
	}
}

func attackNoiseStorm(a *attacker) {
	a.timed(8, 2*time.Second, func(i int, from string) bool {
		if c, _, err := noiseConn(a.s, from, key.NewMachine(), nil); err == nil {
			c.Close()
		}
		return true
	})
}

// h2Client writes frames of its own making on a control connection.
type h2Client struct {
	*http2.Framer
	conn net.Conn
	w    *bufio.Writer
	enc  *hpack.Encoder
	buf  bytes.Buffer
	last uint32 // stream opened last
	n    uint32
}

func newH2Client(s *server, from string, m key.MachinePrivate) (*h2Client, error) {
	conn, _, err := noiseConn(s, from, m, nil)
	if err != nil {
		return nil, err
	}
	f := &h2Client{conn: conn, w: bufio.NewWriterSize(conn, 4000)}
	f.Framer = http2.NewFramer(f.w, &earlyConn{Conn: conn, r: bufio.NewReader(conn)})
	f.AllowIllegalWrites, f.AllowIllegalReads = true, true
	f.enc = hpack.NewEncoder(&f.buf)
	_, _ = f.w.WriteString(http2.ClientPreface)
	if err = f.WriteSettings(); err == nil {
		err = f.w.Flush()
	}
	return f, err
}

func (f *h2Client) head(path string) []byte {
	f.buf.Reset()
	for _, h := range [][2]string{{":method", "POST"}, {":scheme", "https"}, {":authority", "x"}, {":path", path}} {
		_ = f.enc.WriteField(hpack.HeaderField{Name: h[0], Value: h[1]})
	}
	return f.buf.Bytes()
}

func (f *h2Client) open(path string, isWhole bool) error {
	f.last += 2
	f.last |= 1
	return f.WriteHeaders(http2.HeadersFrameParam{StreamID: f.last, BlockFragment: f.head(path), EndHeaders: true,
		EndStream: isWhole})
}

// h2Flood has four connections send the same again and again, reading nothing. isRefused: the server must hang up.
func h2Flood(isRefused bool, frame func(f *h2Client) error) func(a *attacker) {
	return func(a *attacker) {
		var tolerated atomic.Int64
		err := parallel(4, 4, func(i int) error {
			f, err := newH2Client(a.s, loopback(i), key.NewMachine())
			if err != nil {
				return err
			}
			defer f.conn.Close()
			patience := 1500 * time.Millisecond
			if isRefused && isSanitized() {
				patience = 10 * time.Second
			}
			_ = f.conn.SetDeadline(time.Now().Add(patience))
			for n := range floodFrames {
				if err := frame(f); err != nil {
					return nil
				}
				if n%100 == 99 && f.w.Flush() != nil {
					return nil
				}
			}
			_ = f.w.Flush()
			// It may have hung up without our having noticed.
			if _, err := io.Copy(io.Discard, f.conn); err != nil {
				if ne, ok := err.(net.Error); ok && ne.Timeout() {
					tolerated.Add(1)
				}
			}
			return nil
		})
		if err != nil {
			a.t.Error(err)
		}
		if n := tolerated.Load(); n != 0 && isRefused {
			a.t.Errorf("%d of 4 connections are open after %d frames", n, floodFrames)
		}
	}
}

// Requests that never end, as long as they may be: memory for all of them together is bounded.
func attackHalfRequests(a *attacker) {
	const conns, each = 120, 1<<20 - 10
	before := a.s.rssMB()
	nodes := make([]*lightNode, conns)
	stop := make(chan struct{})
	var sent, refused atomic.Int64
	_ = parallel(conns, 16, func(i int) (err error) {
		if nodes[i], err = lightFrom(a.s, loopback(i)); err != nil {
			return err
		}
		var wg sync.WaitGroup
		for range 2 {
			wg.Add(1)
			body := &halfBody{left: each, stop: stop, sent: sync.OnceFunc(wg.Done)}
			req, _ := http.NewRequest("POST", "https://x/machine/register", body)
			go func() {
				res, err := nodes[i].h2.RoundTrip(req)
				if err == nil {
					if res.StatusCode == 503 {
						refused.Add(1)
					}
					res.Body.Close()
				}
				body.sent()
			}()
		}
		wg.Wait()
		sent.Add(1)
		return nil
	})
	time.Sleep(100 * time.Millisecond)
	if got := a.s.rssMB() - before; got > 110 && !isSanitized() {
		a.t.Errorf("%d MB more while %d clients send halves of requests", got, sent.Load())
	}
	if refused.Load() == 0 {
		a.t.Error("none of the halves was refused")
	}
	close(stop)
	for _, n := range nodes {
		if n != nil {
			n.close()
		}
	}
}

// halfBody is a request's body that stops before its end until stop is closed.
type halfBody struct {
	left int
	stop chan struct{}
	sent func()
}

func (b *halfBody) Read(p []byte) (int, error) {
	if b.left == 0 {
		b.sent()
		<-b.stop
		return 0, io.EOF
	}
	n := min(len(p), b.left)
	clear(p[:n])
	b.left -= n
	return n, nil
}

func (b *halfBody) Close() error { return nil }
