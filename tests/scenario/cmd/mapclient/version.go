package main

import (
	"tailscale.com/control/controlclient"
	"tailscale.com/net/netmon"
	"tailscale.com/net/tsdial"
	"tailscale.com/tailcfg"
	"tailscale.com/types/netmap"
	"tailscale.com/util/eventbus"
)

// What has other names, or is new, since 1.80.
func directOptions() (controlclient.Options, error) {
	bus := eventbus.New()
	mon, err := netmon.New(bus, quiet)
	if err != nil {
		return controlclient.Options{}, err
	}
	dialer := tsdial.NewDialer(mon)
	dialer.SetBus(bus)
	return controlclient.Options{Dialer: dialer, Bus: bus}, nil
}

func profilesOf(nm *netmap.NetworkMap) map[tailcfg.UserID]string {
	out := map[tailcfg.UserID]string{}
	for id, p := range nm.UserProfiles {
		out[id] = p.LoginName() + " " + p.DisplayName()
	}
	return out
}

func healthOf(nm *netmap.NetworkMap) (texts []string) {
	for _, m := range nm.DisplayMessages {
		texts = append(texts, m.Text)
	}
	return texts
}
