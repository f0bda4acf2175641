// Proves that a storm is the storm's own trouble: while 500 nodes reconnect at once over TLS, again and again, and while
// 5,000 register at once, a new real client joins within seconds, those that are connected notice nothing, and no
// keep-alive is late.
package scenario

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"tailscale.com/tailcfg"
)

var benchNodes = madeOnce("build/bench/nodes", "build/bench/nodes")

// storm is the load generator at work.
type storm struct {
	t     *testing.T
	cmd   *exec.Cmd
	lines chan string
	log   *logBuffer
}

func startStorm(t *testing.T, s *server, authKey string, flags ...string) *storm {
	t.Helper()
	path, err := benchNodes()
	if err != nil {
		t.Fatal(err)
	}
	st := &storm{t: t, lines: make(chan string, 10000), log: &logBuffer{}}
	st.cmd = exec.Command(path, append([]string{"--key", authKey, "--pid", itoa(s.pid())}, flags...)...)
	st.cmd.Stderr = st.log
	st.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := st.cmd.StdoutPipe()
	if err == nil {
		err = st.cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for in := bufio.NewScanner(out); in.Scan(); {
			st.lines <- in.Text()
		}
		close(st.lines)
	}()
	return st
}

// await returns when a figure of that name is there.
func (st *storm) await(name string, within time.Duration) {
	st.t.Helper()
	for over := time.After(within); ; {
		select {
		case line, ok := <-st.lines:
			if !ok {
				st.t.Fatalf("the load ended before %q: %s", name, st.log)
			}
			if strings.Contains(line, name) {
				st.t.Log(line)
				return
			}
		case <-over:
			st.t.Fatalf("not within %v: %q %s", within, name, st.log)
		}
	}
}

// end stops the load, or waits until it has done all; what it said of trouble is returned.
func (st *storm) end(isKilled bool) (trouble []string) {
	st.t.Helper()
	if isKilled {
		_ = st.cmd.Process.Kill()
	}
	for line := range st.lines {
		if strings.Contains(line, "cut") && !strings.Contains(line, " 0 ") {
			trouble = append(trouble, line)
		}
	}
	if err := st.cmd.Wait(); err != nil && !isKilled {
		st.t.Errorf("the load: %v %s", err, st.log)
	}
	return trouble
}

const quietPolicy = `{"tagOwners": {"tag:quiet": [], "tag:crowd": []},
	"acls": [{"action": "accept", "src": ["autogroup:member"], "dst": ["autogroup:member:*"]}]}`

// TestStorm takes a minute, since that is how long a keep-alive takes. The load and the clients share the machine with the
// server, so what is allowed is far above what an idle machine shows; the figures are in the log.
func TestStorm(t *testing.T) {
	s := startServer(t, "--limits-half-open-per-source", "100000")
	s.setPolicy(quietPolicy)
	authKey := s.newKey("--reusable").Key
	quiet := make([]*lightNode, 5)
	quietKey := s.newKey("--reusable", "--tags", "tag:quiet").Key
	for i := range quiet {
		quiet[i] = newLightNode(s, fmt.Sprintf("quiet-%d", i))
		t.Cleanup(quiet[i].close)
		if err := quiet[i].join(ctxFor(t, 10*time.Second), quietKey); err != nil {
			t.Fatal(err)
		}
	}
	begin := time.Now()
	w := newWitness(t, s, authKey)
	defer w.end()
	w.worst, w.lags = 750*time.Millisecond, 3
	reconnects := strings.Repeat(",reconnect", 100)
	tls := []string{"--server", fmt.Sprintf("127.0.0.1:%d", s.https), "--tls", "--nodes", "500", "--at-once", "500",
		"--settle", "0", "--seed", "storm"}
	st := startStorm(t, s, authKey, append(tls, "--phases", "register,connect"+reconnects)...)
	st.await("first connect of all, last full map", 60*time.Second)
	w.check("500 connect", len(s.log.String()))
	for i := range 4 {
		before := len(s.log.String())
		n := newNode(t, nodeOptions{url: s.url, key: authKey, hostname: fmt.Sprintf("new-%d", i)})
		_, took, err := n.up(30 * time.Second)
		if err != nil || took > 15*time.Second {
			t.Errorf("a new node joined in %v: %v", took, err)
		}
		st.await("mass reconnect, last full map", 60*time.Second)
		w.check(fmt.Sprintf("500 reconnect; join in %v", took.Round(time.Millisecond)), before)
	}
	st.end(true)

	before, rss := len(s.log.String()), s.rssMB()
	crowd := s.newKey("--reusable", "--tags", "tag:crowd").Key
	st = startStorm(t, s, crowd, "--server", s.plain(), "--nodes", "5000", "--phases", "register", "--at-once", "5000",
		"--register-at-once", "5000", "--timeout", "100")
	n := newNode(t, nodeOptions{url: s.url, key: authKey, hostname: "new-among-5000"})
	_, took, err := n.up(30 * time.Second)
	if err != nil {
		t.Errorf("a new node joined in %v: %v", took, err)
	}
	st.await("register p99", 110*time.Second)
	if trouble := st.end(false); len(trouble) != 0 {
		t.Errorf("%q", trouble)
	}
	w.check(fmt.Sprintf("5,000 register; join in %v", took.Round(time.Millisecond)), before)
	if grown := s.rssMB() - rss; grown > 150 {
		t.Errorf("5,000 registrations at once took %d MB", grown)
	}
	if n := len(s.nodes()); n < 5500 {
		t.Errorf("%d nodes", n)
	}

	// Around the time when keep-alives are due.
	time.Sleep(time.Until(begin.Add(47 * time.Second)))
	before = len(s.log.String())
	st = startStorm(t, s, authKey, append(tls, "--phases", "connect"+reconnects)...)
	for time.Since(begin) < 61*time.Second {
		st.await("last full map", 60*time.Second)
	}
	for i, n := range quiet {
		n.mu.Lock()
		if n.alive == 0 || n.maps != 1 || n.closed != nil {
			t.Errorf("quiet node %d: %d keep-alives, %d maps in %v; %v", i, n.alive, n.maps, time.Since(begin), n.closed)
		}
		n.mu.Unlock()
	}
	w.check("500 reconnect, keep-alives", before)
	if trouble := st.end(true); len(trouble) != 0 {
		t.Errorf("%q", trouble)
	}
}

// TestRegistrationsBeyondCapacity: while the disk takes seconds for each commit, registrations are answered, most of them
// to come again later; those that do as they are told join in the end.
func TestRegistrationsBeyondCapacity(t *testing.T) {
	t.Parallel()
	f := newFaultServer(t, false)
	f.start()
	authKey := f.newKey("--reusable").Key
	f.set(faultSyncMS, 7000)
	const crowd = 400
	begin := time.Now()
	var mu sync.Mutex
	var slowest time.Duration
	late := 0
	err := parallel(crowd, crowd, func(i int) error {
		time.Sleep(time.Duration(i) * 20 * time.Millisecond) // over 8 s
		n := newLightNode(f.server, fmt.Sprintf("crowd-%03d", i))
		defer n.close()
		for {
			asked := time.Now()
			after, err := n.registerOnce(authKey, 40*time.Second)
			mu.Lock()
			slowest = max(slowest, time.Since(asked))
			if after > 0 {
				late++
			}
			mu.Unlock()
			if err != nil || after == 0 {
				return err
			}
			if time.Since(begin) > 10*time.Second {
				f.set(faultSyncMS, 0)
			}
			time.Sleep(after)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d joined in %v; put off %d times; the slowest answer took %v", crowd, time.Since(begin), late, slowest)
	if late == 0 || slowest > 25*time.Second {
		t.Errorf("put off %d times; the slowest answer took %v", late, slowest)
	}
	if nodes, _ := f.state(); len(nodes) != crowd {
		t.Errorf("%d nodes", len(nodes))
	}
}

// TestSlowReader: a client that reads nothing while ten thousand changes happen costs the server nothing that grows,
// harms nobody, and has the right state soon after it reads again.
func TestSlowReader(t *testing.T) {
	t.Parallel()
	const changing, rounds = 40, 250 // a connection may make 300 requests at once
	s := startServer(t)
	nodes := joinMany(t, s, s.newKey("--reusable").Key, changing+2)
	slow, watcher := nodes[changing], nodes[changing+1]
	eventually(t, 10*time.Second, "all see all", func() bool { return seesAll(slow, changing+2) && seesAll(watcher, changing+2) })
	right := func(n *lightNode, round int) bool {
		for i := range changing {
			if !hasEndpoint(n, nodes[i].hostname, endpointOf(uint16(changing*round+i))) {
				return false
			}
		}
		return true
	}
	slow.mu.Lock()
	maps := slow.maps
	slow.mu.Unlock()
	rss := s.rssMB()
	slow.gate.Lock()
	release := sync.OnceFunc(slow.gate.Unlock)
	defer release()
	begin := time.Now()
	err := parallel(changing, changing, func(i int) error {
		for round := range rounds {
			if err := bounded(20*time.Second, func(ctx context.Context) error {
				return nodes[i].update(ctx, withEndpoint(endpointOf(uint16(changing*round+i))))
			}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	took := time.Since(begin)
	eventually(t, 5*time.Second, "who reads has the last state", func() bool { return right(watcher, rounds-1) })
	grown := s.rssMB() - rss
	time.Sleep(time.Until(begin.Add(30 * time.Second)))
	if right(slow, rounds-1) {
		t.Fatal("the slow client was not slow")
	}
	release()
	begin = time.Now()
	eventually(t, 10*time.Second, "the slow client has the last state", func() bool { return right(slow, rounds-1) })
	slow.mu.Lock()
	maps = slow.maps - maps
	slow.mu.Unlock()
	t.Logf("%d changes in %v; the slow client had the last state %v after it read again, in %d messages; memory +%d MB",
		changing*rounds, took.Round(time.Millisecond), time.Since(begin).Round(time.Millisecond), maps, grown)
	if grown > 16 {
		t.Errorf("memory grew by %d MB", grown)
	}
	for _, n := range nodes {
		if err := n.ended(); err != nil {
			t.Errorf("the stream of %s ended: %v", n.hostname, err)
		}
	}
}

// registerOnce asks once; after > 0: it shall come again then.
func (n *lightNode) registerOnce(authKey string, within time.Duration) (after time.Duration, err error) {
	err = bounded(within, func(ctx context.Context) error {
		if n.h2 == nil {
			if err := n.dial(ctx); err != nil {
				return err
			}
		}
		res, err := n.post(ctx, "/machine/register", tailcfg.RegisterRequest{Version: 1, NodeKey: n.node.Public(),
			Hostinfo: n.hostinfo, Auth: &tailcfg.RegisterResponseAuth{AuthKey: authKey}})
		if err != nil {
			return err
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		if err != nil {
			return err
		}
		seconds, err := strconv.Atoi(res.Header.Get("Retry-After"))
		if res.StatusCode == 429 && err == nil && seconds >= 2 && seconds <= 8 {
			after = time.Duration(seconds) * time.Second
			return nil
		}
		if res.StatusCode != 200 || !strings.Contains(string(b), `"MachineAuthorized":true`) {
			return fmt.Errorf("%s: %s %v", res.Status, b, res.Header)
		}
		return nil
	})
	return after, err
}
