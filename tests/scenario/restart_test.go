// Proves the graceful restart: a new process takes sockets and database from the old one, nobody is refused, every
// client reconnects once, no peer hears of it, nothing is lost; and whatever fails leaves one server serving.
package scenario

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
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
