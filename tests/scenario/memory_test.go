// Proves that a streaming node costs the server no more memory than docs/scaling.md says, plain and with TLS.
package scenario

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

const (
	plainBudget = 25 << 10 // bytes a node, as stated
	tlsBudget   = 45 << 10
	memorySlack = 1.5 // the allocator's own pages
)

// ownBytes is the memory of the process that no file is behind.
func ownBytes(t *testing.T, pid int) int {
	t.Helper()
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if rest, ok := strings.CutPrefix(lines.Text(), "RssAnon:"); ok {
			kib, err := strconv.Atoi(strings.Fields(rest)[0])
			if err != nil {
				t.Fatal(err)
			}
			return kib << 10
		}
	}
	t.Fatal("the kernel does not say RssAnon")
	return 0
}

// joinOver lets n nodes join and stream, through TLS at this address unless that is "".
func joinOver(t *testing.T, s *server, key string, n int, secure string) []*lightNode {
	t.Helper()
	nodes := make([]*lightNode, n)
	for i := range nodes {
		nodes[i] = newLightNode(s, fmt.Sprintf("light-%03d", i))
		nodes[i].secure = secure
		t.Cleanup(nodes[i].close)
	}
	err := parallel(n, 50, func(i int) error {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		return nodes[i].join(ctx, key)
	})
	if err != nil {
		t.Fatal(err)
	}
	return nodes
}

func TestMemoryOfStreams(t *testing.T) {
	for _, c := range []struct {
		name   string
		isTLS  bool
		budget int
	}{{"plain", false, plainBudget}, {"TLS", true, tlsBudget}} {
		t.Run(c.name, func(t *testing.T) {
			s := startServer(t)
			if isSanitized() {
				t.Skip("a sanitizer has memory of its own")
			}
			secure := ""
			if c.isTLS {
				secure = fmt.Sprintf("127.0.0.1:%d", s.https)
			}
			key := s.newKey("--reusable").Key
			joinOver(t, s, key, 100, secure) // what is there once for all
			before := ownBytes(t, s.pid())
			nodes := joinOver(t, s, key, 300, secure)
			eventually(t, 20*time.Second, "everybody sees everybody", func() bool {
				for _, n := range nodes {
					if !seesAll(n, 400) {
						return false
					}
				}
				return true
			})
			each := (ownBytes(t, s.pid()) - before) / len(nodes)
			t.Logf("%.1f KiB a node", float64(each)/1024)
			if float64(each) > float64(c.budget)*memorySlack {
				t.Errorf("%d bytes a node, %d are said", each, c.budget)
			}
		})
	}
}
