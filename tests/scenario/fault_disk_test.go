// Proves what happens when the disk fails: power is cut in storms of registrations, it is full, slow, read-only, it
// fails while an old database is migrated. Nothing acknowledged is lost, connected nodes notice nothing.
package scenario

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"tailscale.com/derp"
)

// fileIdentity is a file's name in the image of fault.c.
func fileIdentity(path string) string {
	var x unix.Statx_t
	if unix.Statx(unix.AT_FDCWD, path, 0, unix.STATX_INO|unix.STATX_BTIME, &x) != nil {
		return ""
	}
	return fmt.Sprintf("I%d.%d%09d", x.Ino, x.Btime.Sec, x.Btime.Nsec)
}

// mixed is what a disk may hold of a file when some of what was written since its sync has reached it.
func mixed(synced, written []byte) []byte {
	const sector = 512
	out := append([]byte{}, synced...)
	if rand.IntN(2) == 0 {
		out = append([]byte{}, written...)
	}
	for at := 0; at < len(out); at += sector {
		from := synced
		if rand.IntN(2) == 0 {
			from = written
		}
		part := out[at:min(at+sector, len(out))]
		clear(part)
		if at < len(from) {
			copy(part, from[at:])
		}
	}
	return out
}

// cutPower leaves in the data directory of a killed server what was synced, and, if isMixed, some of what was not.
func (f *faults) cutPower(isMixed bool) {
	f.t.Helper()
	names, err := os.ReadFile(filepath.Join(f.image, "names"))
	if err != nil {
		f.t.Fatal(err)
	}
	left := map[string][]byte{}
	for _, line := range strings.Split(strings.TrimSpace(string(names)), "\n") {
		id, name, _ := strings.Cut(line, " ")
		path := filepath.Join(f.dir, name)
		b, _ := os.ReadFile(filepath.Join(f.image, "I"+id)) // never synced: empty
		if written, err := os.ReadFile(path); err == nil && isMixed && fileIdentity(path) == "I"+id {
			b = mixed(b, written)
		}
		left[name] = b
	}
	for _, dir := range []string{f.dir, f.image} {
		if err := os.RemoveAll(dir); err != nil {
			f.t.Fatal(err)
		}
		if err := os.Mkdir(dir, 0o700); err != nil {
			f.t.Fatal(err)
		}
	}
	for name, b := range left {
		if err := os.WriteFile(filepath.Join(f.dir, name), b, 0o600); err != nil {
			f.t.Fatal(err)
		}
	}
}

// TestPowerCutInMidStorm: every registration that was answered is there after power failed, with its address.
func TestPowerCutInMidStorm(t *testing.T) {
	t.Parallel()
	f := newFaultServer(t, true, "--limits-half-open-per-source", "100000")
	f.start()
	r := newRegistrations(t, f.server)
	rounds := deathRounds(t, 8)
	for round := range rounds {
		r.round(40)
		f.cutPower(round%2 == 1)
		f.integrity()
		f.start()
	}
	if again, err := serverKey(context.Background(), f.plain()); err != nil || again != r.identity {
		t.Fatalf("the server has another key than before: %v", err)
	}
	r.check(t, rounds)
}

// audience is some healthy clients: their streams must not end, changes and relayed packets must go on arriving.
type audience struct {
	f      *faults
	nodes  []*lightNode
	relays []*derp.Client
	got    chan string
	serial uint16
}

func newAudience(f *faults, n int) *audience {
	t := f.t.(*testing.T)
	a := &audience{f: f, nodes: joinMany(t, f.server, f.newKey("--reusable").Key, n), got: make(chan string, 16)}
	for i := range 2 {
		dc, c, err := relayPlain(f.server, "127.0.0.1", a.nodes[i].node)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		a.relays = append(a.relays, dc)
	}
	go func() {
		for {
			m, err := a.relays[1].Recv()
			if err != nil {
				return
			}
			if p, ok := m.(derp.ReceivedPacket); ok {
				a.got <- string(p.Data)
			}
		}
	}()
	return a
}

// check makes a change and relays a packet, and returns what took longest.
func (a *audience) check(when string) time.Duration {
	a.f.t.Helper()
	a.serial++
	want := endpointOf(a.serial)
	begin := time.Now()
	if err := a.relays[0].Send(a.nodes[1].node.Public(), []byte(when)); err != nil {
		a.f.t.Fatalf("%s: the relay takes nothing: %v", when, err)
	}
	select {
	case p := <-a.got:
		if p != when {
			a.f.t.Errorf("%s: relayed %q", when, p)
		}
	case <-time.After(10 * time.Second):
		a.f.t.Fatalf("%s: a packet was not relayed", when)
	}
	err := bounded(10*time.Second, func(ctx context.Context) error { return a.nodes[0].update(ctx, withEndpoint(want)) })
	if err != nil {
		a.f.t.Fatalf("%s: a change of endpoints is refused: %v", when, err)
	}
	eventually(a.f.t, 10*time.Second, when+": all see a change", func() bool {
		for _, n := range a.nodes[1:] {
			if !hasEndpoint(n, a.nodes[0].hostname, want) {
				return false
			}
		}
		return true
	})
	took := time.Since(begin)
	for _, n := range a.nodes {
		if err := n.ended(); err != nil {
			a.f.t.Errorf("%s: the stream of %s ended: %v", when, n.hostname, err)
		}
	}
	return took
}

func joinOnce(f *faults, hostname, key string) (*lightNode, error) {
	n := newLightNode(f.server, hostname)
	defer n.close()
	return n, bounded(10*time.Second, func(ctx context.Context) error { return n.join(ctx, key) })
}

// TestDiskFails: hard changes are refused with words, the rest goes on, and all is well as soon as the disk is.
func TestDiskFails(t *testing.T) {
	t.Parallel()
	f := newFaultServer(t, false)
	f.start()
	a := newAudience(f, 20)
	k := f.newKey("--reusable").Key
	rounds := []struct {
		e                   syscall.Errno
		words, what, advice string
	}{
		{syscall.ENOSPC, "disk is full", "a full disk", "free some space"},
		{syscall.EROFS, "cannot write its database", "a read-only disk", "look at its disk"},
		{syscall.EIO, "cannot write its database", "a bad disk", "look at its disk"},
	}
	for round, r := range rounds {
		before := len(f.log.String())
		f.lasting(r.e)
		for i := range 5 {
			_, err := joinOnce(f, fmt.Sprintf("late-%d-%d", round, i), k)
			if err == nil || !strings.Contains(err.Error(), "503") || !strings.Contains(err.Error(), r.words) {
				t.Errorf("a join on %s: %v", r.what, err)
			}
			_, err = f.tryCLI("keys", "create")
			if err == nil || !strings.Contains(err.Error(), r.words) || !strings.Contains(err.Error(), r.advice) {
				t.Errorf("a new key on %s: %v", r.what, err)
			}
			if took := a.check(fmt.Sprintf("%s %d", r.what, i)); took > time.Second {
				t.Errorf("a change took %v on %s", took, r.what)
			}
		}
		if round == 0 { // what nodes report is written after a while, and tried again
			time.Sleep(2500 * time.Millisecond)
			a.check("still full")
		}
		if logged := f.printed(before); strings.Count(logged, "\n") > 40 || !strings.Contains(logged, r.words) {
			t.Errorf("the log of %s:\n%s", r.what, logged)
		}
		f.lasting(0)
		if _, err := joinOnce(f, fmt.Sprintf("late-%d", round), k); err != nil {
			t.Errorf("no longer %s, but: %v", r.what, err)
		}
		f.newKey()
		a.check("no longer " + r.what)
	}
	f.stop()
	f.integrity()
	out := sqlite(t, f.database(), "SELECT endpoints FROM node_state JOIN nodes ON id = node_id WHERE name = 'light-000'")
	if !strings.Contains(out, endpointOf(a.serial).String()) {
		t.Errorf("what a node reported was never written: %s", out)
	}
	f.start()
	if nodes, _ := f.state(); len(nodes) != 20+len(rounds) {
		t.Errorf("%d nodes, want %d", len(nodes), 20+len(rounds))
	}
}

// TestSlowDisk: half a second for each sync delays joins, and nothing else.
func TestSlowDisk(t *testing.T) {
	t.Parallel()
	f := newFaultServer(t, false)
	f.start()
	a := newAudience(f, 20)
	k := f.newKey("--reusable").Key
	f.set(faultSyncMS, 500)
	begin := time.Now()
	done := make(chan error, 1)
	go func() {
		done <- parallel(40, 40, func(i int) error {
			_, err := joinOnce(f, fmt.Sprintf("slow-%02d", i), k)
			return err
		})
	}()
	worst, checks := time.Duration(0), 0
	for joined := false; !joined; {
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("a join on a slow disk: %v", err)
			}
			joined = true
		default:
			worst = max(worst, a.check(fmt.Sprintf("slow %d", checks)))
			checks++
		}
	}
	took := time.Since(begin)
	t.Logf("40 joins in %v; %d changes and packets meanwhile, the slowest took %v", took.Round(time.Millisecond), checks,
		worst.Round(time.Millisecond))
	// Who waits together is written together.
	if took < 500*time.Millisecond || took > 5*time.Second {
		t.Errorf("40 joins took %v", took)
	}
	if worst > 400*time.Millisecond {
		t.Errorf("a change waited %v for a disk that it does not need", worst)
	}
	f.set(faultSyncMS, 0)
}

// TestBadDiskAtStart: a disk that cannot be written is one sentence, for a new server and for one that was there.
func TestBadDiskAtStart(t *testing.T) {
	t.Parallel()
	f := newFaultServer(t, false)
	fails := func(name string, e syscall.Errno, words ...string) {
		t.Run(name, func(t *testing.T) {
			f.lasting(e)
			defer f.lasting(0)
			wantWords(t, f.startFails(), append(words, f.dir)...)
		})
	}
	fails("new and read-only", syscall.EROFS, "Read-only file system")
	fails("new and full", syscall.ENOSPC, "No space left")
	f.start()
	k := f.newKey("--reusable").Key
	if _, err := joinOnce(f, "first", k); err != nil {
		t.Fatal(err)
	}
	for _, end := range []func(){func() { f.stop() }, f.kill} {
		end()
		fails("there and read-only", syscall.EROFS, "Read-only file system")
		fails("there and full", syscall.ENOSPC, "No space left")
		f.start()
		if nodes, _ := f.state(); len(nodes) != 1 {
			t.Fatalf("%d nodes after the disk was bad", len(nodes))
		}
	}
}

// oldData makes the data directory of a server of the first release: keys of now, the first schema, some rows.
func oldData(t *testing.T) string {
	t.Helper()
	s := startServer(t)
	s.stop()
	for _, old := range []string{"fairlead.db", "fairlead.db-wal", "fairlead.db-shm"} {
		_ = os.Remove(filepath.Join(s.dir, old))
	}
	first, err := os.ReadFile("../../migrations/0001_first.sql")
	if err != nil {
		t.Fatal(err)
	}
	rows := `
INSERT INTO tailnets VALUES (1, 'default', 1700000000);
INSERT INTO users VALUES (1, 1, 'admin', '', 'owner', 1700000000), (2, 1, 'ann', 'Ann', 'member', 1700000001);
INSERT INTO auth_keys VALUES ('kOld', 1, 2, randomblob(32), 'old', '[]', 1, 0, 1, 1700000000, 0, 0, 0, 30);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 30)
INSERT INTO nodes (id, tailnet_id, user_id, machine_key, node_key, name, is_name_given, ip4, ip6, tags, created_unix_s,
  key_expiry_unix_s, is_ephemeral, is_authorized, authkey_id)
  SELECT i, 1, 2, randomblob(32), randomblob(32), 'old-' || i, 0, '100.64.0.' || i, printf('fd7a:115c:a1e0::%x', i), '[]',
  1700000000, 0, 0, 1, 'kOld' FROM n;
INSERT INTO node_state SELECT id, '{}', zeroblob(32), '[]', 0, 113, 1700000000, 0 FROM nodes;
`
	sqlite(t, filepath.Join(s.dir, "fairlead.db"), "PRAGMA application_id=0x464c4544", "PRAGMA user_version=1",
		"PRAGMA journal_mode=WAL", string(first), rows)
	return s.dir
}

// schemas are what the database looks like after each migration.
func schemas(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("../../migrations/*.sql")
	if err != nil || len(files) < 3 {
		t.Fatalf("migrations: %v %v", files, err)
	}
	list, path := []string{""}, filepath.Join(t.TempDir(), "schema.db")
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		sqlite(t, path, string(b))
		list = append(list, sqlite(t, path, schemaSQL))
	}
	return list
}

const schemaSQL = "SELECT type, name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%' ORDER BY type, name"

// rowsSQL are rows of the first release that no migration may lose.
const rowsSQL = "SELECT count(*), sum(id), count(DISTINCT ip4), count(DISTINCT node_key) FROM nodes;" +
	"SELECT id, name, role FROM users; SELECT id, uses FROM auth_keys; SELECT count(*) FROM node_state"

// TestMigrationFaults: the first call fails on the way from the oldest database to the newest, then the second ….
// Afterwards the database is of one version or the other, with all its rows, and the next start works.
func TestMigrationFaults(t *testing.T) {
	old, schema := oldData(t), schemas(t)
	rows := sqlite(t, filepath.Join(old, "fairlead.db"), rowsSQL)
	for _, w := range faultWays {
		if w.kind == kindStep && w.code != sqliteFull || w.code == int64(syscall.EIO) {
			continue // the same to a migration
		}
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			walkMigration(t, &w, old, rows, schema)
		})
	}
}

func walkMigration(t *testing.T, w *faultWay, old, rows string, schema []string) {
	f := newFaultServer(t, w.isCut)
	f.set(faultDepth, 3)
	begin := time.Now()
	versions := map[string]int{}
	n := int64(1)
	for ; n < 3000; n++ {
		if err := os.RemoveAll(f.dir); err != nil {
			t.Fatal(err)
		}
		if err := os.CopyFS(f.dir, os.DirFS(old)); err != nil {
			t.Fatal(err)
		}
		before := len(f.log.String())
		if w.kind == kindAllocation {
			f.set(faultGate, 1) // from the first SQL step on
			f.arm(w.kind, 0, 0)
		} else {
			f.arm(w.kind, n, w.code)
		}
		isUp := f.startMayFail()
		if !f.disarm() {
			break
		}
		said := f.printed(before)
		if !isUp && !w.isCut && !migrationWords.MatchString(said) {
			t.Errorf("%d: the server ended without clear words: %s", n, said)
		}
		f.kill()
		if w.isCut {
			f.cutPower(n%2 == 0)
		}
		version, left, _ := strings.Cut(sqlite(t, f.database(), "PRAGMA user_version", "PRAGMA integrity_check",
			"PRAGMA foreign_key_check", rowsSQL, schemaSQL), "\n")
		versions[version]++
		v, err := strconv.Atoi(version)
		if err != nil || v < 1 || v >= len(schema) || left != "ok\n"+rows+schema[v] {
			t.Errorf("%d: this is neither of the old nor of the new version: %s\n%s", n, version, left)
		}
		if !f.startMayFail() {
			t.Errorf("%d: the next start fails", n)
		} else if nodes, _ := f.state(); len(nodes) != 30 {
			t.Errorf("%d: %d nodes", n, len(nodes))
		}
		f.kill()
		if t.Failed() {
			t.Fatalf("after failure %d; printed:\n%s", n, f.printed(before))
		}
	}
	f.kill()
	t.Logf("%d failures; the version was then %v; %v", n-1, versions, time.Since(begin).Round(time.Millisecond))
	if int(n) <= w.least {
		t.Errorf("only %d failures", n-1)
	}
}
