// Proves the metrics port: what a scraper gets counts what the official DERP client did; who comes through a proxy
// gets nothing, and a port in use stops no server.
package scenario

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"tailscale.com/derp"
	"tailscale.com/types/key"
)

// metric returns the value of a sample, named with its labels.
func (s *server) metric(name string) float64 {
	s.t.Helper()
	res, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/metrics", s.metrics))
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != 200 {
		s.t.Fatalf("%s %v", res.Status, err)
	}
	m := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(name) + ` (\S+)$`).FindStringSubmatch(string(body))
	if m == nil {
		s.t.Fatalf("no %s in\n%s", name, body)
	}
	v, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		s.t.Fatal(err)
	}
	return v
}

func TestMetrics(t *testing.T) {
	s := startServer(t, "--derp-verify-clients=false")
	url := fmt.Sprintf("ws://127.0.0.1:%d/derp", s.http)
	ka, kb := key.NewNode(), key.NewNode()
	a, _, err := derpOverWS(t, url, ka)
	if err != nil {
		t.Fatal(err)
	}
	b, _, err := derpOverWS(t, url, kb)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Send(kb.Public(), make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	if _, ok := next[derp.ReceivedPacket](received(b)); !ok {
		t.Fatal("the packet did not come")
	}
	if err := a.Send(key.NewNode().Public(), []byte("nobody")); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]float64{
		"derp_accepts": 2, "derp_current_connections": 2, "derp_websocket_accepts": 2,
		"derp_packets_received": 2, "derp_packets_sent": 1, "derp_bytes_sent": 1000,
		`derp_packets_dropped{reason="unknown_dest",kind="other"}`: 1,
		`derp_bytes_dropped{reason="unknown_dest",kind="other"}`:   6,
	} {
		eventually(t, 5*time.Second, fmt.Sprintf("%s = %v", name, want),
			func() bool { return s.metric(name) == want })
	}
	if s.metric("process_resident_memory_bytes") < 1<<20 || s.metric("process_start_time_seconds") <
		float64(time.Now().Add(-time.Minute).Unix()) {
		t.Error("the process is not described")
	}

	req, _ := http.NewRequest("GET", fmt.Sprintf("http://127.0.0.1:%d/metrics", s.metrics), nil)
	req.Header.Set("X-Forwarded-For", "203.0.113.9")
	if res, err := http.DefaultClient.Do(req); err != nil || res.StatusCode != 403 {
		t.Errorf("through a proxy: %v %v", res, err)
	}
	if res, body := s.get(t, "/metrics"); res.StatusCode == 200 || strings.Contains(body, "derp_accepts") {
		t.Errorf("metrics on the public port: %s", res.Status)
	}
}

func TestMetricsPortInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s := newServer(t)
	s.metrics = l.Addr().(*net.TCPAddr).Port
	s.start()
	if !strings.Contains(s.log.String(), "no metrics") {
		t.Errorf("no warning in\n%s", s.log.String())
	}
}
