// Attacks on the door: what comes before anybody has said who it is.
package scenario

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"strings"
	"time"
)

var doorAttacks = []attack{
	{name: "garbage on every listener", fn: attackGarbage},
	{name: "a thousand half-open handshakes", fn: attackHalfOpen},
	{name: "one byte a second", fn: attackSlowHeads},
	{name: "header bombs", fn: attackHeaderBombs},
	{name: "truncated TLS", fn: attackTruncatedTLS},
	{name: "TLS handshakes", fn: attackHandshakes},
	{name: "bodies for the API", fn: attackBodies},
	{name: "slow requests through the passage", fn: attackSlowPassages},
	{name: "requests with their end behind", fn: attackEndBehind},
	{name: "answers nobody reads", fn: attackUnreadAnswers},
	{name: "the command's socket", fn: attackUnixSocket},
}

func (a *attacker) tlsAddr() string { return fmt.Sprintf("127.0.0.1:%d", a.s.https) }

// sayClosed sends bytes and wants the server to close within d; what it says before is returned.
func (a *attacker) sayClosed(what, addr, from string, b []byte, d time.Duration) []byte {
	c, err := dialFrom(from, addr)
	if err != nil {
		a.t.Errorf("%s: %v", what, err)
		return nil
	}
	defer c.Close()
	_, _ = c.Write(b)
	return a.wantClosed(what, c, d)
}

func (a *attacker) wantClosed(what string, c net.Conn, d time.Duration) []byte {
	_ = c.SetReadDeadline(time.Now().Add(d))
	got, err := io.ReadAll(io.LimitReader(c, 1<<20))
	if ne, ok := err.(net.Error); ok && ne.Timeout() {
		a.t.Errorf("%s: still open after %v (%d bytes read)", what, d, len(got))
	}
	return got
}

func attackGarbage(a *attacker) {
	udp, err := net.Dial("udp", fmt.Sprintf("127.0.0.1:%d", a.s.stun))
	if err != nil {
		a.t.Fatal(err)
	}
	defer udp.Close()
	a.timed(8, 1500*time.Millisecond, func(i int, from string) bool {
		b := make([]byte, 1+mathrand.IntN(4000))
		rand.Read(b)
		switch i % 4 {
		case 1: // a TLS record
			b[0] = 0x16
		case 2: // a request
			b = append([]byte("GET / HTTP/1.1\r\nHost: "), b...)
		case 3: // a PROXY header
			b = append([]byte("\r\n\r\n\x00\r\nQUIT\n\x21\x11\xff\xff"), b...)
		}
		addr := a.s.plain()
		if i >= 4 {
			addr = a.tlsAddr()
		}
		_, _ = udp.Write(b)
		c, err := dialFrom(from, addr)
		if err != nil {
			return true
		}
		_, _ = c.Write(b)
		_ = c.(*net.TCPConn).CloseWrite()
		_ = c.SetReadDeadline(time.Now().Add(4 * time.Second))
		if _, err := io.Copy(io.Discard, c); err != nil {
			if ne, ok := err.(net.Error); ok && ne.Timeout() {
				a.t.Errorf("garbage %d keeps the connection open", i)
			}
		}
		c.Close()
		time.Sleep(5 * time.Millisecond)
		return true
	})
}

// A thousand clients say half a word and wait; they are gone after limits.head_ms.
func attackHalfOpen(a *attacker) {
	hello := []byte("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
	conns := make([]net.Conn, 1000)
	err := parallel(len(conns), 20, func(i int) (err error) {
		addr := a.s.plain()
		say := []byte("GET /key HTTP/1.1\r\nHo")
		if i%2 == 0 {
			addr, say = a.tlsAddr(), hello[:1+i%len(hello)]
		}
		if conns[i], err = dialFrom(loopback(i%8), addr); err == nil {
			_, err = conns[i].Write(say)
		}
		return err
	})
	if err != nil {
		a.t.Fatal(err)
	}
	// Somebody new is served meanwhile.
	n := newLightNode(a.s, "newcomer")
	defer n.close()
	begin := time.Now()
	if err := n.join(ctxFor(a.t, 10*time.Second), a.authKey); err != nil {
		a.t.Errorf("nobody can join: %v", err)
	}
	if took := time.Since(begin); took > time.Second && !isSanitized() {
		a.t.Errorf("joining took %v", took)
	}
	end := time.Now().Add(4500 * time.Millisecond)
	open := 0
	for _, c := range conns {
		_ = c.SetReadDeadline(end)
		if _, err := io.Copy(io.Discard, c); err != nil {
			if ne, ok := err.(net.Error); ok && ne.Timeout() {
				open++
			}
		}
		c.Close()
	}
	if open != 0 {
		a.t.Errorf("%d of %d half-open connections outlived the deadline", open, len(conns))
	}
}

func attackSlowHeads(a *attacker) {
	head := "GET /key HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("y", 1000)
	_ = parallel(40, 40, func(i int) error {
		c, err := dialFrom(loopback(i), a.s.plain())
		if err != nil {
			return err
		}
		defer c.Close()
		begin := time.Now()
		for k := range head {
			_ = c.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
			if _, err := c.Write([]byte{head[k]}); err != nil {
				break
			}
			if n, err := c.Read(make([]byte, 100)); n > 0 || (err != nil && !err.(net.Error).Timeout()) {
				break // the answer, or the end
			}
			if time.Since(begin) > 5*time.Second {
				a.t.Errorf("byte by byte a head may take longer than limits.head_ms")
				break
			}
		}
		return nil
	})
}

func attackHeaderBombs(a *attacker) {
	many := "GET / HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("A: b\r\n", 200) + "\r\n"
	for what, c := range map[string]struct{ text, want string }{
		"4 MB of one field": {"GET / HTTP/1.1\r\nHost: x\r\nA: " + strings.Repeat("b", 4<<20), " 431 "},
		"200 fields":        {many, " 431 "},
		"a target of 4 MB":  {"GET /" + strings.Repeat("b", 4<<20), " 431 "},
		"a long method":     {strings.Repeat("M", 1<<20), " 431 "},
		"NULs":              {"GET / HTTP/1.1\r\nHost: \x00\x00\r\n\r\n", " 400 "},
		"bare LF":           {"GET / HTTP/1.1\nHost: x\n\n", " 400 "},
		"two lengths":       {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", " 400 "},
		"length and chunks": {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", " 400 "},
		"a negative length": {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", " 400 "},
		"a folded field":    {"GET / HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n", " 400 "},
		"HTTP/2 in clear":   {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", " 400 "},
	} {
		got := a.sayClosed(what, a.s.plain(), "127.0.1.1", []byte(c.text), 5*time.Second)
		if len(got) > 0 && !strings.Contains(string(got[:min(len(got), 40)]), c.want) {
			a.t.Errorf("%s: %.60q", what, got)
		}
	}
}

// clientHello is what a real client begins with.
func clientHello() []byte {
	ours, theirs := net.Pipe()
	defer ours.Close()
	go func() { _ = tls.Client(theirs, &tls.Config{InsecureSkipVerify: true}).Handshake() }()
	b := make([]byte, 4096)
	n, _ := ours.Read(b)
	return b[:n]
}

func attackTruncatedTLS(a *attacker) {
	hello := clientHello()
	_ = parallel(len(hello), 16, func(i int) error {
		c, err := dialFrom(loopback(i), a.tlsAddr())
		if err != nil {
			return err
		}
		defer c.Close()
		if i%2 == 0 { // cut off
			_, _ = c.Write(hello[:i])
			_ = c.(*net.TCPConn).CloseWrite()
		} else { // one byte wrong
			b := bytes.Clone(hello)
			b[i] ^= 0x55
			_, _ = c.Write(b)
			_ = c.(*net.TCPConn).CloseWrite()
		}
		_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
		_, _ = io.Copy(io.Discard, c)
		return nil
	})
	a.sayClosed("an endless record", a.tlsAddr(), "127.0.1.2",
		append([]byte("\x16\x03\x01\xff\xff"), make([]byte, 1<<20)...), 5*time.Second)
	a.sayClosed("an alert first", a.tlsAddr(), "127.0.1.2", []byte("\x15\x03\x01\x00\x02\x02\x28"), 5*time.Second)
}

// Whole handshakes, the dearest thing that a stranger can ask for, as fast as two clients can.
func attackHandshakes(a *attacker) {
	cfg := &tls.Config{InsecureSkipVerify: true}
	a.timed(8, 2*time.Second, func(i int, from string) bool {
		c, err := dialFrom(from, a.tlsAddr())
		if err != nil {
			return true
		}
		_ = c.SetDeadline(time.Now().Add(5 * time.Second))
		_ = tls.Client(c, cfg).Handshake()
		c.Close()
		return true
	})
}

// Uploads for paths of the API, by nobody: huge, endless, many at a time.
func attackBodies(a *attacker) {
	const path = "/api/fairlead/v1/keys"
	got := a.sayClosed("a huge length", a.s.plain(), "127.0.1.1", []byte("POST "+path+
		" HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\nConnection: close\r\n\r\n"), 5*time.Second)
	if !bytes.Contains(got, []byte(" 401 ")) { // who asks comes before how much
		a.t.Errorf("a huge length: %.60q", got)
	}
	chunk := []byte("10000\r\n" + strings.Repeat("x", 0x10000) + "\r\n")
	_ = parallel(60, 60, func(i int) error {
		c, err := dialFrom(loopback(i), a.s.plain())
		if err != nil {
			return err
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(5 * time.Second))
		if i%2 == 0 { // as long as is allowed, never the end
			fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", path, 1<<20)
			_, _ = c.Write(make([]byte, 1<<20-1))
			time.Sleep(time.Second)
			return nil
		}
		fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", path)
		for n := 0; ; n++ {
			if _, err := c.Write(chunk); err != nil {
				return nil
			}
			if n > 1000 {
				a.t.Error("60 MB of an endless body were taken")
				return nil
			}
		}
	})
	// JSON that is dear to parse.
	deep := strings.Repeat("[", 500000)
	got = a.sayClosed("deep JSON", a.s.plain(), "127.0.1.1", []byte(fmt.Sprintf("POST %s HTTP/1.1\r\nHost: x\r\n"+
		"Connection: close\r\nContent-Length: %d\r\n\r\n%s", path, len(deep), deep)), 5*time.Second)
	if !bytes.HasPrefix(got, []byte("HTTP/1.1 4")) {
		a.t.Errorf("deep JSON: %.60q", got)
	}
}

func attackSlowPassages(a *attacker) {
	var conns []net.Conn
	for i := range 300 {
		c, err := dialFrom(loopback(i%4), a.s.plain())
		if err != nil {
			continue
		}
		fmt.Fprintf(c, "POST /api/v2/x HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n")
		conns = append(conns, c)
	}
	for range 10 {
		for _, c := range conns {
			_, _ = c.Write([]byte("x"))
		}
		time.Sleep(100 * time.Millisecond)
	}
	// Somebody else is answered.
	res, err := (&http.Client{Timeout: 5 * time.Second}).Get(a.s.url + "/api/fairlead/v1/status")
	if err != nil {
		a.t.Errorf("the API does not answer: %v", err)
	} else {
		res.Body.Close()
	}
	for _, c := range conns {
		c.Close()
	}
}

// Clients that end their stream together with a request: what they have is given back at once.
func attackEndBehind(a *attacker) {
	for what, text := range map[string]string{
		"a whole request": "GET /api/v2/x HTTP/1.1\r\nHost: x\r\n\r\n",
		"half a body":     "POST /api/v2/x HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n" + strings.Repeat("x", 50000),
		"half a head":     "GET /api/v2/x HTTP/1.1\r\nHost: x\r\n\r\nGET /api",
	} {
		_ = parallel(50, 50, func(i int) error {
			c, err := dialFrom(loopback(i), a.s.plain())
			if err != nil {
				return err
			}
			defer c.Close()
			_, _ = c.Write([]byte(text))
			_ = c.(*net.TCPConn).CloseWrite()
			a.wantClosed(what+" and the end", c, 10*time.Second)
			return nil
		})
	}
}

// Requests behind requests, and nobody reads what they are answered.
func attackUnreadAnswers(a *attacker) {
	for _, path := range []string{"/key", "/", "/generate_204"} {
		req := []byte(strings.Repeat("GET "+path+" HTTP/1.1\r\nHost: x\r\n\r\n", 200))
		_ = parallel(20, 20, func(i int) error {
			c, err := dialFrom(loopback(i), a.s.plain())
			if err != nil {
				return err
			}
			defer c.Close()
			_ = c.SetWriteDeadline(time.Now().Add(500 * time.Millisecond))
			for n := 0; n < 2000; n++ {
				if _, err := c.Write(req); err != nil {
					return nil
				}
			}
			return nil
		})
	}
}

func attackUnixSocket(a *attacker) {
	_ = parallel(100, 20, func(i int) error {
		c, err := net.Dial("unix", a.s.socket)
		if err != nil {
			return err
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(2 * time.Second))
		switch i % 5 {
		case 0:
			b := make([]byte, 100000)
			rand.Read(b)
			_, _ = c.Write(b)
		case 1:
			fmt.Fprintf(c, "GET /api/fairlead/v1/%s HTTP/1.1\r\nHost: x\r\n\r\n", strings.Repeat("../", 3000))
		case 2:
			fmt.Fprintf(c, "POST /api/fairlead/v1/keys HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n{")
		case 3: // an upgrade cannot be had here
			fmt.Fprintf(c, "POST /ts2021 HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: tailscale-control-protocol\r\n\r\n")
		case 4: // gone before the answer
			fmt.Fprintf(c, "GET /api/fairlead/v1/nodes HTTP/1.1\r\nHost: x\r\n\r\n")
			return nil
		}
		_, _ = bufio.NewReader(c).Peek(1)
		return nil
	})
	a.s.cli("status")
}
