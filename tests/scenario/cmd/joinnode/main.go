// A machine for the console's tests: joins with the key on its command line, says its address, stays until its
// standard input ends.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"tailscale.com/envknob"
	"tailscale.com/tsnet"
)

func main() {
	url := flag.String("login-server", "", "address of the server")
	key := flag.String("authkey", "", "auth key")
	hostname := flag.String("hostname", "", "name of the machine")
	within := flag.Duration("within", 30*time.Second, "time to join; it may wait for approval after that")
	flag.Parse()
	envknob.SetNoLogsNoSupport()
	if err := run(*url, *key, *hostname, *within); err != nil {
		fmt.Fprintln(os.Stderr, "joinnode:", err)
		os.Exit(1)
	}
}

func run(url, key, hostname string, within time.Duration) error {
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
	ip4, _ := ts.TailscaleIPs()
	fmt.Println("up", ip4)
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}
