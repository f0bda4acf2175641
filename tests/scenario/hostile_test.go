// Proves that misbehaving clients are refused, bounded and logged little, while 50 healthy ones notice nothing: garbage,
// truncated and oversized messages, slow and silent clients, floods, stolen and guessed keys.
package scenario

import (
	"strings"
	"sync"
	"testing"
	"time"
)

// attack is one way to misbehave. It returns when it is over and its connections are closed.
type attack struct {
	name string
	fn   func(a *attacker)
	// most that the server may keep afterwards, and may log
	rssMB, logBytes int
}

// attacker is what an attack has to work with.
type attacker struct {
	t       *testing.T
	s       *server
	w       *witness
	authKey string
	run     *hostileRun
}

// hostileRun is what attacks of one run share.
type hostileRun struct {
	lates sync.WaitGroup
	t     *testing.T
}

// late has fn judged at the end of all attacks.
func (a *attacker) late(what string, fn func() error) {
	a.run.lates.Add(1)
	go func() {
		defer a.run.lates.Done()
		if err := fn(); err != nil {
			a.run.t.Errorf("%s: %v", what, err)
		}
	}()
}

const (
	attackRSS = 48 // MB that may stay behind an attack: freed memory that the allocator keeps
	attackLog = 8 << 10
)

func TestHostile(t *testing.T) {
	s := startServer(t, "--limits-head-ms", "3000")
	k := s.newKey("--reusable").Key
	w := newWitness(t, s, k)
	run := &hostileRun{t: t}
	for _, list := range [][]attack{doorAttacks, controlAttacks, relayAttacks} {
		for _, at := range list {
			t.Run(at.name, func(t *testing.T) { runAttack(t, w, run, &at, k) })
		}
	}
	run.lates.Wait()
	if log := s.log.String(); strings.Contains(log, k[len(k)-20:]) || strings.Contains(log, "privkey:") {
		t.Error("a secret is in the log")
	}
}

func runAttack(t *testing.T, w *witness, run *hostileRun, at *attack, authKey string) {
	w.t = t
	s := w.s
	rss, files, logged := s.rssMB(), s.openFiles(), len(s.log.String())
	at.fn(&attacker{t: t, s: s, w: w, authKey: authKey, run: run})
	eventually(t, 15*time.Second, "descriptors of the attack are closed", func() bool {
		return s.openFiles() <= files+witnesses/2
	})
	w.check(at.name, logged)
	if got, most := s.rssMB(), rss+max(at.rssMB, attackRSS); got > most && !isSanitized() {
		t.Errorf("%d MB before, %d MB after", rss, got)
	}
	if got := len(s.log.String()) - logged; got > max(at.logBytes, attackLog) {
		t.Errorf("%d bytes were logged:\n%.3000s", got, s.log.String()[logged:])
	}
}

// timed runs fn in n goroutines, from addresses 127.0.1.1 on, until it returns false or the time is over.
func (a *attacker) timed(n int, d time.Duration, fn func(i int, from string) bool) {
	end := time.Now().Add(d)
	_ = parallel(n, n, func(i int) error {
		for time.Now().Before(end) && fn(i, loopback(i)) {
		}
		return nil
	})
}

// loopback is an address of an attacker: limits per source shall not be what stops the rest of an attack.
func loopback(i int) string {
	return "127.0.1." + itoa(1+i%200)
}
