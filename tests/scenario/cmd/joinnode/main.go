// A machine for the console's tests: joins with the key on its command line, says its address, stays until its
// standard input ends.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"
	"time"

	"tailscale.com/envknob"
	"tailscale.com/ipn"
	"tailscale.com/tsnet"
)

func main() {
	url := flag.String("login-server", "", "address of the server")
	key := flag.String("authkey", "", "auth key")
	hostname := flag.String("hostname", "", "name of the machine")
	within := flag.Duration("within", 30*time.Second, "time to join; it may wait for approval after that")
	routes := flag.String("routes", "", "prefixes that it advertises once it is up, with commas")
	flag.Parse()
	envknob.SetNoLogsNoSupport()
	if err := run(*url, *key, *hostname, *routes, *within); err != nil {
		fmt.Fprintln(os.Stderr, "joinnode:", err)
		os.Exit(1)
	}
}

func run(url, key, hostname, routes string, within time.Duration) error {
	dir, err := os.MkdirTemp("", "joinnode")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	quiet := func(string, ...any) {}
	ts := &tsnet.Server{Dir: dir, Hostname: hostname, ControlURL: url, AuthKey: key, Logf: quiet, UserLogf: quiet}
	defer ts.Close()
	if err := ts.Start(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	if _, err := ts.Up(ctx); err != nil && ctx.Err() == nil {
		return err
	}
	if err := advertise(ctx, ts, routes); err != nil {
		return err
	}
	ip4, _ := ts.TailscaleIPs()
	fmt.Println("up", ip4)
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

func advertise(ctx context.Context, ts *tsnet.Server, routes string) error {
	if routes == "" {
		return nil
	}
	p := &ipn.MaskedPrefs{AdvertiseRoutesSet: true}
	for _, s := range strings.Split(routes, ",") {
		r, err := netip.ParsePrefix(s)
		if err != nil {
			return err
		}
		p.AdvertiseRoutes = append(p.AdvertiseRoutes, r)
	}
	lc, err := ts.LocalClient()
	if err != nil {
		return err
	}
	_, err = lc.EditPrefs(ctx, p)
	return err
}
