// Proves what `fairlead doctor` finds inside: a damaged or doctored database, wrong modes, disks without room; and what the
// running server tells it.
package scenario

import (
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func writePEM(t *testing.T, path string, der []byte) {
	t.Helper()
	if _, err := x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}

// patient makes the data directory of a stopped server with users, keys, nodes and a policy, and copies of it.
func patient(t *testing.T) (copyOf func(t *testing.T) (dir, db string)) {
	t.Helper()
	s := startServer(t)
	s.setPolicy(k3sPolicy)
	joinMany(t, s, s.newKey("--reusable").Key, 5)
	s.stop()
	return func(t *testing.T) (string, string) {
		t.Helper()
		dir := filepath.Join(t.TempDir(), "data")
		if err := os.CopyFS(dir, os.DirFS(s.dir)); err != nil {
			t.Fatal(err)
		}
		for _, name := range strings.Fields(names(dir)) {
			if err := os.Chmod(filepath.Join(dir, name), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Chmod(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		return dir, filepath.Join(dir, "fairlead.db")
	}
}

func names(dir string) string {
	var list []string
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return strings.Join(list, " ")
}

func TestDoctorData(t *testing.T) {
	t.Parallel()
	copyOf := patient(t)
	t.Run("well", func(t *testing.T) {
		dir, db := copyOf(t)
		before, _ := os.ReadFile(db)
		files := names(dir)
		d := doctor(t, "--data-dir", dir)
		d.lacks("fail")
		d.lacks("warn", "clock/ntp", "disk-space", "disk-write")
		d.want("ok", "addresses", "10, each given once")
		d.want("ok", "load", "nodes: 5")
		d.want("ok", "policy", "version 1")
		if after, _ := os.ReadFile(db); string(after) != string(before) || names(dir) != files {
			t.Errorf("something was changed: %s, before %s", names(dir), files)
		}
	})
	sql := func(statements ...string) func(*testing.T, string, string) {
		return func(t *testing.T, _, db string) { sqlite(t, db, statements...) }
	}
	mode := func(file string, m os.FileMode) func(*testing.T, string, string) {
		return func(t *testing.T, dir, _ string) {
			if err := os.Chmod(filepath.Join(dir, file), m); err != nil {
				t.Fatal(err)
			}
		}
	}
	put := func(file, text string) func(*testing.T, string, string) {
		return func(t *testing.T, dir, _ string) { writeFile(t, filepath.Join(dir, file), text) }
	}
	_, db := copyOf(t)
	var version int
	fmt.Sscan(sqlite(t, db, "PRAGMA user_version"), &version)
	previous := itoa(version - 1)
	for _, c := range []struct {
		level, check, words string
		spoil               func(t *testing.T, dir, db string)
	}{
		{"fail", "database", "damaged", func(t *testing.T, dir, db string) { // pages in the middle
			f, err := os.OpenFile(db, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			st, _ := f.Stat()
			for at := int64(8 * 4096); at < st.Size()/2; at += 4096 {
				_, _ = f.WriteAt([]byte(strings.Repeat("spoilt! ", 512)), at)
			}
		}},
		{"fail", "database", "cannot be read", put("fairlead.db", strings.Repeat("this is no database ", 500))},
		{"fail", "database", "not there", func(t *testing.T, dir, db string) { _ = os.Remove(db) }},
		{"fail", "schema", "no database of fairlead", sql("PRAGMA application_id = 1")},
		{"fail", "schema", "newer fairlead", sql("PRAGMA user_version = 999")},
		{"fail", "load", "newer", sql("PRAGMA user_version = 999")},
		{"fail", "schema", "trigger nodes_set", sql("DROP TRIGGER nodes_set")},
		{"fail", "load", "would not start", sql("PRAGMA user_version = " + previous)},
		{"ok", "schema", "form ", sql("CREATE TABLE somebodys (x)")},
		{"fail", "references", "belongs to one of users", sql("PRAGMA foreign_keys = OFF", "DELETE FROM users")},
		{"fail", "addresses", "is given to light-", sql("UPDATE nodes SET ip6 = upper((SELECT ip6 FROM nodes WHERE id = 1))" +
			" WHERE id = 2")},
		{"fail", "addresses", "100.64.0.1 is given to", sql("ALTER TABLE nodes RENAME TO old", "CREATE TABLE nodes AS SELECT * FROM"+
			" old", "UPDATE nodes SET ip4 = '100.64.0.1'")},
		{"fail", "addresses", "no address", sql("UPDATE nodes SET ip4 = 'somewhere' WHERE id = 3")},
		{"warn", "addresses", "outside of prefixes: light-", sql("UPDATE nodes SET ip4 = '10.0.0.9' WHERE id = 3")},
		{"fail", "tags", "node light-", sql("UPDATE nodes SET tags = '[\"tag:ok\",\"web\"]' WHERE id = 3")},
		{"fail", "tags", "key ", sql("UPDATE auth_keys SET tags = 'tag:web'")},
		{"fail", "clock/newest", "in the future", sql(fmt.Sprintf("UPDATE node_state SET last_seen_unix_s = %d WHERE node_id = 1",
			time.Now().Add(time.Hour).Unix()))},
		{"fail", "policy", "line 1", sql("INSERT INTO policies SELECT tailnet_id, 2, made_unix_s, author, '', 0, 0," +
			" CAST('{\"from\": \"the future\"}' AS BLOB) FROM policies")},
		{"fail", "data-dir", "restore", put("restore.part", "")},
		{"fail", "data-dir", "No such file", func(t *testing.T, dir, _ string) { _ = os.RemoveAll(dir) }},
		{"fail", "data-dir", "no directory", func(t *testing.T, dir, _ string) { _ = os.RemoveAll(dir); writeFile(t, dir, "") }},
		{"warn", "data-dir", "chmod 700", mode(".", 0o755)},
		{"fail", "keys", "chmod 600", mode("noise_private.key", 0o644)},
		{"fail", "keys", "derp_private.key", func(t *testing.T, dir, _ string) { _ = os.Remove(filepath.Join(dir, "derp_private.key")) }},
		{"fail", "keys", "noise_private.key", put("noise_private.key", "privkey:no")},
		{"warn", "wal", "MiB", func(t *testing.T, dir, db string) {
			writeFile(t, db+"-wal", "")
			if err := os.Truncate(db+"-wal", 70<<20); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(c.check+" "+c.words, func(t *testing.T) {
			dir, db := copyOf(t)
			c.spoil(t, dir, db)
			doctor(t, "--data-dir", dir).want(c.level, c.check, c.words)
		})
	}
}

// Disks: without room, without inodes, read-only, slow; files of somebody else.
func TestDoctorDisk(t *testing.T) {
	t.Parallel()
	copyOf := patient(t)
	bin := serverBinary(t)
	on := func(t *testing.T, dir, options, more string) *diagnosis {
		t.Helper()
		needRoot(t)
		script := "set -e; mount -t tmpfs -o " + options + " tmpfs /mnt; mkdir -m 700 /mnt/data; cp -p " + dir + "/* /mnt/data; " +
			more + " exec " + bin + " doctor --data-dir /mnt/data \"$@\""
		return runDoctor(t, nil, "unshare", "--mount", "sh", "-c", script, "sh")
	}
	t.Run("full", func(t *testing.T) {
		dir, _ := copyOf(t)
		d := on(t, dir, "size=2m", "dd if=/dev/zero of=/mnt/fill bs=4k status=none || true;")
		d.want("fail", "disk-space", "0 MiB", "free some")
		d.want("fail", "disk-write", "No space left", "free some space")
		d.want("ok", "database")
	})
	t.Run("nearly full", func(t *testing.T) {
		dir, _ := copyOf(t)
		on(t, dir, "size=100m", "").want("warn", "disk-space", "MiB are left")
	})
	t.Run("no inode", func(t *testing.T) {
		dir, _ := copyOf(t)
		on(t, dir, "size=1g,nr_inodes=40", "").want("fail", "disk-space", "inodes")
	})
	t.Run("read-only", func(t *testing.T) {
		dir, _ := copyOf(t)
		d := on(t, dir, "size=1g", "mount -o remount,ro /mnt;")
		d.want("fail", "disk-space", "read-only")
		d.want("fail", "disk-write", "Read-only")
		d.want("ok", "database")
	})
	t.Run("not ours", func(t *testing.T) {
		dir, _ := copyOf(t)
		d := on(t, dir, "size=1g", "chown 12345 /mnt/data;")
		d.want("warn", "keys", "chown")
	})
	t.Run("another user", func(t *testing.T) {
		needRoot(t)
		dir, _ := copyOf(t)
		d := runDoctor(t, nil, "unshare", "--mount", "sh", "-c", "set -e; mount -t tmpfs tmpfs /mnt; chmod 755 /mnt; cp "+bin+
			" /mnt/fairlead; mkdir -m 700 /mnt/data; cp -p "+dir+"/* /mnt/data; cd /; exec setpriv --reuid 12345 --clear-groups"+
			" /mnt/fairlead doctor --data-dir /mnt/data \"$@\"", "sh")
		d.want("warn", "data-dir", "sudo")
		d.lacks("fail")
	})
	t.Run("slow", func(t *testing.T) {
		f := newFaultServer(t, false)
		f.start()
		f.stop()
		f.set(faultSyncMS, 300)
		argv := append(append([]string{}, f.prefix...), f.bin, "doctor", "--data-dir", f.dir)
		runDoctor(t, nil, argv...).want("warn", "disk-write", "better one")
	})
}

// What the server says of itself, as it might be: each finding of the running one.
func TestDoctorServerFacts(t *testing.T) {
	t.Parallel()
	const wellStatus = `{"version": "v0", "serverUrl": "http://127.0.0.1:1", "dataDir": "/nowhere", "uptimeSeconds": 90,
		"policy": {"version": 3, "confirmBy": null, "problem": null}, "certificate": {"source": "acme"}, "metrics": {}}`
	const wellFacts = `{"derpMap": {"Regions": {}}, "files": {"open": 20, "limit": 20000}, "silentNodes": [], "silentNodesCount": 0,
		"trustedProxies": 0, "ephemeralTimeoutSeconds": 1800, "offlineGraceSeconds": 10}`
	for _, c := range []struct {
		level, check, words, status, facts string
	}{
		{"ok", "files", "20 of at most 20000", `{}`, `{}`},
		{"ok", "files", "without a limit", `{}`, `{"files": {"open": 20, "limit": null}}`},
		{"warn", "files", "LimitNOFILE", `{}`, `{"files": {"open": 20, "limit": 1024}}`},
		{"fail", "files", "nobody can connect", `{}`, `{"files": {"open": 16100, "limit": 20000}}`},
		{"ok", "policy", "version 3", `{}`, `{}`},
		{"ok", "policy", "everything is allowed", `{"policy": {"version": 0}}`, `{}`},
		{"warn", "policy", "2030-01-01", `{"policy": {"version": 3, "confirmBy": "2030-01-01T00:00:00Z"}}`, `{}`},
		{"fail", "policy", "line 3", `{"policy": {"version": 3, "problem": "line 3, column 1: what is that"}}`, `{}`},
		{"warn", "clusters", "a and b", `{"clusterConflicts": [{"text": "a and b claim 10.42.0.0/16"}]}`, `{}`},
		{"ok", "silent-nodes", "map stream", `{}`, `{}`},
		{"warn", "silent-nodes", "2 use the relay without a map stream: pi, tv", `{}`,
			`{"silentNodes": ["pi", "tv"], "silentNodesCount": 2}`},
		{"ok", "store", "no change", `{}`, `{}`},
		{"warn", "store", "7 changes", `{"metrics": {"storeFailures": 7}}`, `{}`},
		{"warn", "acme", "4 failed", `{"certificate": {"failedAttempts": 4}}`, `{}`},
		{"warn", "ephemeral", "30 s", `{}`, `{"ephemeralTimeoutSeconds": 30}`},
		{"warn", "server", "this command is", `{}`, `{}`},
		{"fail", "relay", "no relay", `{}`, `{}`},
	} {
		t.Run(c.check+" "+c.level, func(t *testing.T) {
			socket := filepath.Join(t.TempDir(), "s")
			l, err := net.Listen("unix", socket)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			merged := func(well, change string) map[string]any {
				m := map[string]any{}
				for _, text := range []string{well, change} {
					if err := json.Unmarshal([]byte(text), &m); err != nil {
						t.Fatal(err)
					}
				}
				return m
			}
			mux := http.NewServeMux()
			mux.HandleFunc("/health", func(w http.ResponseWriter, r *http.Request) {})
			mux.HandleFunc("/api/fairlead/v1/status", func(w http.ResponseWriter, r *http.Request) {
				_ = json.NewEncoder(w).Encode(merged(wellStatus, c.status))
			})
			mux.HandleFunc("/api/fairlead/v1/doctor", func(w http.ResponseWriter, r *http.Request) {
				_ = json.NewEncoder(w).Encode(merged(wellFacts, c.facts))
			})
			go func() { _ = http.Serve(l, mux) }()
			doctor(t, "--socket", socket, "--only", c.check).want(c.level, c.check, c.words)
		})
	}
	t.Run("old server", func(t *testing.T) {
		socket := filepath.Join(t.TempDir(), "s")
		l, err := net.Listen("unix", socket)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		go func() {
			_ = http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/health" {
					http.Error(w, `{"message": "there is nothing", "status": 404}`, 404)
				}
			}))
		}()
		doctor(t, "--socket", socket, "--only", "server").want("fail", "server", "older version")
	})
}
