// More of what the fault loop walks through: administrators' changes of several rows. What is left of one that failed is
// the old state or the new one.
package scenario

import (
	"context"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"time"
)

// policyNow is the text in force, after its history was looked at: versions without a gap, the newest in force.
func (r *faultRun) policyNow() (text string) {
	r.t.Helper()
	var now struct {
		Version, NewestVersion int
		Text                   string
		Problem                *string
	}
	var history struct {
		InForce  int
		Versions []struct{ Version, Bytes int }
	}
	var one struct{ Text string }
	if err := r.api("GET", "/policy", nil, &now); err != nil {
		r.t.Fatal(err)
	}
	if err := r.api("GET", "/policy/versions?limit=1000", nil, &history); err != nil {
		r.t.Fatal(err)
	}
	if err := r.api("GET", fmt.Sprintf("/policy/versions/%d", now.Version), nil, &one); err != nil {
		r.t.Fatal(err)
	}
	if now.Version != now.NewestVersion || history.InForce != now.Version || one.Text != now.Text || now.Problem != nil {
		r.t.Errorf("version %d of %d is in force, by the history %d; problem %v; its text there: %s\nand here: %s",
			now.Version, now.NewestVersion, history.InForce, now.Problem, one.Text, now.Text)
	}
	for i, v := range history.Versions {
		if v.Version != now.Version-i || v.Bytes == 0 {
			r.t.Errorf("the history has a gap: %+v", history)
			break
		}
	}
	return now.Text
}

func (r *faultRun) savePolicy(text string) error {
	return r.api("PUT", "/policy", map[string]any{"text": text, "comment": fmt.Sprint(r.serial)}, nil)
}

// faultPolicy is another one for each number, with all its sections in use.
func faultPolicy(n int) string {
	return fmt.Sprintf(`// %d
{
	"groups": {"group:a": ["admin@"]},
	"hosts": {"web": "100.64.0.%d", "lap": "100.64.1.1"},
	"tagOwners": {"tag:x": ["group:a"]},
	"acls": [{"action": "accept", "src": ["group:a", "lap"], "dst": ["web:%d", "tag:x:*"]}],
	"ssh": [{"action": "accept", "src": ["group:a"], "dst": ["tag:x"], "users": ["root"]}],
	"nodeAttrs": [{"target": ["tag:x"], "attr": ["randomize-client-port"]}],
	"tests": [{"src": "lap", "accept": ["web:%d"]}],
}
`, n, n%200+1, 1+n, 1+n)
}

type faultCluster struct {
	Name, Tag, KeyID string
	PodCIDRs         []string
}

func (r *faultRun) clusters() []faultCluster {
	r.t.Helper()
	var l struct{ Clusters []faultCluster }
	if err := r.api("GET", "/clusters", nil, &l); err != nil {
		r.t.Fatal(err)
	}
	return l.Clusters
}

func (r *faultRun) clusterName() string { return fmt.Sprintf("edge-%d", r.serial) }

// approvedRoutes are those of the one node that there is, in order.
func (r *faultRun) approvedRoutes() (list []string) {
	r.t.Helper()
	var n struct {
		Routes []struct {
			Prefix   string
			Approved bool
		}
	}
	if err := r.api("GET", "/nodes/router", nil, &n); err != nil {
		r.t.Fatal(err)
	}
	for _, x := range n.Routes {
		if x.Approved {
			list = append(list, x.Prefix)
		}
	}
	slices.Sort(list)
	return list
}

func (r *faultRun) routesToApprove() []string {
	list := []string{fmt.Sprintf("10.%d.1.0/24", r.serial%200), fmt.Sprintf("10.%d.2.0/24", r.serial%200)}
	slices.Sort(list)
	return list
}

func (r *faultRun) approve(list []string) error {
	return r.api("POST", "/nodes/router/routes", map[string]any{"approved": list}, nil)
}

var faultChanges = []faultAction{
	{
		name: "policy",
		prepare: func(r *faultRun) {
			r.before = faultPolicy(2 * r.serial)
			if err := r.savePolicy(r.before.(string)); err != nil {
				r.t.Fatal(err)
			}
		},
		do: func(r *faultRun) error { return r.savePolicy(faultPolicy(2*r.serial + 1)) },
		check: func(r *faultRun, isAcknowledged bool) {
			text := r.policyNow()
			if text != faultPolicy(2*r.serial+1) && (isAcknowledged || text != r.before) {
				r.t.Errorf("acknowledged: %v; in force is %s", isAcknowledged, text)
			}
		},
	},
	{
		name: "routes",
		prepare: func(r *faultRun) {
			if r.serial == 1 {
				k, err := r.newKey("")
				if err != nil {
					r.t.Fatal(err)
				}
				n := newLightNode(r.server, "router")
				n.hostinfo.RoutableIPs = []netip.Prefix{netip.MustParsePrefix("10.1.1.0/24")}
				if err := bounded(5*time.Second, func(ctx context.Context) error { return n.register(ctx, k.Key) }); err != nil {
					r.t.Fatal(err)
				}
				n.close()
				r.joined[n.node.Public().String()] = ""
			}
			r.before = r.approvedRoutes()
		},
		do: func(r *faultRun) error { return r.approve(r.routesToApprove()) },
		check: func(r *faultRun, isAcknowledged bool) {
			got := r.approvedRoutes()
			if !slices.Equal(got, r.routesToApprove()) && (isAcknowledged || !reflect.DeepEqual(got, r.before)) {
				r.t.Errorf("acknowledged: %v; approved are %v, before %v", isAcknowledged, got, r.before)
			}
			if err := r.approve(r.routesToApprove()); err != nil {
				r.t.Fatalf("no route can be approved afterwards: %v", err)
			}
		},
	},
	{
		name: "cluster",
		prepare: func(r *faultRun) {
			if r.serial == 1 {
				if err := r.savePolicy(faultPolicy(1)); err != nil {
					r.t.Fatal(err)
				}
			}
			if l := r.clusters(); len(l) != 0 {
				r.t.Fatalf("left over: %+v", l)
			}
			r.before = r.policyNow()
		},
		do: func(r *faultRun) error {
			return r.api("POST", "/clusters", map[string]any{"name": r.clusterName()}, nil)
		},
		// Its record, its key and its part of the policy are there, or none of them.
		check: func(r *faultRun, isAcknowledged bool) {
			l, policy := r.clusters(), r.policyNow()
			_, keys := r.state()
			if len(l) == 0 {
				if isAcknowledged || policy != r.before {
					r.t.Errorf("acknowledged: %v; there is no cluster, and the policy is %s", isAcknowledged, policy)
				}
				if err := r.api("POST", "/clusters", map[string]any{"name": r.clusterName()}, nil); err != nil {
					r.t.Fatalf("it cannot be made afterwards: %v", err)
				}
			} else if c := l[0]; len(l) != 1 || c.Name != r.clusterName() || !strings.Contains(policy, c.PodCIDRs[0]) ||
				!strings.Contains(policy, c.Tag) || !slices.ContainsFunc(keys, func(k faultKey) bool { return k.ID == c.KeyID }) {
				r.t.Errorf("half a cluster: %+v, keys %+v, policy %s", l, keys, policy)
			}
			if err := r.api("DELETE", "/clusters/"+r.clusterName()+"?force=true", nil, nil); err != nil {
				r.t.Fatalf("it cannot be deleted: %v", err)
			}
			if l := r.clusters(); len(l) != 0 {
				r.t.Errorf("%+v", l)
			}
		},
	},
}
