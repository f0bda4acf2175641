// Proves the take-over that a restart is made of, by hand and under systemd: several at once, a server that hangs, none
// at all; and systemd is told who is the service.
package scenario

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

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

// Under systemd: the old process says who is the service, the new one that it is ready; nobody else may take over.
func TestRestartUnderSystemd(t *testing.T) {
	s := newRestartServer(t)
	path, next := notifications(t)
	s.prefix = []string{"env", "NOTIFY_SOCKET=" + path}
	s.start()
	wantWords(t, next(10*time.Second), "READY=1")
	s.prefix = nil
	wantWords(t, s.takeoverFails("NOTIFY_SOCKET="+path), "service manager", "fairlead restart")
	r := s.restart()
	wantWords(t, next(10*time.Second), fmt.Sprintf("MAINPID=%d", r.PID))
	wantWords(t, next(10*time.Second), "READY=1")
	stopped := make(chan struct{})
	go func() {
		s.stop()
		close(stopped)
	}()
	wantWords(t, next(10*time.Second), "STOPPING=1")
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
