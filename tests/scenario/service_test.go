// Proves what a service manager relies on: the installed unit, what systemd is told and when, and a server that drops
// root.
package scenario

import (
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// exposureMax is the worst verdict of `systemd-analyze security` (0 none … 10) that passes; what remains is the
// network itself, one capability for low ports, and the user namespace that would take it away.
const exposureMax = 1.6

func TestUnit(t *testing.T) {
	analyze := needTool(t, "systemd-analyze")
	root := t.TempDir()
	run(t, "", "make", "-s", "-C", "../..", "install", "DESTDIR="+root, "PREFIX=/opt/fairlead")
	unit, err := os.ReadFile(filepath.Join(root, "usr/lib/systemd/system/fairlead.service"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(unit), "\nExecStart=/opt/fairlead/bin/fairlead serve\n") ||
		strings.Contains(string(unit), "/usr/local") {
		t.Errorf("PREFIX is not everywhere in it:\n%s", unit)
	}
	// What the unit refers to, as it is on a system.
	for path, text := range map[string]string{"bin/sh": "#!\n", "etc/passwd": "fairlead:x:999:999::/:/bin/false\n",
		"etc/group": "fairlead:x:999:\n", "usr/lib/systemd/system/network-online.target": "[Unit]\n",
		"usr/lib/systemd/system/sysinit.target": "[Unit]\n", "usr/lib/systemd/system/basic.target": "[Unit]\n",
		"usr/lib/systemd/system/shutdown.target": "[Unit]\n", "usr/lib/systemd/system/multi-user.target": "[Unit]\n"} {
		writeFile(t, filepath.Join(mkdir(t, filepath.Join(root, filepath.Dir(path))), filepath.Base(path)), text)
	}
	if err := os.Chmod(filepath.Join(root, "bin/sh"), 0o755); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(analyze, "verify", "--man=no", "--root="+root, "fairlead.service").CombinedOutput()
	if err != nil || strings.Contains(string(out), "fairlead.service") {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
	out, err = exec.Command(analyze, "security", "--offline=yes", "--no-pager",
		filepath.Join(root, "usr/lib/systemd/system/fairlead.service")).CombinedOutput()
	m := regexp.MustCompile(`exposure level for fairlead.service: ([0-9.]+)`).FindSubmatch(out)
	if err != nil || m == nil {
		t.Fatalf("systemd-analyze security: %v\n%s", err, out)
	}
	if v, err := strconv.ParseFloat(string(m[1]), 64); err != nil || v > exposureMax {
		t.Errorf("exposure %s, at most %v\n%s", m[1], exposureMax, out)
	} else {
		t.Logf("exposure %v", v)
	}
	if sysusers, err := exec.LookPath("systemd-sysusers"); err == nil {
		run(t, "", sysusers, "--dry-run", "--root="+root, filepath.Join(root, "usr/lib/sysusers.d/fairlead.conf"))
	}
}

func TestNotify(t *testing.T) {
	s := newServer(t)
	path, next := notifications(t)
	s.prefix = []string{"env", "NOTIFY_SOCKET=" + path}
	s.start()
	wantWords(t, next(5*time.Second), "READY=1")
	if res, _ := s.get(t, "/health"); res.StatusCode != 200 {
		t.Error("ready, yet it does not answer")
	}
	_ = syscall.Kill(s.pid(), syscall.SIGHUP)
	wantWords(t, next(5*time.Second), "RELOADING=1", "MONOTONIC_USEC=")
	wantWords(t, next(5*time.Second), "READY=1")
	stopped := make(chan struct{})
	go func() {
		s.stop()
		close(stopped)
	}()
	wantWords(t, next(5*time.Second), "STOPPING=1")
	<-stopped
}

// A server started as root that becomes a user: data, socket and its directory are that user's, and a second start works.
func TestDroppedRoot(t *testing.T) {
	needRoot(t)
	nobody, err := user.Lookup("nobody")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for d := dir; d != "/" && d != "/tmp"; d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	s := newServer(t, "--user", "nobody")
	s.dir, s.socket = filepath.Join(dir, "data"), filepath.Join(dir, "run", "s")
	owner := func(path string) string {
		st, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return strconv.Itoa(int(st.Sys().(*syscall.Stat_t).Uid))
	}
	for range 2 {
		s.start()
		for _, path := range []string{s.socket, filepath.Dir(s.socket), s.dir, filepath.Join(s.dir, "fairlead.db"),
			"/proc/" + strconv.Itoa(s.pid())} {
			if o := owner(path); o != nobody.Uid {
				t.Errorf("%s belongs to %s", path, o)
			}
		}
		s.stop()
	}
	// A directory that others use is not taken from them; a sentence says what is wrong.
	shared := mkdir(t, filepath.Join(dir, "shared"))
	writeFile(t, filepath.Join(shared, "other"), "x")
	s.socket = filepath.Join(shared, "s")
	wantWords(t, s.startFails(), s.socket, "Permission denied")
	if o := owner(shared); o != "0" {
		t.Errorf("a shared directory was given to %s", o)
	}

	// Root restores into that user's directory; the user's server starts on it.
	s.socket = filepath.Join(dir, "run", "s")
	s.start()
	file := filepath.Join(dir, "backup")
	s.cli("backup", file)
	s.stop()
	if out, err := offline(s, nil, "restore", file, "--data-dir", s.dir, "--force"); err != nil {
		t.Fatalf("restore: %v\n%s", err, out)
	}
	for _, name := range []string{"fairlead.db", "noise_private.key", "lock", "config.restored.yaml"} {
		if o := owner(filepath.Join(s.dir, name)); o != nobody.Uid {
			t.Errorf("restored %s belongs to %s", name, o)
		}
	}
	s.start()
}
