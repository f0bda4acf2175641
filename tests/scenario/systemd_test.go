// Proves the installed unit under systemd itself, booted in a container of this machine's own files: ports of a system
// service without root, an upgrade in place beneath a real client, a new version that cannot start, reload, a crash.
package scenario

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The root is this machine's, under an overlay that is gone with the container: /etc and /var can be written. Of its
// services none is started but fairlead's, which is the goal of the boot.
const bootScript = `set -e
mount --bind / "$1/os"
exec systemd-nspawn --quiet --directory="$1/os" --volatile=overlay --boot --register=no --keep-unit --console=pipe \
	--machine="$2" --network-namespace-path="/run/netns/$2" --bind="$1/bin:/usr/local/bin" \
	--bind-ro="$1/root/usr/lib/systemd/system/fairlead.service:/etc/systemd/system/fairlead.service" \
	--bind-ro="$1/root/usr/lib/sysusers.d/fairlead.conf:/usr/lib/sysusers.d/fairlead.conf" \
	--bind="$1/etc:/etc/fairlead" systemd.unit=fairlead.service`

// bootedSystem is a systemd with the installed fairlead as its service.
type bootedSystem struct {
	t    *testing.T
	dir  string // bin/fairlead is the installed program, etc/config.yaml its configuration
	init string // pid of systemd
	log  *logBuffer
}

func boot(t *testing.T, ns string) *bootedSystem {
	t.Helper()
	b := &bootedSystem{t: t, dir: t.TempDir(), log: &logBuffer{}}
	for _, d := range []string{"os", "bin", "etc"} {
		if err := os.Chmod(mkdir(t, filepath.Join(b.dir, d)), 0o755); err != nil { // the service is not root
			t.Fatal(err)
		}
	}
	run(t, "", "make", "-s", "-C", "../..", "install", "DESTDIR="+b.dir+"/root")
	b.install()
	cmd := exec.Command("unshare", "--mount", "--propagation=private", "sh", "-c", bootScript, "sh", b.dir, ns)
	cmd.Stdout, cmd.Stderr = b.log, b.log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM} // upon which systemd is told to end
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(done)
	}()
	t.Cleanup(func() {
		if t.Failed() {
			out, _ := b.try("journalctl --no-pager --unit=fairlead --lines=60")
			t.Logf("boot:\n%s\njournal:\n%s", b.log.String(), out)
		}
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-done:
		case <-time.After(10 * time.Second):
			_ = cmd.Process.Kill()
			t.Errorf("the container does not end:\n%s", b.log.String())
		}
	})
	eventually(t, 60*time.Second, "the service is active", func() bool {
		select {
		case <-done:
			t.Fatalf("systemd-nspawn ended:\n%s", b.log.String())
		default:
		}
		children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", cmd.Process.Pid))
		if f := strings.Fields(string(children)); len(f) > 0 {
			b.init = f[0]
		}
		out, err := b.try("systemctl is-active fairlead")
		return err == nil && strings.TrimSpace(out) == "active"
	})
	return b
}

// install puts the built program in the place of the one that runs, as a package manager does.
func (b *bootedSystem) install() {
	b.t.Helper()
	run(b.t, "", "cp", filepath.Join(b.dir, "root/usr/local/bin/fairlead"), filepath.Join(b.dir, "bin/new"))
	if err := os.Rename(filepath.Join(b.dir, "bin/new"), filepath.Join(b.dir, "bin/fairlead")); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bootedSystem) try(line string) (string, error) {
	if b.init == "" {
		return "", os.ErrNotExist
	}
	out, err := exec.Command("timeout", "60", "nsenter", "--target", b.init, "--mount", "--pid", "--net", "--uts",
		"--ipc", "--cgroup", "sh", "-c", line).CombinedOutput()
	return string(out), err
}

func (b *bootedSystem) sh(line string) string {
	b.t.Helper()
	out, err := b.try(line)
	if err != nil {
		b.t.Fatalf("%s: %v\n%s", line, err, out)
	}
	return out
}

// main is the pid that systemd takes for the service's.
func (b *bootedSystem) main() string {
	b.t.Helper()
	return strings.TrimSpace(b.sh("systemctl show --property=MainPID --value fairlead"))
}

func TestSystemd(t *testing.T) {
	t.Parallel()
	needRoot(t)
	needTool(t, "systemd-nspawn")
	if lacks := kernelLacks(t); lacks != "" {
		t.Skipf("the kernel cannot run containers: %s", lacks)
	}
	sweep(t)
	ns := newNetns(t, "sd")
	wire(t, ns, "eth0", ns, "eth1") // a client wants a network that is up
	address(t, ns, "eth0", labServerIP+"/24", "203.0.113.1")
	b := boot(t, ns)
	first := b.main()
	if uid := strings.Fields(b.sh("grep ^Uid: /proc/" + first + "/status"))[1]; uid == "0" {
		t.Error("the service runs as root")
	}
	key := regexp.MustCompile(`tskey-auth-\S+`).FindString(b.sh("fairlead keys create --reusable"))
	n := startNatNode(t, &lab{clients: clientPrograms(t)}, ns, "edge-1")
	n.sh("tailscale up --login-server=http://" + labServerIP + " --authkey=" + key + " --timeout=40s")
	ip := n.ip4()
	online := func(what string) {
		t.Helper()
		eventually(t, 30*time.Second, "the node is online "+what, func() bool {
			out, err := b.try("fairlead status")
			return err == nil && strings.Contains(out, "1, 1 online")
		})
	}
	online("at first")

	b.install()
	wantWords(t, b.sh("fairlead restart"), "in place of "+first)
	second := b.main()
	if second == first {
		t.Errorf("the main process is still %s", first)
	}
	online("after an upgrade")

	if err := os.WriteFile(filepath.Join(b.dir, "etc/config.yaml"), []byte("nonsense: 1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := b.try("fairlead restart")
	if err == nil {
		t.Error("a configuration that is wrong was taken")
	}
	wantWords(t, out, "config.yaml line 1", "nonsense")
	if got := b.main(); got != second {
		t.Errorf("after a restart that failed the main process is %s, it was %s", got, second)
	}
	if err := os.Remove(filepath.Join(b.dir, "etc/config.yaml")); err != nil {
		t.Fatal(err)
	}

	b.sh("systemctl reload fairlead")
	eventually(t, 10*time.Second, "reload comes to the new process", func() bool {
		return strings.Contains(b.sh("journalctl --no-pager --unit=fairlead"), "looking at the certificate")
	})
	b.sh("kill -9 " + second)
	eventually(t, 30*time.Second, "systemd starts it again", func() bool {
		out, err := b.try("systemctl show --property=MainPID --value fairlead")
		pid := strings.TrimSpace(out)
		return err == nil && pid != "0" && pid != second
	})
	online("after a crash")
	if got := n.ip4(); got != ip {
		t.Errorf("the node had %s and has %s", ip, got)
	}
	b.sh("systemctl stop fairlead")
	wantWords(t, b.sh("systemctl show --property=Result,ActiveState fairlead"), "Result=success", "inactive")
}
