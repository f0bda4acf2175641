package main

import (
	"tailscale.com/control/controlclient"
	"tailscale.com/net/netmon"
	"tailscale.com/net/tsdial"
	"tailscale.com/tailcfg"
	"tailscale.com/types/netmap"
)

// What 1.80 has under other names or without.
func directOptions() (controlclient.Options, error) {
	mon, err := netmon.New(quiet)
	if err != nil {
		return controlclient.Options{}, err
	}
	return controlclient.Options{Dialer: tsdial.NewDialer(mon)}, nil
}

func profilesOf(nm *netmap.NetworkMap) map[tailcfg.UserID]string {
	out := map[tailcfg.UserID]string{}
	for id, p := range nm.UserProfiles {
		out[id] = p.LoginName + " " + p.DisplayName
	}
	return out
}

func healthOf(nm *netmap.NetworkMap) []string { return nm.ControlHealth }
