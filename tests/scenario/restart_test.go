// Proves the graceful restart: a new process takes sockets and database from the old one, nobody is refused, every
// client reconnects once, no peer hears of it, nothing is lost; and whatever fails leaves one server serving.
package scenario

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"tailscale.com/net/stun"
	"tailscale.com/tailcfg"
)

// newRestartServer runs a copy of the binary, so that a test can put another one in its place.
func newRestartServer(t *testing.T, flags ...string) *server {
	t.Helper()
	// A new server is no child of the old one: it becomes ours, so that its end is known.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	s := newServer(t, flags...)
	own := filepath.Join(filepath.Dir(s.dir), "fairlead")
	copyFile(t, s.bin, own)
	s.bin, s.keepsOutput = own, true
	t.Cleanup(func() {
		s.kill()
		// Of a test that failed half-way.
		for _, pid := range s.challengers() {
			if b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)); strings.HasPrefix(string(b), own+"\x00") {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		}
	})
	return s
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err == nil {
		_ = os.Remove(to) // as install does: the old one goes on with the file that it has
		err = os.WriteFile(to, b, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// adopt makes the process the one that stop, kill and pid are about.
func (s *server) adopt(pid int) {
	p, err := os.FindProcess(pid)
	if err != nil {
		s.t.Fatal(err)
	}
	done := make(chan struct{})
	s.mu.Lock()
	s.cmd, s.done = &exec.Cmd{Process: p}, done
	s.mu.Unlock()
	go func() {
		st, err := p.Wait()
		if err == nil && !st.Success() {
			err = errors.New(st.String())
		}
		s.mu.Lock()
		s.err = err
		s.mu.Unlock()
		close(done)
	}()
}

// fill puts n nodes into the database, as large as real ones, and starts the server again.
func (s *server) fill(n int) {
	s.t.Helper()
	hostinfo := `{"IPNVersion":"1.102.5-tfe5dd4ba8","BackendLogID":"","OS":"linux","OSVersion":"6.18.0","Distro":"debian",` +
		`"DistroVersion":"12","DistroCodeName":"bookworm","DeviceModel":"","Hostname":"many","GoArch":"amd64",` +
		`"GoArchVar":"v1","GoVersion":"go1.26.0","Services":[{"Proto":"peerapi4","Port":40000},` +
		`{"Proto":"peerapi6","Port":40000},{"Proto":"peerapi-dns-proxy","Port":1}],"NetInfo":{"MappingVariesByDestIP":` +
		`false,"WorkingIPv6":false,"WorkingUDP":true,"PreferredDERP":900,"DERPLatency":{"900-v4":0.0123}},"Userspace":false}`
	s.stop()
	sqlite(s.t, filepath.Join(s.dir, "fairlead.db"), "BEGIN",
		fmt.Sprintf(`INSERT INTO nodes (id, tailnet_id, user_id, machine_key, node_key, name, is_name_given, ip4, ip6, tags,
		created_unix_s, key_expiry_unix_s, is_ephemeral, is_authorized, authkey_id) WITH RECURSIVE c (i) AS (SELECT 1 UNION ALL
		SELECT i + 1 FROM c WHERE i < %d) SELECT i + 100000, 1, 1, randomblob(32), randomblob(32), 'many-' || i, 0,
		printf('100.100.%%d.%%d', i / 256, i %% 256), printf('fd7a:115c:a1e0::7:%%x', i), '[]', 1790000000, 0, 0, 1, '' FROM c`, n),
		fmt.Sprintf(`INSERT INTO node_state (node_id, hostinfo, disco_key, endpoints, home_derp, cap_version, last_seen_unix_s,
		is_online) SELECT id, '%s', randomblob(32), '["192.0.2.7:41641/2","10.0.0.7:41641/1"]',
		900, 113, 1790000000, 1 FROM nodes WHERE id > 100000`, hostinfo), "COMMIT")
	s.start()
}

// How long the server takes until it answers, with ten thousand nodes; the bound is for its own CPU, as others may use
// the machine meanwhile.
func TestStartWithTenThousandNodes(t *testing.T) {
	s := startServer(t)
	s.fill(10000)
	for range 3 {
		s.stop()
		begin := time.Now()
		s.launch()
		for {
			if res, err := http.Get(s.url + "/health"); err == nil {
				res.Body.Close()
				break
			}
			if time.Since(begin) > 20*time.Second {
				t.Fatal("it does not answer")
			}
			time.Sleep(2 * time.Millisecond)
		}
		took := time.Since(begin)
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.pid()))
		if err != nil {
			t.Fatal(err)
		}
		_, rest, _ := strings.Cut(string(b), ") ")
		fields := strings.Fields(rest)
		user, _ := strconv.Atoi(fields[11])
		system, _ := strconv.Atoi(fields[12])
		cpu := time.Duration(user+system) * 10 * time.Millisecond // USER_HZ is 100
		t.Logf("answers after %v, %v of CPU", took, cpu)
		if cpu > time.Second && !isSanitized() {
			t.Errorf("a start with 10,000 nodes costs %v of CPU", cpu)
		}
	}
}

type restarted struct {
	PID      int `json:"pid"`
	OldPID   int `json:"oldPid"`
	PausedMS int `json:"pausedMs"`
	MS       int `json:"ms"`
}

// restart runs fairlead restart, which must succeed, and waits for the end of the old process.
func (s *server) restart() restarted {
	s.t.Helper()
	out, err := s.tryCLI("restart", "-o", "json")
	if err != nil {
		s.t.Fatalf("fairlead restart: %v\n%s", err, s.log.String())
	}
	var r restarted
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		s.t.Fatalf("%v in %s", err, out)
	}
	s.mu.Lock()
	old, done := s.cmd.Process.Pid, s.done
	s.mu.Unlock()
	if r.OldPID != old || r.PID == old {
		s.t.Fatalf("process %d says that it is %+v", old, r)
	}
	s.adopt(r.PID)
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		s.t.Fatal("the old server does not end")
	}
	return r
}

// lockPID is who has the data directory, by its own account.
func (s *server) lockPID() int {
	b, _ := os.ReadFile(filepath.Join(s.dir, "lock"))
	pid, _ := strconv.Atoi(strings.TrimSpace(string(b)))
	return pid
}

// follower is a light client that reconnects as the real one does: after 10, 40, 90 … ms.
type follower struct {
	n       *lightNode
	decodes bool // and notes what it is told of others
	ended   chan time.Time
	stop    chan struct{}

	mu      sync.Mutex
	gaps    []time.Duration
	refused int
	offline []string // what it was told of peers that never left
}

func follow(n *lightNode, decodes bool) *follower {
	f := &follower{n: n, decodes: decodes, ended: make(chan time.Time, 1), stop: make(chan struct{})}
	n.onEnd = func(error) {
		select {
		case f.ended <- time.Now():
		default:
		}
	}
	n.onMap = func(m *tailcfg.MapResponse) {
		for _, c := range m.PeersChangedPatch {
			if c.Online != nil && !*c.Online {
				f.note(fmt.Sprintf("node %v is offline", c.NodeID))
			}
		}
		for _, p := range append(append([]*tailcfg.Node{}, m.Peers...), m.PeersChanged...) {
			// Who only registers was never online.
			if p.Online != nil && !*p.Online && strings.HasPrefix(p.Name, "light-") {
				f.note(p.Name + " is offline")
			}
		}
		for id, is := range m.OnlineChange {
			if !is {
				f.note(fmt.Sprintf("node %v is offline", id))
			}
		}
	}
	return f
}

// followMany joins count nodes, of which the first ten look at what they are told.
func followMany(t *testing.T, s *server, key string, count int) []*follower {
	t.Helper()
	fs := make([]*follower, count)
	for i := range fs {
		fs[i] = follow(newLightNode(s, fmt.Sprintf("light-%03d", i)), i < 10)
	}
	err := parallel(count, 50, func(i int) error {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := fs[i].n.dial(ctx); err != nil {
			return err
		}
		if err := fs[i].n.register(ctx, key); err != nil {
			return err
		}
		return fs[i].open(ctx)
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range fs {
		go f.run()
		t.Cleanup(func() {
			close(f.stop)
			f.n.close()
		})
	}
	eventually(t, 20*time.Second, "all have heard of all", func() bool {
		for _, f := range fs[:min(10, count)] {
			online := 0
			f.n.view(func(_ *tailcfg.Node, peers map[tailcfg.NodeID]*tailcfg.Node) {
				for _, p := range peers {
					if p.Online != nil && *p.Online {
						online++
					}
				}
			})
			if online != count-1 {
				return false
			}
		}
		return true
	})
	return fs
}

// raw opens the stream and counts what comes without decoding it: hundreds of clients would be busy with that alone.
func (n *lightNode) raw(ctx context.Context) error {
	req := n.mapRequest()
	req.Stream = true
	res, err := n.post(context.WithoutCancel(ctx), "/machine/map", req)
	if err != nil {
		return err
	}
	if res.StatusCode != 200 {
		res.Body.Close()
		return fmt.Errorf("map: %s", res.Status)
	}
	head := make([]byte, 4)
	if _, err := io.ReadFull(res.Body, head); err != nil {
		return err
	}
	_, err = io.CopyN(io.Discard, res.Body, int64(binary.LittleEndian.Uint32(head)))
	if err != nil {
		return err
	}
	go func() {
		_, err := io.Copy(io.Discard, res.Body)
		res.Body.Close()
		n.onEnd(err)
	}()
	return nil
}

func (f *follower) open(ctx context.Context) error {
	if f.decodes {
		return f.n.stream(ctx)
	}
	return f.n.raw(ctx)
}

func (f *follower) note(what string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.offline = append(f.offline, what)
}

func (f *follower) run() {
	for {
		select {
		case <-f.stop:
			return
		case at := <-f.ended:
			f.again(at)
		}
	}
}

func (f *follower) again(since time.Time) {
	for i := 1; ; i++ {
		select {
		case <-f.stop:
			return
		case <-time.After(time.Duration(min(i*i*10, 2000)) * time.Millisecond):
		}
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		f.n.close()
		err := f.n.dial(ctx)
		if err == nil {
			err = f.open(ctx)
		}
		cancel()
		f.mu.Lock()
		if errors.Is(err, syscall.ECONNREFUSED) {
			f.refused++
		}
		if err == nil {
			f.gaps = append(f.gaps, time.Since(since))
		}
		f.mu.Unlock()
		if err == nil {
			return
		}
	}
}

type audienceReport struct {
	reconnects, refused int
	offline             []string
	median, max         time.Duration
}

func report(fs []*follower) (r audienceReport) {
	var gaps []time.Duration
	for _, f := range fs {
		f.mu.Lock()
		gaps = append(gaps, f.gaps...)
		r.refused += f.refused
		r.offline = append(r.offline, f.offline...)
		f.gaps, f.refused, f.offline = nil, 0, nil
		f.mu.Unlock()
	}
	sort.Slice(gaps, func(i, j int) bool { return gaps[i] < gaps[j] })
	r.reconnects = len(gaps)
	if len(gaps) > 0 {
		r.median, r.max = gaps[len(gaps)/2], gaps[len(gaps)-1]
	}
	return r
}

// knocker asks /health on a new connection every few milliseconds.
type knocker struct {
	stop    chan struct{}
	wg      sync.WaitGroup
	asked   atomic.Int64
	mu      sync.Mutex
	faults  []string
	longest time.Duration
}

func knock(s *server) *knocker {
	k := &knocker{stop: make(chan struct{})}
	c := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	for range 4 {
		k.wg.Add(1)
		go func() {
			defer k.wg.Done()
			for {
				select {
				case <-k.stop:
					return
				case <-time.After(5 * time.Millisecond):
				}
				begin := time.Now()
				res, err := c.Get(s.url + "/health")
				if err == nil {
					_, err = io.Copy(io.Discard, res.Body)
					res.Body.Close()
				}
				k.asked.Add(1)
				k.mu.Lock()
				k.longest = max(k.longest, time.Since(begin))
				if err != nil {
					k.faults = append(k.faults, err.Error())
				}
				k.mu.Unlock()
			}
		}()
	}
	return k
}

// askSTUN asks every few milliseconds until stopped, and counts what was not answered within a second.
func askSTUN(s *server) (stop func() (asked, lost int)) {
	quit, done := make(chan struct{}), make(chan struct{})
	asked, lost := 0, 0
	go func() {
		defer close(done)
		for {
			select {
			case <-quit:
				return
			case <-time.After(5 * time.Millisecond):
			}
			conn, err := net.Dial("udp", fmt.Sprintf("127.0.0.1:%d", s.stun))
			if err != nil {
				lost++
				continue
			}
			asked++
			id, b := stun.NewTxID(), make([]byte, 1500)
			_, _ = conn.Write(stun.Request(id))
			_ = conn.SetReadDeadline(time.Now().Add(time.Second))
			n, err := conn.Read(b)
			if err == nil {
				_, _, err = stun.ParseResponse(b[:n])
			}
			if err != nil {
				lost++
			}
			conn.Close()
		}
	}()
	return func() (int, int) {
		close(quit)
		<-done
		return asked, lost
	}
}

func (k *knocker) end() {
	close(k.stop)
	k.wg.Wait()
}

// joiner registers new nodes one after the other; what was acknowledged must be there afterwards.
type joiner struct {
	stop   chan struct{}
	wg     sync.WaitGroup
	mu     sync.Mutex
	joined []string
	again  int // tries that ended with the connection
}

func joinOn(s *server, key, prefix string) *joiner {
	j := &joiner{stop: make(chan struct{})}
	for w := range 4 {
		j.wg.Add(1)
		go func() {
			defer j.wg.Done()
			for i := 0; ; i++ {
				n := newLightNode(s, fmt.Sprintf("%s-%d-%03d", prefix, w, i))
				for {
					select {
					case <-j.stop:
						return
					case <-time.After(10 * time.Millisecond):
					}
					ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
					err := n.dial(ctx)
					if err == nil {
						err = n.register(ctx, key)
					}
					cancel()
					n.close()
					j.mu.Lock()
					if err == nil {
						j.joined = append(j.joined, n.hostname)
					} else {
						j.again++
					}
					j.mu.Unlock()
					if err == nil {
						break
					}
				}
			}
		}()
	}
	return j
}

// end checks that every acknowledged node is there, once, with addresses of its own.
func (j *joiner) end(s *server) {
	s.t.Helper()
	close(j.stop)
	j.wg.Wait()
	names, addresses := map[string]bool{}, map[string]bool{}
	for _, n := range s.nodes() {
		if names[n.Name] {
			s.t.Errorf("%s is there twice", n.Name)
		}
		names[n.Name] = true
		for _, a := range n.Addresses {
			if addresses[a] {
				s.t.Errorf("%s was given twice", a)
			}
			addresses[a] = true
		}
	}
	for _, name := range j.joined {
		if !names[name] {
			s.t.Errorf("%s was acknowledged and is lost", name)
		}
	}
}

func restartClients(t *testing.T) int {
	n, err := strconv.Atoi(os.Getenv("RESTART_CLIENTS"))
	if err != nil {
		return 200
	}
	return n
}

// An upgrade under load: streams, real clients, relay clients, joins and new connections all the time.
func TestGracefulRestart(t *testing.T) {
	s := newRestartServer(t, "--limits-half-open-per-source", "100000")
	s.start()
	key := s.newKey("--reusable").Key
	fs := followMany(t, s, key, restartClients(t))
	relayOnly(t)
	one, two := joinedNode(t, s, "real-one", key), joinedNode(t, s, "real-two", key)
	eventually(t, 20*time.Second, "real clients reach each other", func() bool {
		_, err := one.ping(two.ip4(), tailcfg.PingDisco, 5*time.Second)
		return err == nil
	})
	before := map[string]string{}
	for _, n := range s.nodes() {
		before[n.ID] = n.Name + fmt.Sprint(n.Addresses)
	}
	measure := func(what string, act func()) audienceReport {
		t.Helper()
		report(fs)
		k, j, stunned := knock(s), joinOn(s, key, what), askSTUN(s)
		time.Sleep(300 * time.Millisecond)
		act()
		acted := time.Now()
		eventually(t, 30*time.Second, "every client streams again", func() bool {
			n := 0
			for _, f := range fs {
				f.mu.Lock()
				n += len(f.gaps)
				f.mu.Unlock()
			}
			return n >= len(fs)
		})
		// Direct paths are switched off: a ping that comes back went through the relay.
		eventually(t, 30*time.Second, "real clients reach each other again", func() bool {
			_, err := one.ping(two.ip4(), tailcfg.PingDisco, 5*time.Second)
			return err == nil
		})
		relayed := time.Since(acted)
		eventually(t, 30*time.Second, "the real clients stream too", func() bool {
			return s.metric("fairlead_map_streams") == float64(len(fs)+2)
		})
		streaming := time.Since(acted)
		k.end()
		asked, lost := stunned()
		j.end(s)
		// Longer than the grace: who was thought to be away would be told as such by now.
		if what == "upgrade" {
			time.Sleep(11 * time.Second)
		}
		r := report(fs)
		if len(r.offline) > 0 && what == "upgrade" {
			t.Errorf("peers were told: %.200s", strings.Join(r.offline, ", "))
		}
		t.Logf("%s: %d clients, without a stream median %v, longest %v, refused %d; %d connections, longest %v, "+
			"%d failed; %d nodes joined meanwhile, %d tries again; relayed ping after %v, all stream after %v; STUN asked %d times, %d lost", what, len(fs), r.median,
			r.max, r.refused, k.asked.Load(), k.longest, len(k.faults), len(j.joined), j.again, relayed, streaming, asked, lost)
		if what == "upgrade" {
			if r.reconnects != len(fs) {
				t.Errorf("%d reconnects of %d clients", r.reconnects, len(fs))
			}
			if lost > 0 {
				t.Errorf("%d of %d STUN requests were not answered", lost, asked)
			}
			if r.refused > 0 {
				t.Errorf("%d connections of clients were refused", r.refused)
			}
			for _, f := range k.faults {
				if strings.Contains(f, "refused") {
					t.Errorf("refused: %s", f)
				}
			}
		}
		return r
	}
	measure("upgrade", func() {
		r := s.restart()
		t.Logf("upgrade: %d ms, of which new connections waited %d ms", r.MS, r.PausedMS)
	})
	for _, n := range s.nodes() {
		if was, ok := before[n.ID]; ok && was != n.Name+fmt.Sprint(n.Addresses) {
			t.Errorf("node %s was %s and is %+v", n.ID, was, n)
		}
		delete(before, n.ID)
	}
	if len(before) > 0 {
		t.Errorf("lost: %v", before)
	}
	measure("ordinary", func() {
		s.stop()
		s.start()
	})
}

// Whatever is wrong with the new one, the old one goes on, its streams are not cut, and the reason is said.
func TestRestartThatFails(t *testing.T) {
	config := filepath.Join(t.TempDir(), "config.yaml")
	writeFile(t, config, "log:\n  level: info\n")
	s := newRestartServer(t, "--config", config)
	good := s.bin + ".good"
	copyFile(t, s.bin, good)
	s.start()
	key := s.newKey("--reusable").Key
	n := newLightNode(s, "stays")
	defer n.close()
	if err := n.join(ctxFor(t, 10*time.Second), key); err != nil {
		t.Fatal(err)
	}
	pid := s.pid()
	database := filepath.Join(s.dir, "fairlead.db")
	schema := strings.TrimSpace(sqlite(t, database, "PRAGMA user_version"))
	version, _ := strconv.Atoi(schema)
	cases := []struct {
		name       string
		spoil, fix func()
		words      []string
	}{
		{"configuration", func() { writeFile(t, config, "log:\n  level: loud\n") },
			func() { writeFile(t, config, "log:\n  level: info\n") }, []string{"config.yaml", "line 2"}},
		{"certificate", func() {
			writeFile(t, config, "metrics_listen_addr: 127.0.0.1:1\n"+
				"tls_cert_path: /nonexistent/cert\ntls_key_path: /nonexistent/key\n")
		},
			func() { writeFile(t, config, "log:\n  level: info\n") }, []string{"/nonexistent/"}},
		{"no program", func() { _ = os.Remove(s.bin) }, func() { copyFile(t, good, s.bin) },
			[]string{"cannot be run", s.bin}},
		{"another program", func() {
			_ = os.Remove(s.bin)
			writeFile(t, s.bin, "#!/bin/sh\nexit 3\n")
			_ = os.Chmod(s.bin, 0o755)
		}, func() { copyFile(t, good, s.bin) }, []string{"ended before it could serve"}},
		{"newer database", func() { sqlite(t, database, "PRAGMA user_version=999") },
			func() { sqlite(t, database, "PRAGMA user_version="+schema) }, []string{"newer fairlead"}},
		{"migration", func() { sqlite(t, database, fmt.Sprintf("PRAGMA user_version=%d", version-1)) },
			func() { sqlite(t, database, "PRAGMA user_version="+schema) }, []string{"migration"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			c.spoil()
			// The command itself is the good one.
			cmd := exec.Command(good, "restart", "--socket", s.socket)
			out, err := cmd.CombinedOutput()
			c.fix()
			if err == nil {
				t.Fatalf("it took over: %s", out)
			}
			wantWords(t, string(out), c.words...)
			if s.pid() != pid || s.lockPID() != pid {
				t.Errorf("the data directory belongs to %d, the server was %d", s.lockPID(), pid)
			}
			if n.ended() != nil {
				t.Errorf("a stream was cut: %v", n.ended())
			}
			other := newLightNode(s, "after-"+strings.ReplaceAll(c.name, " ", "-"))
			defer other.close()
			if err := other.join(ctxFor(t, 10*time.Second), key); err != nil {
				t.Errorf("nobody can join: %v", err)
			}
			eventually(t, 5*time.Second, "the stream goes on", func() bool { return n.peerNamed(other.hostname) != nil })
			left, _ := filepath.Glob(filepath.Join(s.dir, "*rehearsal*"))
			if len(left) > 0 {
				t.Errorf("left over: %v", left)
			}
		})
	}
	s.restart()
	if s.nodeNamed("stays") == nil {
		t.Error("a node is lost")
	}
}

// takeOver runs `fairlead serve --takeover`; the process and its output.
func (s *server) takeOver(env ...string) (*exec.Cmd, *logBuffer, chan error) {
	s.t.Helper()
	a := append(s.args(), "--takeover")
	cmd := exec.Command(a[0], a[1:]...)
	log := &logBuffer{}
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = append(os.Environ(), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	return cmd, log, done
}

// By hand: several at once; a server that does not answer; none at all.
func TestTakeover(t *testing.T) {
	s := newRestartServer(t)
	// None runs: it is an ordinary start.
	cmd, _, done := s.takeOver()
	defer func() {
		_ = cmd.Process.Kill()
		<-done
	}()
	up := func() bool {
		out, err := s.tryCLI("users", "list")
		return err == nil && strings.Contains(out, "admin")
	}
	eventually(t, 20*time.Second, "it serves", up)
	wantWords(t, s.startFails(), "in use by another fairlead", strconv.Itoa(cmd.Process.Pid))

	// It hangs: the new one gives up, and it goes on when it can.
	_ = cmd.Process.Signal(syscall.SIGSTOP)
	hung, log, failed := s.takeOver()
	select {
	case <-failed:
		wantWords(t, log.String(), "does not answer", strconv.Itoa(cmd.Process.Pid))
	case <-time.After(30 * time.Second):
		_ = hung.Process.Kill()
		t.Fatal("waits for a server that hangs")
	}
	_ = cmd.Process.Signal(syscall.SIGCONT)
	eventually(t, 20*time.Second, "it serves again", up)

	// Several at once: each takes over from one before it, or is told that another one does; one serves.
	type rival struct {
		cmd  *exec.Cmd
		log  *logBuffer
		done chan error
	}
	rivals := []rival{}
	for range 4 {
		c, l, d := s.takeOver()
		rivals = append(rivals, rival{c, l, d})
	}
	time.Sleep(3 * time.Second)
	eventually(t, 20*time.Second, "one serves", up)
	alive, refused := 0, 0
	for _, r := range rivals {
		select {
		case err := <-r.done:
			if err != nil {
				wantWords(t, r.log.String(), "another server is taking over already")
				refused++
			}
			r.done <- err
		default:
			alive++
			if r.cmd.Process.Pid != s.lockPID() {
				t.Errorf("process %d runs, the data directory belongs to %d", r.cmd.Process.Pid, s.lockPID())
			}
		}
	}
	t.Logf("of %d, %d were told that another one takes over", len(rivals), refused)
	if alive != 1 {
		t.Errorf("%d servers run", alive)
	}
	for _, r := range rivals {
		_ = r.cmd.Process.Signal(syscall.SIGTERM)
		<-r.done
	}
	if _, err := os.Stat(filepath.Join(s.dir, "handover.sock")); err == nil {
		t.Error("a socket is left over")
	}
}

// kill -9 of either process at every moment: one of the two serves, or the next start does; nothing is lost.
func TestRestartKilled(t *testing.T) {
	s := newRestartServer(t, "--limits-half-open-per-source", "100000")
	s.start()
	key := s.newKey("--reusable").Key
	s.fill(10000) // so that loading takes a while
	begin := time.Now()
	took := s.restart().MS
	t.Logf("a restart takes %d ms, %v with the command", took, time.Since(begin))
	ends := map[string]int{}
	const rounds = 16
	for i := range rounds {
		victim := []string{"new", "old"}[i%2]
		j := joinOn(s, key, fmt.Sprintf("k%02d", i))
		time.Sleep(50 * time.Millisecond)
		old := s.pid()
		known := len(s.challengers())
		answered := make(chan error, 1)
		go func() {
			_, err := s.tryCLI("restart")
			answered <- err
		}()
		eventually(t, 10*time.Second, "a new process is there", func() bool { return len(s.challengers()) > known })
		young := s.challengers()[known]
		time.Sleep(time.Duration(took*(i/2)/(rounds/2-2)) * time.Millisecond)
		killed := young
		if victim == "old" {
			killed = old
		}
		_ = syscall.Kill(killed, syscall.SIGKILL)
		<-answered
		survivor := old + young - killed
		// Whoever is left serves; if the old one has left already, nobody is, and a start is due.
		serves := false
		for end := time.Now().Add(15 * time.Second); !serves && time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
			_, err := s.tryCLI("users", "list")
			serves = err == nil && isRunning(survivor) && s.lockPID() == survivor
			if !isRunning(survivor) && !isRunning(killed) {
				break
			}
		}
		switch {
		case serves && survivor == young:
			ends[victim+" killed, the new one serves"]++
			s.adopt(young)
		case serves:
			ends[victim+" killed, the old one serves"]++
		case isRunning(survivor):
			t.Fatalf("round %d: process %d runs and does not serve\n%s", i, survivor, s.log.String())
		default:
			ends[victim+" killed, none left"]++
			s.start()
		}
		j.end(s)
		if t.Failed() {
			t.Fatalf("in round %d, %s killed", i, victim)
		}
	}
	s.stop()
	if got := strings.TrimSpace(sqlite(t, filepath.Join(s.dir, "fairlead.db"), "PRAGMA integrity_check")); got != "ok" {
		t.Errorf("integrity: %s", got)
	}
	t.Log(ends)
	if ends["new killed, the old one serves"] == 0 || ends["old killed, the new one serves"] == 0 {
		t.Errorf("no round hit the middle: %v", ends)
	}
}

func isRunning(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(b), ") ")
	return !strings.HasPrefix(rest, "Z") && !strings.HasPrefix(rest, "X")
}

var makesReady = regexp.MustCompile(`makes itself ready" pid=(\d+)`)

// challengers are the processes that wanted to take over, as far as they said so.
func (s *server) challengers() (pids []int) {
	if s.log == nil {
		return nil
	}
	for _, m := range makesReady.FindAllStringSubmatch(s.log.String(), -1) {
		pid, _ := strconv.Atoi(m[1])
		pids = append(pids, pid)
	}
	return pids
}

// Under systemd: the old process says who is the service, the new one that it is ready; nobody else may take over.
func TestRestartUnderSystemd(t *testing.T) {
	s := newRestartServer(t)
	path := filepath.Join(t.TempDir(), "notify")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	next := func() string {
		t.Helper()
		b := make([]byte, 1024)
		_ = l.SetReadDeadline(time.Now().Add(10 * time.Second))
		n, err := l.Read(b)
		if err != nil {
			t.Fatalf("systemd was told nothing: %v", err)
		}
		return string(b[:n])
	}
	s.prefix = []string{"env", "NOTIFY_SOCKET=" + path}
	s.start()
	wantWords(t, next(), "READY=1")
	s.prefix = nil
	wantWords(t, s.takeoverFails("NOTIFY_SOCKET="+path), "service manager", "fairlead restart")
	r := s.restart()
	wantWords(t, next(), fmt.Sprintf("MAINPID=%d", r.PID))
	wantWords(t, next(), "READY=1")
	stopped := make(chan struct{})
	go func() {
		s.stop()
		close(stopped)
	}()
	wantWords(t, next(), "STOPPING=1")
	<-stopped
}

func (s *server) takeoverFails(env ...string) string {
	s.t.Helper()
	cmd, log, done := s.takeOver(env...)
	select {
	case err := <-done:
		if err == nil {
			s.t.Error("it ended as if all were well")
		}
	case <-time.After(15 * time.Second):
		_ = cmd.Process.Kill()
		s.t.Fatal("it runs")
	}
	return log.String()
}

// A server that dropped root keeps a port that only root may open.
func TestRestartAfterDroppedRoot(t *testing.T) {
	needRoot(t)
	s := newRestartServer(t, "--user", "nobody")
	for d := filepath.Dir(s.dir); d != "/" && d != "/tmp"; d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	s.socket = filepath.Join(filepath.Dir(s.dir), "run", "s")
	for port := 900; port < 1000; port++ {
		if l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			l.Close()
			s.http, s.url = port, fmt.Sprintf("http://127.0.0.1:%d", port)
			break
		}
	}
	s.start()
	for range 2 {
		s.restart()
		if res, _ := s.get(t, "/health"); res.StatusCode != 200 {
			t.Errorf("/health answers %s", res.Status)
		}
		var st syscall.Stat_t
		if err := syscall.Stat(fmt.Sprintf("/proc/%d", s.pid()), &st); err != nil || st.Uid == 0 {
			t.Errorf("the new process runs as %d: %v", st.Uid, err)
		}
	}
	s.stop()
}
