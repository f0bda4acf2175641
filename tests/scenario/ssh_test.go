// Proves SSH by policy with the real SSH server in tailscaled: rules that accept, users that are refused, and check mode:
// the person is shown an address and waits, people decide, an approval counts for its period.
package scenario

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// sshHost is a tailscaled with --ssh. It has no interface in the kernel, so it needs no rights.
type sshHost struct {
	dir, socket string
	ip          netip.Addr
	log         logBuffer
}

func (h *sshHost) tailscale(ctx context.Context, args ...string) *exec.Cmd {
	return h.command(ctx, "tailscale", append([]string{"--socket=" + h.socket}, args...)...)
}

func (h *sshHost) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(h.dir, name), args...)
	cmd.Env = append(os.Environ(), "TS_NO_LOGS_NO_SUPPORT=true")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

func newSSHHost(t *testing.T, s *server, hostname string, keyFlags ...string) *sshHost {
	t.Helper()
	state := t.TempDir()
	h := &sshHost{dir: clientPrograms(t), socket: filepath.Join(state, "sock")}
	daemon := h.command(context.Background(), "tailscaled", "--tun=userspace-networking", "--statedir="+state,
		"--socket="+h.socket, "--port=0", "--no-logs-no-support")
	daemon.Stdout, daemon.Stderr = &h.log, &h.log
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = daemon.Process.Signal(syscall.SIGTERM)
		kill := time.AfterFunc(10*time.Second, func() { _ = daemon.Process.Kill() })
		_ = daemon.Wait()
		kill.Stop()
		if t.Failed() {
			t.Logf("log of %s:\n%s", hostname, h.log.String())
		}
	})
	ctx := ctxFor(t, 60*time.Second)
	out, err := h.tailscale(ctx, "up", "--ssh", "--login-server="+s.url, "--hostname="+hostname,
		"--auth-key="+s.newKey(keyFlags...).Key, "--timeout=40s").CombinedOutput()
	if err != nil {
		t.Fatalf("%s is not up: %v\n%s", hostname, err, out)
	}
	out, err = h.tailscale(ctx, "ip", "-4").Output()
	if h.ip, _ = netip.ParseAddr(strings.TrimSpace(string(out))); err != nil || !h.ip.IsValid() {
		t.Fatalf("%s has no address: %v\n%s", hostname, err, out)
	}
	return h
}

// sshTry is a login under way: what the person sees, and how it ends.
type sshTry struct {
	seen logBuffer
	out  string
	err  error
	done chan struct{}
}

// ssh logs in at the host over the tailnet and runs a command there.
func (n *node) ssh(h *sshHost, name, command string) *sshTry {
	n.t.Helper()
	y := &sshTry{done: make(chan struct{})}
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	n.t.Cleanup(cancel)
	go func() {
		defer close(y.done)
		c, err := n.ts.Dial(ctx, "tcp", netip.AddrPortFrom(h.ip, 22).String())
		if err != nil {
			y.err = err
			return
		}
		stop := context.AfterFunc(ctx, func() { c.Close() })
		defer stop()
		y.out, y.err = sshRun(c, name, command, &y.seen)
	}()
	return y
}

func sshRun(c net.Conn, name, command string, seen *logBuffer) (string, error) {
	defer c.Close()
	conn, channels, requests, err := ssh.NewClientConn(c, "host:22", &ssh.ClientConfig{
		User: name, HostKeyCallback: ssh.InsecureIgnoreHostKey(),
		BannerCallback: func(text string) error { _, err := seen.Write([]byte(text)); return err },
	})
	if err != nil {
		return "", err
	}
	client := ssh.NewClient(conn, channels, requests)
	defer client.Close()
	session, err := client.NewSession()
	if err != nil {
		return "", err
	}
	defer session.Close()
	var out bytes.Buffer
	session.Stdout = &out
	err = session.Run(command)
	return out.String(), err
}

func (y *sshTry) end(t *testing.T) (string, error) {
	t.Helper()
	select {
	case <-y.done:
	case <-time.After(60 * time.Second):
		t.Fatalf("the login does not end; seen: %q", y.seen.String())
	}
	return y.out, y.err
}

func (y *sshTry) mustRun(t *testing.T, want string) {
	t.Helper()
	if out, err := y.end(t); err != nil || strings.TrimSpace(out) != want {
		t.Fatalf("%q, %v, not %q; seen: %q", out, err, want, y.seen.String())
	}
}

func (y *sshTry) mustFail(t *testing.T, seen string) {
	t.Helper()
	if out, err := y.end(t); err == nil || !strings.Contains(y.seen.String(), seen) {
		t.Fatalf("%q, %v; seen %q, not %q", out, err, y.seen.String(), seen)
	}
}

var sshCheckRE = regexp.MustCompile(`/ssh/check/([A-Za-z0-9]{24})\r\n`)

// held waits until the person is shown the address of a check, and returns its id.
func (y *sshTry) held(t *testing.T, s *server, nth int) string {
	t.Helper()
	var ids [][]string
	eventually(t, 30*time.Second, "an address to approve the login at is shown", func() bool {
		ids = sshCheckRE.FindAllStringSubmatch(y.seen.String(), -1)
		return len(ids) >= nth
	})
	if !strings.Contains(y.seen.String(), s.url+"/ssh/check/"+ids[nth-1][1]) {
		t.Fatalf("seen %q", y.seen.String())
	}
	return ids[nth-1][1]
}

func (y *sshTry) mustWait(t *testing.T) {
	t.Helper()
	select {
	case <-y.done:
		t.Fatalf("it did not wait: %q %v", y.out, y.err)
	case <-time.After(time.Second):
	}
}

type sshCheck struct {
	ID, URL, LocalUser  string
	Source, Destination struct{ Name string }
	CheckPeriodSeconds  int
	Waiting             bool
}

func (s *server) sshChecks() []sshCheck {
	s.t.Helper()
	var list struct {
		Checks []sshCheck `json:"sshChecks"`
	}
	s.cliJSON(&list, "ssh", "list")
	return list.Checks
}

var sshRules int

// sshRule sets a policy with one SSH rule from people to tag:srv, and waits until the host has it.
func (s *server) sshRule(t *testing.T, h *sshHost, action, users, more string) {
	t.Helper()
	sshRules++
	mark := fmt.Sprintf("MARK_%d", sshRules)
	s.cli("policy", "set", writeFile(t, "policy.hujson", fmt.Sprintf(`{
		"tagOwners": {"tag:srv": ["autogroup:admin"]},
		"acls": [{"action": "accept", "src": ["*"], "dst": ["*:*"]}],
		"ssh": [{"action": %q, "src": ["autogroup:member"], "dst": ["tag:srv"], "users": [%s], "acceptEnv": [%q] %s}],
	}`, action, users, mark, more)))
	eventually(t, 5*time.Second, "the host has the rule", func() bool {
		out, err := h.tailscale(ctxFor(t, 10*time.Second), "debug", "netmap").Output()
		return err == nil && strings.Contains(string(out), mark)
	})
}

// sshLab is a server, a host tag:srv, a person's node, and the user that tests run as.
func sshLab(t *testing.T) (s *server, h *sshHost, n *node, me string) {
	t.Helper()
	u, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	s = startServer(t)
	n = joinedNode(t, s, "laptop", s.newKey().Key)
	h = newSSHHost(t, s, "db", "--tags", "tag:srv")
	return s, h, n, u.Username
}

func TestSSHAccept(t *testing.T) {
	s, h, n, me := sshLab(t)
	s.sshRule(t, h, "accept", fmt.Sprintf("%q", me), "")
	n.ssh(h, me, "id -un").mustRun(t, me)
	n.ssh(h, "daemon", "id").mustFail(t, "does not permit")
	if len(s.sshChecks()) != 0 {
		t.Fatal("a rule that accepts asks for a check")
	}
	// Live: the rule is gone, and so is the way in.
	s.sshRule(t, h, "accept", `"nobody-at-all"`, "")
	n.ssh(h, me, "id").mustFail(t, "does not permit")
}

func TestSSHCheck(t *testing.T) {
	s, h, n, me := sshLab(t)
	users := fmt.Sprintf("%q, %q", me, "daemon")
	s.sshRule(t, h, "check", users, "")

	y := n.ssh(h, me, "id -un")
	id := y.held(t, s, 1)
	y.mustWait(t)
	list := s.sshChecks()
	if len(list) != 1 || list[0].ID != id || list[0].Source.Name != "laptop" || list[0].Destination.Name != "db" ||
		list[0].LocalUser != me || !list[0].Waiting || list[0].CheckPeriodSeconds != 12*3600 {
		t.Fatalf("checks %+v", list)
	}
	if res, body := s.get(t, "/ssh/check/"+id); res.StatusCode != 200 || !strings.Contains(body, "laptop") ||
		!strings.Contains(body, "fairlead ssh approve "+id) || strings.Contains(body, "<form") {
		t.Fatalf("page: %s\n%s", res.Status, body)
	}
	s.cli("ssh", "approve", list[0].URL)
	y.mustRun(t, me)
	if !strings.Contains(y.seen.String(), "Approved by local uid") {
		t.Fatalf("seen %q", y.seen.String())
	}
	if out, err := s.tryCLI("ssh", "approve", id); err == nil {
		t.Fatalf("approved twice: %s", out)
	}

	// Inside the period: straight through, in silence, on record.
	y = n.ssh(h, me, "echo in")
	y.mustRun(t, "in")
	if y.seen.String() != "" {
		t.Fatalf("seen %q", y.seen.String())
	}
	audit := s.cli("audit", "list")
	for _, what := range []string{"ssh.approve", "ssh.use"} {
		if strings.Count(audit, what) != 1 {
			t.Fatalf("%s: %s", what, audit)
		}
	}

	// The same person as somebody else: asked; rejected is ended.
	y = n.ssh(h, "daemon", "id")
	s.cli("ssh", "reject", y.held(t, s, 1))
	y.mustFail(t, "rejected by local uid")
	var exit *ssh.ExitError
	if errors.As(y.err, &exit) {
		t.Fatal("the command ran")
	}

	// Another version of the policy: what was proven is forgotten, and who waits is asked anew.
	waiting := n.ssh(h, "daemon", "id -un")
	waiting.held(t, s, 1)
	s.sshRule(t, h, "check", users, `, "checkPeriod": "2h"`)
	y = n.ssh(h, me, "id -un")
	id = y.held(t, s, 1)
	waiting.held(t, s, 2)
	s.cli("ssh", "approve", id)
	y.mustRun(t, me)
	s.cli("ssh", "reject", waiting.held(t, s, 2))
	waiting.mustFail(t, "rejected")

	// The server goes away while somebody waits: the host comes back to it, and asks anew.
	y = n.ssh(h, "daemon", "id -un")
	y.held(t, s, 1)
	s.stop()
	s.start()
	s.cli("ssh", "reject", y.held(t, s, 2))
	y.mustFail(t, "rejected")

	if v := s.metric("fairlead_ssh_checks_pending"); v != 0 {
		t.Fatalf("%v checks are pending", v)
	}
	if v := s.metric(`fairlead_ssh_checks_total{result="rejected"}`); v != 1 { // since the restart
		t.Fatalf("%v checks rejected", v)
	}
}

func TestSSHCheckEachTime(t *testing.T) {
	s, h, n, me := sshLab(t)
	s.sshRule(t, h, "check", fmt.Sprintf("%q", me), `, "checkPeriod": "always"`)
	first, second := n.ssh(h, me, "echo first"), n.ssh(h, me, "echo second")
	s.cli("ssh", "approve", first.held(t, s, 1))
	first.mustRun(t, "first")
	second.mustWait(t)
	s.cli("ssh", "approve", second.held(t, s, 1))
	second.mustRun(t, "second")
	third := n.ssh(h, me, "echo third")
	s.cli("ssh", "reject", third.held(t, s, 1))
	third.mustFail(t, "rejected")
}

// Rules with very many source nodes name people by their login. Who came later gets in, too; a tagged node does not;
// and a person who is called otherwise by now does.
func TestSSHManySources(t *testing.T) {
	s, h, n, me := sshLab(t)
	joinMany(t, s, s.newKey("--reusable").Key, 110)
	s.sshRule(t, h, "accept", fmt.Sprintf("%q", me), "")
	out, err := h.tailscale(ctxFor(t, 10*time.Second), "debug", "netmap").Output()
	if err != nil || !strings.Contains(string(out), `"userLogin"`) {
		t.Fatalf("the rule does not name people: %v", err)
	}
	n.ssh(h, me, "id -un").mustRun(t, me)
	later := joinedNode(t, s, "later", s.newKey().Key)
	later.ssh(h, me, "id -un").mustRun(t, me)
	tagged := joinedNode(t, s, "tagged", s.newKey("--tags", "tag:srv").Key)
	tagged.ssh(h, me, "id -un").mustFail(t, "does not permit")
	s.cli("users", "rename", s.nodeNamed("laptop").User, "somebody-else")
	eventually(t, 10*time.Second, "the host knows the person by the other name", func() bool {
		out, err := h.tailscale(ctxFor(t, 10*time.Second), "debug", "netmap").Output()
		return err == nil && strings.Contains(string(out), "somebody-else")
	})
	n.ssh(h, me, "id -un").mustRun(t, me)
}
