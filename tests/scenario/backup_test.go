// Proves backup and restore: a killed server comes back elsewhere and its clients by themselves, a backup made in a
// storm of registrations is whole, and a bad one is refused in words.
package scenario

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"tailscale.com/tailcfg"
)

// offline runs a subcommand that needs no server.
func offline(s *server, stdin []byte, args ...string) (string, error) {
	cmd := exec.Command(s.bin, args...)
	cmd.Stdin = bytes.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// elsewhere is a server on the same ports with another data directory, from the same binary.
func (s *server) elsewhere(dir string) *server {
	s.t.Helper()
	moved := newServer(s.t, s.flags...)
	moved.https, moved.http, moved.stun, moved.url, moved.dir = s.https, s.http, s.stun, s.url, dir
	return moved
}

type identity struct {
	id        tailcfg.StableNodeID
	addresses string
}

func identityOf(n *node) identity {
	st := n.status()
	return identity{st.Self.ID, fmt.Sprint(st.Self.TailscaleIPs)}
}

func TestBackupRestoredElsewhere(t *testing.T) {
	relayOnly(t)
	s := startServer(t)
	k := s.newKey("--reusable").Key
	a, b := joinedNode(t, s, "alpha", k), joinedNode(t, s, "beta", k)
	s.cli("nodes", "rename", "beta", "gamma")
	before := map[*node]identity{a: identityOf(a), b: identityOf(b)}
	_, keyBefore := s.get(t, "/key?v=130")

	file := filepath.Join(t.TempDir(), "backup.tar")
	if out := s.cli("backup", file); !strings.Contains(out, "checked") {
		t.Errorf("backup said %q", out)
	}
	if st, err := os.Stat(file); err != nil || st.Mode().Perm() != 0o600 {
		t.Fatalf("mode of the backup: %v %v", st, err)
	}
	s.kill()

	dir := filepath.Join(t.TempDir(), "new")
	out, err := offline(s, nil, "restore", file, "--data-dir", dir)
	if err != nil {
		t.Fatalf("restore: %v\n%s", err, out)
	}
	wantWords(t, out, "Restored", dir, "config.restored.yaml")
	if out, err := offline(s, nil, "config", "check", filepath.Join(dir, "config.restored.yaml")); err != nil {
		t.Errorf("the restored configuration is not good: %s", out)
	}
	begin := time.Now()
	moved := s.elsewhere(dir)
	moved.start()
	if _, key := moved.get(t, "/key?v=130"); key != keyBefore {
		t.Fatalf("another key: %s, was %s", key, keyBefore)
	}
	eventually(t, 60*time.Second, "both nodes are online again by themselves", func() bool {
		online := 0
		for _, n := range moved.nodes() {
			if n.Online {
				online++
			}
		}
		return online == 2
	})
	t.Logf("both online %v after the start", time.Since(begin).Round(time.Millisecond))
	for n, want := range before {
		if got := identityOf(n); got != want {
			t.Errorf("%s was %v and is %v", n.ts.Hostname, want, got)
		}
	}
	if moved.nodeNamed("gamma") == nil {
		t.Error("the name given before the backup is gone")
	}
	eventually(t, 60*time.Second, "they reach each other through the relay", func() bool {
		r, err := a.ping(b.ip4(), tailcfg.PingDisco, 3*time.Second)
		return err == nil && r.Err == ""
	})

	// The restored server can be backed up, and that restored again, through pipes.
	second, err := exec.Command(s.bin, "backup", "-", "--socket", moved.socket).Output()
	if err != nil {
		t.Fatalf("backup to a pipe: %v", err)
	}
	third := filepath.Join(t.TempDir(), "third")
	if out, err := offline(s, second, "restore", "-", "--data-dir", third); err != nil {
		t.Fatalf("restore from a pipe: %v\n%s", err, out)
	}
}

// What must be refused, with what words, and what is left then.
func TestRestoreRefusals(t *testing.T) {
	s := startServer(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "b")
	s.cli("backup", file)
	good, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	database := bytes.Index(good, []byte("SQLite format 3"))
	if database < 0 {
		t.Fatal("no database in the backup")
	}
	damaged := bytes.Clone(good)
	damaged[database+5000] ^= 1
	renamed := bytes.Clone(good)
	copy(renamed[bytes.Index(renamed, []byte("data/noise")):], "data/../..")
	for _, c := range []struct {
		name  string
		bytes []byte
		words []string
	}{
		{"cut off", good[:len(good)-3000], []string{"cut off", "data/fairlead.db"}},
		{"only its head", good[:512], []string{"cut off"}},
		{"without its last block", good[:len(good)-512], []string{"cut off"}},
		{"damaged", damaged, []string{"damaged", "data/fairlead.db"}},
		{"another name", renamed, []string{"damaged", "table of contents"}},
		{"something else", []byte(strings.Repeat("hello ", 1000)), []string{"not a backup"}},
		{"empty", nil, []string{"not a backup"}},
		{"more behind it", append(bytes.Clone(good), good...), []string{"damaged", "its end"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			to := filepath.Join(dir, "to")
			out, err := offline(s, c.bytes, "restore", "-", "--data-dir", to)
			if err == nil {
				t.Fatalf("restored: %s", out)
			}
			wantWords(t, out, c.words...)
			if strings.Count(strings.TrimSpace(out), "\n") != 0 {
				t.Errorf("more than a sentence: %s", out)
			}
			if _, err := os.Stat(to); err == nil {
				t.Error("a data directory was left")
			}
		})
	}
	t.Run("running server", func(t *testing.T) {
		for _, force := range []string{"--force=false", "--force"} {
			out, err := offline(s, good, "restore", "-", "--data-dir", s.dir, force)
			if err == nil {
				t.Fatal("restored under a running server")
			}
			wantWords(t, out, "in use", fmt.Sprint(s.pid()))
		}
	})
	t.Run("not empty", func(t *testing.T) {
		to := filepath.Join(dir, "full")
		writeFile(t, filepath.Join(mkdir(t, to), "precious"), "mine")
		out, err := offline(s, good, "restore", "-", "--data-dir", to)
		if err == nil {
			t.Fatal("restored over something")
		}
		wantWords(t, out, "not empty", "--force")
		if out, err := offline(s, damaged, "restore", "-", "--data-dir", to, "--force"); err == nil {
			t.Fatalf("restored a damaged one: %s", out)
		}
		if b, err := os.ReadFile(filepath.Join(to, "precious")); err != nil || string(b) != "mine" {
			t.Fatalf("a refused restore took the file away: %v", err)
		}
		if out, err := offline(s, good, "restore", "-", "--data-dir", to, "--force"); err != nil {
			t.Fatalf("--force: %v\n%s", err, out)
		}
		kept, _ := filepath.Glob(filepath.Join(to, "before-restore-*", "precious"))
		if len(kept) != 1 {
			t.Fatal("what stood there is not kept")
		}
	})
	t.Run("interrupted", func(t *testing.T) {
		to := filepath.Join(dir, "between")
		mkdir(t, filepath.Join(to, "restore.part"))
		between := s.elsewhere(to)
		between.http, between.https, between.stun = freePort(t, "tcp"), freePort(t, "tcp"), freePort(t, "udp")
		wantWords(t, between.startFails(), "did not come to its end", "--force")
		if out, err := offline(s, good, "restore", "-", "--data-dir", to, "--force"); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		between.start()
		between.stop()
	})
	t.Run("over the network", func(t *testing.T) {
		res, body := s.get(t, "/api/fairlead/v1/backup")
		if res.StatusCode != 401 && res.StatusCode != 403 {
			t.Errorf("%d %.200s", res.StatusCode, body)
		}
	})
	t.Run("file that cannot be written", func(t *testing.T) {
		if _, err := s.tryCLI("backup", filepath.Join(dir, "no", "such", "b")); err == nil ||
			!strings.Contains(err.Error(), "cannot make") {
			t.Errorf("said %v", err)
		}
		left, _ := filepath.Glob(file + ".*")
		if len(left) != 0 {
			t.Errorf("left behind: %v", left)
		}
	})
}

func mkdir(t *testing.T, path string) string {
	t.Helper()
	if err := os.MkdirAll(path, 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

// Backups in a storm: whoever had joined before one began is in it, and everybody in it is complete.
func TestBackupInStorm(t *testing.T) {
	s := startServer(t)
	k := s.newKey("--reusable").Key
	const count = 300
	var mu sync.Mutex
	joined := map[string]string{} // name -> addresses
	done := make(chan error, 1)
	go func() {
		done <- parallel(count, 8, func(i int) error {
			n := newLightNode(s, fmt.Sprintf("storm-%03d", i))
			defer n.close()
			ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
			defer cancel()
			if err := n.join(ctx, k); err != nil {
				return err
			}
			mu.Lock()
			joined[n.hostinfo.Hostname] = fmt.Sprint(addrs(n.selfNode().Addresses))
			mu.Unlock()
			return nil
		})
	}()
	type shot struct {
		file   string
		before map[string]string
	}
	var shots []shot
	dir := t.TempDir()
	for i := range 4 {
		eventually(t, 30*time.Second, "the storm goes on", func() bool {
			mu.Lock()
			defer mu.Unlock()
			return len(joined) >= (i+1)*count/6
		})
		mu.Lock()
		before := make(map[string]string)
		for name, a := range joined {
			before[name] = a
		}
		mu.Unlock()
		file := filepath.Join(dir, fmt.Sprint("b", i))
		s.cli("backup", file)
		shots = append(shots, shot{file, before})
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	s.kill()
	for i, shot := range shots {
		data := filepath.Join(dir, fmt.Sprint("d", i))
		if out, err := offline(s, nil, "restore", shot.file, "--data-dir", data); err != nil {
			t.Fatalf("restore: %v\n%s", err, out)
		}
		moved := s.elsewhere(data)
		moved.start()
		seen := map[string]bool{}
		for _, n := range moved.nodes() {
			seen[n.Name] = true
			if len(n.Addresses) != 2 || n.User == "" || n.ID == "" {
				t.Errorf("backup %d: node %+v is not complete", i, n)
			}
			if want, ok := shot.before[n.Name]; ok && want != fmt.Sprint(n.Addresses) {
				t.Errorf("backup %d: %s has %v, was given %s", i, n.Name, n.Addresses, want)
			}
		}
		for name := range shot.before {
			if !seen[name] {
				t.Errorf("backup %d: %s had joined before it and is not in it", i, name)
			}
		}
		t.Logf("backup %d: %d nodes had joined, %d are in it", i, len(shot.before), len(seen))
		if len(shot.before) == 0 || len(seen) == 0 {
			t.Error("nothing was proved")
		}
		moved.stop()
	}
}

func addrs(prefixes []netip.Prefix) (out []string) {
	for _, p := range prefixes {
		out = append(out, p.Addr().String())
	}
	return out
}
