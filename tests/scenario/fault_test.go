// Proves that no failure of memory, SQL or disk loses what was acknowledged or leaves half of something: the first,
// the second … call fails on the way of a join and of a new key; the server refuses in clear words or ends with them.
package scenario

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// faults is the control file of tests/tools/fault.c, shared with a server.
type faults struct {
	*server
	words  []int64
	path   string
	image  string // what a power cut would leave; "": not kept
	client *http.Client
}

// Words of the control file.
const (
	faultKind = iota
	faultN
	faultError
	faultGate
	faultDepth
	faultLasting
	faultSyncMS
	faultCount
	faultFired
	faultBusy
	faultBytes = 64 << 10
)

// What is counted and fails.
const (
	kindAllocation = iota + 1
	kindWrite
	kindStep
)

// Result codes of SQLite.
const (
	sqliteNoMemory = 7
	sqliteIOErr    = 10
	sqliteFull     = 13
)

var faultLibrary = madeOnce("fault", "build/fault.so")

var lastSteadyPort atomic.Int32

// steadyPort is a free port that the kernel gives to nobody who does not ask for it.
func steadyPort(t *testing.T) int {
	t.Helper()
	for range 1000 {
		port := 20000 + int(lastSteadyPort.Add(1)+int32(os.Getpid()))%10000
		if l, err := net.Listen("tcp", "127.0.0.1:"+itoa(port)); err == nil {
			l.Close()
			return port
		}
	}
	t.Fatal("no port is free")
	return 0
}

// newFaultServer prepares a server under the library; nothing fails yet.
func newFaultServer(t *testing.T, keepsImage bool, flags ...string) *faults {
	t.Helper()
	if isSanitized() {
		t.Skip("a sanitizer has allocation functions of its own")
	}
	library, err := faultLibrary()
	if err != nil {
		t.Fatal(err)
	}
	f := &faults{server: newServer(t, flags...)}
	f.log = &logBuffer{}
	// Servers come and go: meanwhile no connection of somebody may take their ports.
	f.https, f.http, f.metrics, f.stun = steadyPort(t), steadyPort(t), steadyPort(t), steadyPort(t)
	f.url = "http://" + f.plain()
	f.path = filepath.Join(filepath.Dir(f.dir), "control")
	if err := os.WriteFile(f.path, make([]byte, faultBytes), 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := os.OpenFile(f.path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	b, err := unix.Mmap(int(file.Fd()), 0, faultBytes, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.server.stop(); _ = unix.Munmap(b) })
	f.words = unsafe.Slice((*int64)(unsafe.Pointer(&b[0])), faultBusy+1)
	f.set(faultDepth, 6)
	f.prefix = []string{"env", "LD_PRELOAD=" + library, "FAULT_CONTROL=" + f.path, "FAULT_DATA=" + f.dir}
	if keepsImage {
		f.image = filepath.Join(filepath.Dir(f.dir), "image")
		f.prefix = append(f.prefix, "FAULT_IMAGE="+f.image)
		if err := os.Mkdir(f.image, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", f.socket)
	}
	f.client = &http.Client{Timeout: 5 * time.Second,
		Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}
	// A server that ends by an assertion shall not write its memory to the disk.
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *faults) set(word int, v int64)   { atomic.StoreInt64(&f.words[word], v) }
func (f *faults) get(word int) int64      { return atomic.LoadInt64(&f.words[word]) }
func (f *faults) lasting(e syscall.Errno) { f.set(faultLasting, int64(e)) }

// arm has the n-th call of a kind from now on fail; 0: the first at a place where none has failed yet.
func (f *faults) arm(kind int, n int64, code int64) {
	f.set(faultKind, 0)
	f.set(faultCount, 0)
	f.set(faultFired, 0)
	f.set(faultBusy, 0) // who was killed there says no more
	f.set(faultN, n)
	f.set(faultError, code)
	f.set(faultKind, int64(kind))
}

// disarm says whether a call has failed.
func (f *faults) disarm() bool {
	f.set(faultKind, 0)
	for range 1000 {
		if f.get(faultBusy) == 0 || f.get(faultFired) > 0 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	return f.get(faultFired) > 0
}

// api makes a request as `fairlead` does, without its process. Another status than 200 is an error with its message.
func (f *faults) api(method, path string, body, out any) error {
	var r io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return err
		}
		r = bytes.NewReader(b)
	}
	req, err := http.NewRequest(method, "http://fairlead/api/fairlead/v1"+path, r)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := f.client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if res.StatusCode != 200 {
		return refusal(fmt.Sprintf("%d: %s", res.StatusCode, b))
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(b, out)
}

// refusal is what the server said, in contrast to a connection that ended.
type refusal string

func (r refusal) Error() string { return string(r) }

func isAnswer(err error) bool {
	_, isRefusal := err.(refusal)
	return isRefusal || strings.Contains(err.Error(), "register: ") || strings.Contains(err.Error(), "map: ")
}

type faultKey struct {
	ID, Key string
	Uses    int
}

type faultNode struct {
	ID, Name, NodeKey, KeyID string
	Addresses                []string
}

func (f *faults) state() (nodes []faultNode, keys []faultKey) {
	f.t.Helper()
	var n struct{ Nodes []faultNode }
	var k struct{ Keys []faultKey }
	if err := f.api("GET", "/nodes", nil, &n); err != nil {
		f.t.Fatal(err)
	}
	if err := f.api("GET", "/keys", nil, &k); err != nil {
		f.t.Fatal(err)
	}
	return n.Nodes, k.Keys
}

// serves says whether the server answers; if not, it has ended.
func (f *faults) serves() bool {
	f.t.Helper()
	err := f.api("GET", "/status", nil, nil)
	if err == nil { // whom a failure ends may be about to
		time.Sleep(5 * time.Millisecond)
		err = f.api("GET", "/status", nil, nil)
	}
	if err == nil {
		return true
	}
	f.mu.Lock()
	done := f.done
	f.mu.Unlock()
	select {
	case <-done:
		return false
	case <-time.After(5 * time.Second):
		f.t.Fatalf("the server neither serves nor ends: %v", err)
		return false
	}
}

// faultAction is something that the server acknowledges, and what must be true of it afterwards.
type faultAction struct {
	name    string
	prepare func(r *faultRun)       // nothing fails yet
	do      func(r *faultRun) error // nil: acknowledged
	check   func(r *faultRun, isAcknowledged bool)
}

// faultRun is one walk of an action through all its failures.
type faultRun struct {
	*faults
	t      *testing.T
	serial int
	key    faultKey // of the join to come, or the one that was made
	node   *lightNode
	before any               // what an action changes, as it was
	joined map[string]string // node keys that were acknowledged, and their addresses
	keys   map[string]bool   // ids of keys that were
}

func (r *faultRun) newKey(description string) (k faultKey, err error) {
	err = r.api("POST", "/keys", map[string]any{"description": description}, &k)
	return k, err
}

func bounded(d time.Duration, fn func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	return fn(ctx)
}

// faultActions are walked one by one, each in all ways.
var faultActions = append([]faultAction{
	{
		name: "join",
		prepare: func(r *faultRun) {
			var err error
			if r.key, err = r.newKey(""); err != nil {
				r.t.Fatal(err)
			}
			r.node = newLightNode(r.server, fmt.Sprintf("node-%d", r.serial))
		},
		do: func(r *faultRun) error {
			defer r.node.close()
			return bounded(5*time.Second, func(ctx context.Context) error {
				if err := r.node.dial(ctx); err != nil {
					return err
				}
				if err := r.node.register(ctx, r.key.Key); err != nil {
					return err
				}
				r.joined[r.node.node.Public().String()] = ""
				if err := r.node.stream(ctx); err != nil {
					return fmt.Errorf("after the join: %w", err)
				}
				return nil
			})
		},
		check: func(r *faultRun, _ bool) {
			// The client tries again with the same keys: whatever was left of the first attempt, it joins.
			again := newLightNode(r.server, r.node.hostname)
			again.machine, again.node, again.disco = r.node.machine, r.node.node, r.node.disco
			defer again.close()
			err := bounded(10*time.Second, func(ctx context.Context) error { return again.join(ctx, r.key.Key) })
			if err != nil {
				r.t.Fatalf("the client cannot join afterwards: %v", err)
			}
			r.joined[again.node.Public().String()] = again.selfNode().Addresses[0].String()
		},
	},
	{
		name:    "key",
		prepare: func(r *faultRun) { r.key = faultKey{} },
		do: func(r *faultRun) (err error) {
			r.key, err = r.newKey(fmt.Sprintf("key %d", r.serial))
			return err
		},
		check: func(r *faultRun, isAcknowledged bool) {
			if isAcknowledged {
				r.keys[r.key.ID] = true
			}
			k, err := r.newKey("the next")
			if err != nil || k.Key == "" {
				r.t.Fatalf("no key can be made afterwards: %v", err)
			}
			r.keys[k.ID] = true
		},
	},
}, faultChanges...)

// consistent fails unless all that was acknowledged is there, once, and nothing by halves.
func (r *faultRun) consistent() {
	r.t.Helper()
	nodes, keys := r.state()
	owner, users, there := map[string]string{}, map[string]int{}, map[string]bool{}
	for _, n := range nodes {
		for _, a := range n.Addresses {
			if owner[a] != "" {
				r.t.Errorf("%s is given to %s and %s", a, owner[a], n.Name)
			}
			owner[a] = n.Name
		}
		if len(n.Addresses) != 2 || n.Name == "" {
			r.t.Errorf("half a node: %+v", n)
		}
		users[n.KeyID]++
		there[n.NodeKey] = true
		if a := r.joined[n.NodeKey]; a != "" && !strings.HasPrefix(a, n.Addresses[0]+"/") {
			r.t.Errorf("%s had %s and has %s", n.Name, a, n.Addresses[0])
		}
	}
	for k := range r.joined {
		if !there[k] {
			r.t.Errorf("an acknowledged node is lost: %s", k)
		}
	}
	for _, k := range keys {
		there[k.ID] = true
		if k.Uses != users[k.ID] {
			r.t.Errorf("key %s was used %d times, for %d nodes", k.ID, k.Uses, users[k.ID])
		}
	}
	for k := range r.keys {
		if !there[k] {
			r.t.Errorf("an acknowledged key is lost: %s", k)
		}
	}
}

// sqlite runs a statement on a database that nobody has open.
func sqlite(t testing.TB, path string, sql ...string) string {
	t.Helper()
	cmd := exec.Command("sqlite3", "-batch", "-bail", path)
	cmd.Stdin = strings.NewReader(strings.Join(sql, ";\n"))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("sqlite3 %s: %v %s", path, err, out)
	}
	return string(out)
}

func (f *faults) database() string { return filepath.Join(f.dir, "fairlead.db") }

// integrity has SQLite look at the database of a server that does not run.
func (f *faults) integrity() {
	f.t.Helper()
	if out := sqlite(f.t, f.database(), "PRAGMA integrity_check; PRAGMA foreign_key_check"); out != "ok\n" {
		f.t.Errorf("the database is not whole: %s", out)
	}
}

// clearWords are in every refusal for want of memory or of a disk.
var clearWords = regexp.MustCompile(`\b503\b.*(no memory left|disk is full|cannot write its database)`)

// lastWords are those of a server that ends for want of memory; it says what to do.
var lastWords = regexp.MustCompile(`(?m)^fairlead: no memory is left.*more memory`)

// printed is what the server printed since before.
func (f *faults) printed(before int) string {
	return strings.TrimSpace(f.log.String()[before:])
}

// migrationWords end a start that fails.
var migrationWords = regexp.MustCompile(`(?m)^fairlead: .{30,}$`)

// startMayFail runs the server until it answers or ends.
func (f *faults) startMayFail() (isUp bool) {
	f.t.Helper()
	f.launch()
	for begin := time.Now(); time.Since(begin) < 20*time.Second; time.Sleep(5 * time.Millisecond) {
		if f.api("GET", "/status", nil, nil) == nil {
			return true
		}
		select {
		case <-f.done:
			return false
		default:
		}
	}
	f.t.Fatal("the server neither serves nor ends")
	return false
}

type faultWay struct {
	name  string
	kind  int
	code  int64
	least int // fewer failures were no walk
	// the server is killed after each failure, or by it; with isCut power fails
	isKilled, isCut bool
}

var faultWays = []faultWay{
	{name: "allocation", kind: kindAllocation, least: 40},
	{name: "step without memory", kind: kindStep, code: sqliteNoMemory, least: 5},
	{name: "step on a full disk", kind: kindStep, code: sqliteFull, least: 5},
	{name: "step on a bad disk", kind: kindStep, code: sqliteIOErr, least: 5, isKilled: true},
	{name: "write on a full disk", kind: kindWrite, code: int64(syscall.ENOSPC), least: 10},
	{name: "write on a bad disk", kind: kindWrite, code: int64(syscall.EIO), least: 10, isKilled: true},
	{name: "power cut at a write", kind: kindWrite, code: -int64(syscall.SIGKILL), least: 10, isKilled: true, isCut: true},
}

// TestFaultLoop: the first call fails, then the second, until the action passes untouched.
func TestFaultLoop(t *testing.T) {
	for _, a := range faultActions {
		for _, w := range faultWays {
			t.Run(a.name+"/"+w.name, func(t *testing.T) {
				t.Parallel()
				walk(t, &a, &w)
			})
		}
	}
}

func walk(t *testing.T, a *faultAction, w *faultWay) {
	f := newFaultServer(t, w.isCut)
	f.start()
	r := &faultRun{faults: f, t: t, joined: map[string]string{}, keys: map[string]bool{}}
	begin := time.Now()
	refused, ended := 0, 0
	for r.serial = 1; r.serial < 2000; r.serial++ {
		a.prepare(r)
		before := len(f.log.String())
		n := int64(r.serial)
		if w.kind == kindAllocation {
			n = 0
		}
		f.arm(w.kind, n, w.code)
		err := a.do(r)
		if !f.disarm() {
			if err != nil {
				t.Fatalf("%v, but nothing has failed", err)
			}
			break
		}
		switch {
		case w.isKilled && w.isCut:
			ended++
			f.kill()
			f.cutPower(r.serial%2 == 0)
			f.integrity()
			f.start()
		case !f.serves():
			ended++
			if said := f.printed(before); w.kind != kindAllocation || !lastWords.MatchString(said) {
				t.Errorf("the server ended without clear words: %s", said)
			}
			f.kill()
			f.integrity()
			f.start()
		default:
			if err != nil {
				refused++
			}
			// A connection may break for want of memory; an answer says why.
			if err != nil && (w.kind != kindAllocation || isAnswer(err)) && !clearWords.MatchString(err.Error()) {
				t.Errorf("these are no clear words: %v", err)
			}
			if w.isKilled {
				f.kill()
				f.integrity()
				f.start()
			}
		}
		r.consistent()
		a.check(r, err == nil)
		if t.Failed() {
			t.Fatalf("after failure %d: %v\n%s", r.serial, err, f.printed(before))
		}
	}
	r.consistent()
	f.kill()
	f.integrity()
	f.start()
	r.consistent()
	n := r.serial - 1
	t.Logf("%d failures: %d refused, %d ended the server, %d unnoticed; %v", n, refused, ended, n-refused-ended,
		time.Since(begin).Round(time.Millisecond))
	if n < w.least {
		t.Errorf("only %d failures", n)
	}
}
