// Proves the container: built from a copy of the checkout and started by docker-compose.yml under a real engine, a
// real client joins it, it is removed and made again, and the client is still there.
package scenario

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"tailscale.com/net/stun"
)

const engineDirs = "/tmp/fairlead-docker-"

// engine is a dockerd of our own: private socket and data, nothing of the machine's network changed.
type engine struct {
	t    *testing.T
	dir  string
	env  []string
	done chan struct{}
	log  *logBuffer
}

// kernelLacks tries what a container needs, without any engine; "" when nothing is missing.
func kernelLacks(t *testing.T) string {
	dir := t.TempDir()
	for _, d := range []string{"lower", "upper", "work", "merged"} {
		mkdir(t, filepath.Join(dir, d))
	}
	merged := filepath.Join(dir, "merged")
	err := syscall.Mount("overlay", merged, "overlay", 0,
		fmt.Sprintf("lowerdir=%s/lower,upperdir=%s/upper,workdir=%s/work", dir, dir, dir))
	if err != nil {
		return "overlay file systems: " + err.Error()
	}
	_ = syscall.Unmount(merged, 0)
	for _, c := range [][]string{
		{"unshare", "--mount", "--uts", "--ipc", "--pid", "--net", "--fork", "true"},
		{"ip", "link", "add", "fldprobe", "type", "bridge"},
		{"ip", "link", "add", "fldprobe0", "type", "veth", "peer", "name", "fldprobe1"},
	} {
		if out, err := exec.Command(c[0], c[1:]...).CombinedOutput(); err != nil {
			return fmt.Sprintf("%s: %s", strings.Join(c, " "), out)
		}
		if c[0] == "ip" {
			_ = exec.Command("ip", "link", "del", c[3]).Run()
		}
	}
	if groups, err := os.ReadFile("/proc/cgroups"); err != nil || !strings.Contains(string(groups), "devices") {
		return "control groups"
	}
	return ""
}

// unmountBelow lets go of what an engine leaves mounted.
func unmountBelow(dir string) {
	mounts, _ := os.ReadFile("/proc/mounts")
	for _, line := range strings.Split(string(mounts), "\n") {
		if f := strings.Fields(line); len(f) > 1 && strings.HasPrefix(f[1], dir) {
			_ = syscall.Unmount(f[1], syscall.MNT_DETACH)
		}
	}
}

// sweepEngines removes what killed runs have left.
func sweepEngines() {
	dirs, _ := filepath.Glob(engineDirs + "*")
	for _, dir := range dirs {
		pid, err := os.ReadFile(filepath.Join(dir, "pid"))
		if err == nil {
			if _, err := os.Stat("/proc/" + strings.TrimSpace(string(pid))); err == nil {
				continue
			}
		}
		unmountBelow(dir)
		_ = os.RemoveAll(dir)
	}
}

func startEngine(t *testing.T) *engine {
	t.Helper()
	needRoot(t)
	if lacks := kernelLacks(t); lacks != "" {
		t.Skipf("the kernel cannot run containers: %s", lacks)
	}
	sweepEngines()
	dir, err := os.MkdirTemp("", filepath.Base(engineDirs)) // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	e := &engine{t: t, dir: dir, done: make(chan struct{}), log: &logBuffer{}}
	e.env = append(os.Environ(), "DOCKER_HOST=unix://"+dir+"/sock", "DOCKER_CONFIG="+dir, "DOCKER_BUILDKIT=1")
	cmd := exec.Command("dockerd", "--host", "unix://"+dir+"/sock", "--data-root", dir+"/data",
		"--exec-root", dir+"/exec", "--pidfile", dir+"/pid", "--storage-driver", "overlay2", "--bridge=none",
		"--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false")
	cmd.Stdout, cmd.Stderr = e.log, e.log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = cmd.Wait()
		close(e.done)
	}()
	t.Cleanup(func() { e.stop(cmd.Process) })
	eventually(t, 60*time.Second, "dockerd answers", func() bool {
		select {
		case <-e.done:
			t.Fatalf("dockerd ended:\n%s", e.log.String())
		default:
		}
		_, err := e.try(nil, "docker", "version")
		return err == nil
	})
	return e
}

func (e *engine) stop(p *os.Process) {
	if e.t.Failed() {
		e.t.Logf("end of dockerd's log:\n%s", lastLines(e.log.String(), 15))
	}
	if out, err := e.try(nil, "docker", "ps", "-aq"); err == nil && strings.TrimSpace(out) != "" {
		_, _ = e.try(nil, "docker", append([]string{"rm", "-fv"}, strings.Fields(out)...)...)
	}
	if out, err := e.try(nil, "docker", "network", "ls", "-q", "--filter", "driver=bridge"); err == nil {
		for _, n := range strings.Fields(out) {
			_, _ = e.try(nil, "docker", "network", "rm", n)
		}
	}
	_ = p.Signal(syscall.SIGTERM)
	select {
	case <-e.done:
	case <-time.After(20 * time.Second):
		_ = p.Kill()
		<-e.done
	}
	unmountBelow(e.dir)
	if err := os.RemoveAll(e.dir); err != nil {
		e.t.Errorf("the engine left something: %v", err)
	}
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// try runs docker or docker-compose against this engine; stdout is returned.
func (e *engine) try(input []byte, name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 8*time.Minute)
	defer cancel()
	if name == "docker" {
		if _, err := os.Stat("/usr/bin/docker"); err == nil {
			name = "/usr/bin/docker" // with BuildKit in it, whatever else is in PATH
		}
	}
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = e.env
	cmd.Stdin = bytes.NewReader(input)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); err != nil {
		return out.String(), errors.New(lastLines(errOut.String(), 40) + " (" + err.Error() + ")")
	}
	return out.String(), nil
}

func (e *engine) do(name string, args ...string) string {
	e.t.Helper()
	out, err := e.try(nil, name, args...)
	if err != nil {
		e.t.Fatalf("%s %s: %v", name, strings.Join(args, " "), err)
	}
	return out
}

// base makes the image that the Dockerfile starts from, since no registry may be in reach: a minimal Debian that gets
// packages from where this machine does and trusts whom it trusts. The archive is kept for later runs.
func (e *engine) base(image string) {
	e.t.Helper()
	cache, err := filepath.Abs(".cache")
	if err != nil {
		e.t.Fatal(err)
	}
	archive := filepath.Join(cache, "bookworm.tar")
	if _, err := os.Stat(archive); err != nil {
		begin := time.Now()
		root := filepath.Join(e.dir, "debian")
		args := []string{"--variant=minbase", "bookworm", root}
		if mirror := os.Getenv("DEBIAN_MIRROR"); mirror != "" {
			args = append(args, mirror)
		}
		if out, err := exec.Command("debootstrap", args...).CombinedOutput(); err != nil {
			e.t.Fatalf("debootstrap: %v\n%s", err, lastLines(string(out), 15))
		}
		debs, _ := filepath.Glob(root + "/var/cache/apt/archives/*.deb")
		for _, deb := range debs {
			_ = os.Remove(deb)
		}
		mkdir(e.t, cache)
		if out, err := exec.Command("tar", "-C", root, "-cf", archive+".part", ".").CombinedOutput(); err != nil {
			e.t.Fatalf("tar: %v\n%s", err, out)
		}
		if err := os.Rename(archive+".part", archive); err != nil {
			e.t.Fatal(err)
		}
		_ = os.RemoveAll(root)
		e.t.Logf("debootstrap took %v", time.Since(begin).Round(time.Second))
	}
	e.do("docker", "import", archive, "plain")
	own := filepath.Join(e.dir, "own")
	mkdir(e.t, own)
	certs, _ := filepath.Glob("/usr/local/share/ca-certificates/*.crt")
	lines := "FROM plain\nCMD [\"bash\"]\n"
	for _, c := range certs {
		b, err := os.ReadFile(c)
		if err != nil {
			e.t.Fatal(err)
		}
		writeFile(e.t, filepath.Join(own, filepath.Base(c)), string(b))
		lines += fmt.Sprintf("COPY %s /usr/local/share/ca-certificates/\n", filepath.Base(c))
	}
	for _, name := range []string{"PIP_CERT", "PIP_INDEX_URL", "NODE_EXTRA_CA_CERTS", "npm_config_registry",
		"http_proxy", "https_proxy", "no_proxy"} {
		if v := os.Getenv(name); v != "" {
			lines += fmt.Sprintf("ENV %s=%q\n", name, v)
		}
	}
	writeFile(e.t, filepath.Join(own, "Dockerfile"), lines)
	e.do("docker", "build", "-q", "-t", image, own)
}

// checkout copies what git knows of, as it stands.
func checkout(t *testing.T, to string) {
	t.Helper()
	top, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	list, err := exec.Command("git", "-C", top, "ls-files", "-z", "-co", "--exclude-standard").Output()
	if err != nil {
		t.Fatalf("git ls-files: %v", err)
	}
	for _, name := range strings.Split(strings.TrimRight(string(list), "\x00"), "\x00") {
		b, err := os.ReadFile(filepath.Join(top, name))
		if errors.Is(err, os.ErrNotExist) {
			continue // deleted, not yet committed
		}
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(to, name)
		mkdir(t, filepath.Dir(path))
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// composed is the service of docker-compose.yml.
type composed struct {
	*engine
	file              string
	https, http, stun int
	url               string
}

func (c *composed) compose(args ...string) string {
	c.t.Helper()
	return c.do("docker-compose", append([]string{"-p", "fairlead-test", "-f", c.file}, args...)...)
}

// in runs a command inside the container.
func (c *composed) in(args ...string) (string, error) {
	return c.try(nil, "docker-compose", append([]string{"-p", "fairlead-test", "-f", c.file, "exec", "-T",
		"fairlead"}, args...)...)
}

func (c *composed) id() string {
	c.t.Helper()
	return strings.TrimSpace(c.compose("ps", "-q", "fairlead"))
}

// up starts the service and waits until the engine calls it healthy.
func (c *composed) up() time.Duration {
	c.t.Helper()
	begin := time.Now()
	c.compose("up", "-d", "--no-build")
	last := ""
	eventually(c.t, 60*time.Second, "the container is healthy", func() bool {
		last = c.do("docker", "inspect", "-f", "{{.State.Status}} {{.State.Health.Status}} {{json .State.Health.Log}}",
			c.id())
		if strings.HasPrefix(last, "exited") || strings.HasPrefix(last, "restarting") {
			c.t.Fatalf("the container does not run: %s\n%s", last, c.do("docker", "logs", c.id()))
		}
		return strings.HasPrefix(last, "running healthy")
	})
	if !strings.Contains(last, "healthy: the server answers on /run/fairlead/fairlead.sock") {
		c.t.Errorf("the health check said %s", last)
	}
	return time.Since(begin)
}

// identity of the server: its Noise key and the certificate that clients have pinned.
func (c *composed) identity() string {
	c.t.Helper()
	_, key := (&server{url: c.url}).get(c.t, "/key?v=130")
	conn, err := tls.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", c.https), &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		c.t.Fatal(err)
	}
	defer conn.Close()
	return fmt.Sprintf("%s %x", key, sha256.Sum256(conn.ConnectionState().PeerCertificates[0].Raw))
}

func (c *composed) nodes() (list []nodeInfo) {
	c.t.Helper()
	out, err := c.in("fairlead", "nodes", "list", "-o", "json")
	if err != nil {
		c.t.Fatal(err)
	}
	var v struct {
		Nodes []nodeInfo `json:"nodes"`
	}
	if err := json.Unmarshal([]byte(out), &v); err != nil {
		c.t.Fatal(err)
	}
	return v.Nodes
}

// answersSTUN asks through the published UDP port.
func (c *composed) answersSTUN() bool {
	conn, err := net.Dial("udp", fmt.Sprintf("127.0.0.1:%d", c.stun))
	if err != nil {
		c.t.Fatal(err)
	}
	defer conn.Close()
	id := stun.NewTxID()
	_, _ = conn.Write(stun.Request(id))
	_ = conn.SetReadDeadline(time.Now().Add(time.Second))
	b := make([]byte, 1500)
	n, err := conn.Read(b)
	if err != nil {
		return false
	}
	got, _, err := stun.ParseResponse(b[:n])
	return err == nil && got == id
}

// confined checks what the container may not do.
func (c *composed) confined() {
	c.t.Helper()
	if out, err := c.in("id", "-u"); err != nil || strings.TrimSpace(out) != "10001" {
		c.t.Errorf("runs as user %q %v", out, err)
	}
	for _, path := range []string{"/x", "/usr/local/bin/x", "/etc/x", "/home/x"} {
		if _, err := c.in("touch", path); err == nil || !strings.Contains(err.Error(), "Read-only") {
			c.t.Errorf("touch %s: %v", path, err)
		}
	}
	status, err := c.in("cat", "/proc/1/status")
	if err != nil {
		c.t.Fatal(err)
	}
	for _, want := range []string{"CapEff:\t0000000000000000", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"} {
		if !strings.Contains(status, want) {
			c.t.Errorf("/proc/1/status has no %q", want)
		}
	}
}

func TestContainer(t *testing.T) {
	t.Parallel()
	e := startEngine(t)
	begin := time.Now()
	e.base("debian:bookworm-slim")
	t.Logf("base image after %v", time.Since(begin).Round(time.Second))
	src := filepath.Join(e.dir, "src")
	checkout(t, src)
	begin = time.Now()
	e.do("docker", "build", "-q", "--network", "host", "-t", "fairlead", src)
	t.Logf("build took %v, the image has %s bytes", time.Since(begin).Round(time.Second),
		strings.TrimSpace(e.do("docker", "inspect", "-f", "{{.Size}}", "fairlead")))

	c := &composed{engine: e, file: filepath.Join(src, "docker-compose.yml"), https: freePort(t, "tcp"),
		http: freePort(t, "tcp"), stun: freePort(t, "udp")}
	c.url = fmt.Sprintf("http://127.0.0.1:%d", c.http)
	e.env = append(e.env, "FAIRLEAD_SERVER_URL="+c.url, fmt.Sprint("FAIRLEAD_HTTPS_PORT=", c.https),
		fmt.Sprint("FAIRLEAD_HTTP_PORT=", c.http), fmt.Sprint("FAIRLEAD_STUN_PORT=", c.stun))
	c.compose("config", "-q")
	if _, err := e.try(nil, "docker", "compose", "version"); err == nil {
		e.do("docker", "compose", "-f", c.file, "config", "-q")
	}
	t.Logf("healthy after %v", c.up().Round(time.Millisecond))
	first := c.id()
	log := c.do("docker", "logs", first)
	wantWords(t, log, "docker compose exec fairlead fairlead keys create", "--login-server="+c.url)
	key := regexp.MustCompile(`tskey-auth-[A-Za-z0-9_-]+`).FindString(log)
	if key == "" {
		t.Fatalf("no key in the log:\n%s", log)
	}
	c.confined()
	if !c.answersSTUN() {
		t.Error("no STUN answer through the published port")
	}

	n := newNode(t, nodeOptions{url: c.url, key: key, hostname: "edge"})
	n.mustUp()
	before, was := identityOf(n), c.identity()
	eventually(t, 20*time.Second, "the node is online", func() bool {
		l := c.nodes()
		return len(l) == 1 && l[0].Online
	})

	c.compose("stop")
	if code := strings.TrimSpace(c.do("docker", "inspect", "-f", "{{.State.ExitCode}}", first)); code != "0" {
		t.Errorf("the stopped container ended with %s:\n%s", code, lastLines(c.do("docker", "logs", first), 10))
	}
	c.compose("rm", "-f")
	t.Logf("made again, healthy after %v", c.up().Round(time.Millisecond))
	if c.id() == first {
		t.Fatal("it is the same container")
	}
	if is := c.identity(); is != was {
		t.Errorf("the server was %s and is %s", was, is)
	}
	if log := c.do("docker", "logs", c.id()); strings.Contains(log, "tskey-") {
		t.Error("a second start prints a key")
	}
	eventually(t, 60*time.Second, "the node is online again by itself", func() bool {
		l := c.nodes()
		return len(l) == 1 && l[0].Online && l[0].Name == "edge"
	})
	if is := identityOf(n); is != before {
		t.Errorf("the node was %v and is %v", before, is)
	}
	if out, err := c.in("fairlead", "keys", "create", "--quiet"); err != nil || !strings.HasPrefix(out, "tskey-auth-") {
		t.Errorf("another key: %v", err)
	}
	backup, err := c.in("fairlead", "backup", "-")
	if err != nil || !strings.HasPrefix(backup, "fairlead-backup/MANIFEST") {
		t.Fatalf("backup out of the container: %v", err)
	}
	c.restored([]byte(backup), was)
}

// restored puts the backup into a fresh volume, as docs/operations.md says, and starts on it.
func (c *composed) restored(backup []byte, want string) {
	c.t.Helper()
	c.compose("down", "-v")
	out, err := c.try(backup, "docker-compose", "-p", "fairlead-test", "-f", c.file, "run", "--rm", "-T", "fairlead",
		"restore", "-")
	if err != nil {
		c.t.Fatalf("restore: %v", err)
	}
	wantWords(c.t, out, "Restored")
	c.up()
	if is := c.identity(); is != want {
		c.t.Errorf("restored from a backup, the server was %s and is %s", want, is)
	}
	if l := c.nodes(); len(l) != 1 {
		c.t.Errorf("restored from a backup: nodes %v", l)
	}
}
