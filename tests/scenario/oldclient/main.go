// A client of another version of the Tailscale module, told what to do on its standard input: the same source is built
// with the oldest version that the server claims to serve (go.mod here) and with the one of the scenario tests
// (../cmd/mapclient), so that what both understand of the same tailnet can be compared.
//
// It joins with an auth key and prints one JSON object for each line it reads. As a map client (the default) it is
// that version's controlclient alone, and the object is its network map, as its own decoder and map session keep it.
// With -real it is a whole client (tsnet), and the object is its status; it answers HTTP on port 80 with its hostname.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"

	"tailscale.com/control/controlclient"
	"tailscale.com/envknob"
	"tailscale.com/tailcfg"
	"tailscale.com/tsnet"
	"tailscale.com/types/key"
	"tailscale.com/types/netmap"
	"tailscale.com/util/clientmetric"
)

// mapState is what a map client tells of itself.
type mapState struct {
	Capability tailcfg.CapabilityVersion
	Self       any
	Peers      map[string]any // by node name
	DNS        any
	Filter     any
	Matches    int // what became of the filter, in entries
	SSH        any
	DERP       any
	Domain     string
	Profiles   map[tailcfg.UserID]string
	Health     []string
	Failed     string           // how the last stream ended
	Counters   map[string]int64 // of the module's own, those of map streams
}

// stateUpdater keeps the newest map. It has no method for deltas, so that the module's map session applies them.
type stateUpdater struct {
	mu    sync.Mutex
	state mapState
}

func (u *stateUpdater) UpdateFullNetmap(nm *netmap.NetworkMap) {
	s := mapState{
		Capability: tailcfg.CurrentCapabilityVersion, Self: nm.SelfNode, Peers: map[string]any{}, DNS: nm.DNS,
		Filter: nm.PacketFilterRules, Matches: len(nm.PacketFilter), SSH: nm.SSHPolicy, DERP: nm.DERPMap,
		Domain: nm.Domain, Profiles: profilesOf(nm), Health: healthOf(nm),
	}
	for _, p := range nm.Peers {
		s.Peers[strings.SplitN(p.Name(), ".", 2)[0]] = p
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.state = s
}

func (u *stateUpdater) failed(err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.state.Failed = err.Error()
}

func (u *stateUpdater) report(context.Context) (any, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	s := u.state
	s.Counters = map[string]int64{}
	for _, m := range clientmetric.Metrics() {
		if name, ok := strings.CutPrefix(m.Name(), "controlclient_"); ok {
			s.Counters[name] = m.Value()
		}
	}
	return s, nil
}

type reporter func(ctx context.Context) (any, error)

func mapClient(ctx context.Context, url, authKey string, host *tailcfg.Hostinfo) (reporter, error) {
	machine := key.NewMachine()
	o, err := directOptions()
	if err != nil {
		return nil, err
	}
	o.ServerURL, o.AuthKey, o.DiscoPublicKey = url, authKey, key.NewDisco().Public()
	o.GetMachinePrivateKey = func() (key.MachinePrivate, error) { return machine, nil }
	o.Hostinfo = host
	o.Logf = quiet
	c, err := controlclient.NewDirect(o)
	if err != nil {
		return nil, err
	}
	within, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	if link, err := c.TryLogin(within, controlclient.LoginDefault); err != nil || link != "" {
		return nil, fmt.Errorf("not joined: %q %w", link, err)
	}
	u := &stateUpdater{}
	go func() {
		for ctx.Err() == nil {
			if err := c.PollNetMap(ctx, u); err != nil {
				u.failed(err)
			}
			time.Sleep(100 * time.Millisecond)
		}
	}()
	return u.report, nil
}

func realClient(ctx context.Context, url, authKey string, host *tailcfg.Hostinfo) (reporter, error) {
	dir, err := os.MkdirTemp("", "client")
	if err != nil {
		return nil, err
	}
	cleanups = append(cleanups, func() { os.RemoveAll(dir) })
	ts := &tsnet.Server{Dir: dir, Hostname: host.Hostname, ControlURL: url, AuthKey: authKey, Logf: quiet, UserLogf: quiet}
	cleanups = append(cleanups, func() { ts.Close() })
	within, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if _, err := ts.Up(within); err != nil {
		return nil, err
	}
	lc, err := ts.LocalClient()
	if err != nil {
		return nil, err
	}
	l, err := ts.Listen("tcp", ":80")
	if err != nil {
		return nil, err
	}
	go http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, host.Hostname) }))
	return func(ctx context.Context) (any, error) { return lc.Status(ctx) }, nil
}

var cleanups []func()

func quiet(string, ...any) {}

func run() error {
	url := flag.String("login-server", "", "address of the server")
	authKey := flag.String("authkey", "", "auth key")
	hostname := flag.String("hostname", "", "name of the machine")
	route := flag.String("route", "", "what a map client offers a way to")
	isReal := flag.Bool("real", false, "be a whole client")
	flag.Parse()
	envknob.SetNoLogsNoSupport()
	defer func() {
		for i := len(cleanups) - 1; i >= 0; i-- {
			cleanups[i]()
		}
	}()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	start := mapClient
	if *isReal {
		start = realClient
	}
	host := &tailcfg.Hostinfo{Hostname: *hostname, OS: "linux", BackendLogID: "none"}
	if *route != "" {
		host.RoutableIPs = []netip.Prefix{netip.MustParsePrefix(*route)}
	}
	report, err := start(ctx, *url, *authKey, host)
	if err != nil {
		return err
	}
	out := json.NewEncoder(os.Stdout)
	for in := bufio.NewReader(os.Stdin); ; {
		if _, err := in.ReadString('\n'); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		state, err := report(ctx)
		if err == nil {
			err = out.Encode(state)
		}
		if err != nil {
			return err
		}
	}
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "oldclient:", err)
		os.Exit(1)
	}
}
