#!/bin/sh
# Figures, one per line with its unit; never a verdict. Starts build/fairlead itself on free loopback
# ports with a data directory of its own; the server runs on the first core, the load on the second.
#
#   BENCH="relay nodes"     what to measure (default: relay nodes join)
#     relay                 goodput, loss, CPU per GB, round trips under load, idle connections
#     stun                  answers per second, CPU of each, what happens to a flood and to rubbish
#     soak                  ten minutes of the relay with 10,000 idle and 2,000 busy clients, and others that
#                           come and go, flood, are silent, lie: memory, descriptors, and their growth
#     nodes                 registration, first connect, changes, joins, reconnect at 100 … 5,000 nodes,
#                           a policy saved; all see each other
#     realistic             the same with tests/bench/realistic.hujson: 10 tags, 30 rules, 11 kinds of nodes
#     clusters              the same, 100 clusters of 100 nodes that see themselves and three hubs
#     idle                  memory and CPU of a server with 10 nodes
#     join                  a fresh server: from its start to its first node's map
#     policy                the policy engine alone: parse, compile, memory, one join
#     path                  the relay over paths with 50 and 200 ms of round trip, unlimited and of 20 Mbit/s to
#                           the receiver; what steady streams of 1 and 2 MB/s cost (needs root)
#     tunnel                TCP inside WireGuard inside the relay, and pings beside it (needs Go)
#     hostile               attacks, and what healthy clients notice of them (needs Go)
#     clients               real clients: a join, the first relayed ping (needs Go)
#   BENCH_SECONDS=3         of each run of relay            BENCH_NODES="100 500 1000 5000"
#   BENCH_TLS="plain tls"   outside of Noise, for nodes     BENCH_IDLE="1000 10000"
#   BENCH_TLS_MAX=1000      no TLS with more nodes          BENCH_CLUSTERS=100
#   BENCH_TIMES=3           nodes, realistic, clusters and idle so many times; then the best of each figure
#   BENCH_SERVER=FILE       another binary of fairlead
#   BENCH_DERPER=FILE       stock derper: the relay runs are repeated with it, in turns
#   BENCH_HEADSCALE=FILE    for tunnel: also with the relay inside Headscale
#
# Behind nodes and realistic: what the CPU of an event grows by from one number of nodes to the next.
# With the defaults it takes about five minutes.
set -u
cd "$(dirname "$0")/../.." || exit 1
server=$(realpath "${BENCH_SERVER:-build/fairlead}")
derper=${BENCH_DERPER:+$(realpath "$BENCH_DERPER")}
what=${BENCH:-relay nodes join}
seconds=${BENCH_SECONDS:-3}
nodes=${BENCH_NODES:-100 500 1000 5000}
outer=${BENCH_TLS:-plain tls}
idle=${BENCH_IDLE-1000 10000}
tls_max=${BENCH_TLS_MAX:-1000}
clusters=${BENCH_CLUSTERS:-100}
times=${BENCH_TIMES:-1}
dir=$(mktemp -d)
pid=

cores=$(nproc)
if [ "$cores" -ge 2 ]; then
	on_server="taskset -c 0"
	on_load="taskset -c 1"
else
	on_server=
	on_load=
	echo "bench: one core only: server and load share it" >&2
fi

stop() {
	[ -n "$pid" ] || return 0
	kill "$pid" 2>/dev/null
	wait "$pid" 2>/dev/null
	pid=
}
trap 'stop; rm -rf "$dir" "$dir.figures"' EXIT
trap 'exit 130' INT TERM

# Three ports that nobody has right now: sets https, http, stun.
free_ports() {
	# shellcheck disable=SC2046
	set -- $(python3 - <<'EOF'
import socket
held = []
for kind in (socket.SOCK_STREAM, socket.SOCK_STREAM, socket.SOCK_DGRAM):
    s = socket.socket(socket.AF_INET, kind)
    s.bind(("127.0.0.1", 0))
    held.append(s)
print(*(s.getsockname()[1] for s in held))
EOF
	)
	https=$1
	http=$2
	stun=$3
}

fairlead_cli() {
	"$server" "$@" --socket "$dir/s"
}

# A server with an empty data directory: sets pid, https, http, key.
start_fairlead() {
	stop
	rm -rf "$dir/data" "$dir/s"
	free_ports
	FAIRLEAD_DERP_VERIFY_CLIENTS=false FAIRLEAD_LIMITS_HALF_OPEN_PER_SOURCE=100000 \
	    $on_server "$server" serve --data-dir "$dir/data" \
	    --unix-socket "$dir/s" --server-url "http://127.0.0.1:$http" \
	    --listen-https "127.0.0.1:$https" --listen-http "127.0.0.1:$http" \
	    --listen-stun "127.0.0.1:$stun" --metrics-listen-addr "" >"$dir/log" 2>&1 &
	pid=$!
	for _ in $(seq 200); do
		fairlead_cli status -o json >/dev/null 2>&1 && break
		if ! kill -0 "$pid" 2>/dev/null; then
			cat "$dir/log" >&2
			exit 1
		fi
		sleep 0.05
	done
	key=$(fairlead_cli keys create --reusable --quiet) || exit 1
}

start_derper() {
	stop
	free_ports
	$on_server "$derper" -a "127.0.0.1:$https" -http-port -1 "-stun=${derper_stun:-false}" \
	    -stun-port "$stun" -certmode manual -certdir "$dir/certs" -hostname 127.0.0.1 -c "$dir/derper.key" >"$dir/log" 2>&1 &
	pid=$!
	for _ in $(seq 200); do
		build/bench/relay --server "127.0.0.1:$https" --idle 1 >/dev/null 2>&1 && return
		sleep 0.05
	done
	cat "$dir/log" >&2
	exit 1
}

# Other programs on this machine spoil figures: say how busy it is before.
say_machine() {
	echo "machine: $(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -n 1), $cores cores," \
	    "Linux $(uname -r)"
	echo "machine: load average $(cut -d' ' -f1 /proc/loadavg) before"
}

load_relay() {	# SERVER NAME, options
	name=$1
	shift
	timeout $((seconds + 300)) $on_load build/bench/relay --server "127.0.0.1:$https" --name "$name" \
	    --pid "$pid" --seconds "$seconds" "$@" || echo "$name: relay $* failed" >&2
}

# Every run with each server, one after the other: only figures of the same minute compare.
bench_relay() {
	servers="fairlead ${derper:+derper}"
	for run in "--pairs 1" "--pairs 10" "--pairs 50" "--size 1400 --rate 500" \
	    "--size 1400 --rate 1500" "--size 1400 --rate 2000" "--size 1400 --rate 3000" "--flood" "--quiet" \
	    "--size 1400 --rate 800 --probe 1000"; do
		for name in $servers; do
			"start_$name"
			# shellcheck disable=SC2086
			load_relay "$name" $run
		done
	done
	for n in $idle; do
		for name in $servers; do
			"start_$name"
			load_relay "$name" --idle "$n"
		done
	done
	for name in $servers; do
		"start_$name"
		load_relay "$name" --idle 500 --storm 5
	done
	stop
}

# One server, one load: load_nodes NAME WAY NODES, options of build/bench/nodes. Before it, tell "keys" the
# auth keys as options.
load_nodes() {
	name=$1
	way=$2
	n=$3
	shift 3
	port=$http
	[ "$way" = tls ] && port=$https
	few="--rounds 5"
	[ "$n" -gt 1000 ] && few="--changes 5 --joins 3 --flaps 3 --rounds 3"
	# shellcheck disable=SC2086
	timeout 600 $on_load build/bench/nodes --server "127.0.0.1:$port" \
	    $([ "$way" = tls ] && echo --tls) --name "$name" --pid "$pid" \
	    --nodes "$n" $few $keys "$@" || echo "$name: nodes $n failed" >&2
	grep -E 'level=(warn|error)' "$dir/log" >&2
}

# Calls FUNCTION WAY NODES for each number of nodes, outside plain and with TLS.
each_size() {
	for size in $nodes; do
		for outside in $outer; do
			[ "$size" -gt "$tls_max" ] && [ "$outside" = tls ] && continue
			start_fairlead
			"$1" "$outside" "$size"
		done
	done
	stop
}

phases=register,connect,idle,change,burst,join,reconnect,flap,command

nodes_open() {
	keys="--key $key"
	load_nodes fairlead "$@" --phases $phases --expect '"Last":6500{}}' --command \
	    "echo '{\"acls\":[{\"action\":\"accept\",\"src\":[\"*\"],\"dst\":[\"*:1-6500{}\"]}]}' |
	    $server policy set - --socket $dir/s >/dev/null"
}

bench_nodes() {
	each_size nodes_open
}

nodes_realistic() {
	fairlead_cli users create ops >/dev/null && fairlead_cli users create dev >/dev/null &&
	    fairlead_cli policy set tests/bench/realistic.hujson >/dev/null || exit 1
	keys=
	for tag in web app db cache queue build store k3s gateway monitor; do
		keys="$keys --key $(fairlead_cli keys create --reusable --quiet --user ops --tags "tag:$tag")"
	done
	keys="$keys --key $(fairlead_cli keys create --reusable --quiet --user dev)"
	load_nodes realistic "$@" --phases $phases --expect '"Last":910{}}' --command \
	    "sed s/9100/910{}/ tests/bench/realistic.hujson |
	    $server policy set - --socket $dir/s >/dev/null"
}

bench_realistic() {
	each_size nodes_realistic
}

put_clusters() {
	echo '{"tagOwners":{"tag:hub":[],'
	seq -f '"tag:c%g":[],' "$clusters"
	echo '},"acls":['
	seq "$clusters" | sed 's/.*/{"action":"accept","src":["tag:c&"],"dst":["tag:c&:*","tag:hub:443"]},/'
	echo '{"action":"accept","src":["tag:hub"],"dst":["*:9100"]}]}'
}

bench_clusters() {
	for outside in $outer; do
		start_fairlead
		put_clusters >"$dir/clusters.hujson"
		fairlead_cli policy set "$dir/clusters.hujson" >/dev/null || exit 1
		keys=
		for i in $(seq "$clusters"); do
			keys="$keys --key $(fairlead_cli keys create --reusable --quiet --tags "tag:c$i")"
		done
		keys="$keys --key $(fairlead_cli keys create --reusable --quiet --tags tag:hub)"
		load_nodes clusters "$outside" $((clusters * 100 + 3)) --hubs 3 --phases $phases \
		    --expect '"Last":910{}}' --command "sed s/9100/910{}/ $dir/clusters.hujson |
		    $server policy set - --socket $dir/s >/dev/null"
	done
	stop
}

bench_idle() {
	for outside in $outer; do
		start_fairlead
		keys="--key $key"
		load_nodes idle "$outside" 10 --idle 10 --phases register,connect,idle
	done
	stop
}

# Runs a part so many times as was told; the last lines are the best of each figure, and what the CPU of
# an event grows by with the number of nodes.
best_of() {
	: >"$dir.figures"
	for _ in $(seq "$times"); do
		"bench_$1" | tee -a "$dir.figures"
	done
	awk -v times="$times" -f tests/tools/bench-best.awk "$dir.figures"
	rm -f "$dir.figures"
}

# What somebody waits for who tries it: start of an empty server, then a node's first map.
bench_join() {
	begin=$(date +%s%N)
	start_fairlead
	echo "fairlead join: start of an empty server until a key is there" \
	    "$((($(date +%s%N) - begin) / 1000000)) ms"
	timeout 60 $on_load build/bench/nodes --server "127.0.0.1:$http" --name "fairlead join" \
	    --pid "$pid" --key "$key" --nodes 2 --joins 20 --idle 1 --phases register,connect,idle,join
	stop
}

# Offered: what a core does easily, and all that goes; then all of it from one address, and rubbish.
bench_stun() {
	derper_stun=true
	for run in "--rate 20000" "--rate 80000" "" "--sources 1 --rate 20000" "--bad --rate 80000"; do
		for name in fairlead ${derper:+derper}; do
			"start_$name"
			# shellcheck disable=SC2086
			timeout $((seconds + 30)) $on_load build/bench/stun --server "127.0.0.1:$stun" \
			    --name "$name" --pid "$pid" --seconds "$seconds" $run || echo "$name: stun failed" >&2
		done
	done
	derper_stun=false
	stop
}

# With BENCH_SERVER=build/asan/fairlead or build/tsan/fairlead too: what these find is printed.
# SOAK_S=600 seconds, SOAK_IDLE=10000 and SOAK_PAIRS=1000 clients that are well, SOAK_MBIT=100 between them.
bench_soak() {
	start_fairlead
	timeout $((${SOAK_S:-600} + 400)) $on_load build/bench/relay --server "127.0.0.1:$https" --name fairlead \
	    --pid "$pid" --soak "${SOAK_S:-600}" --idle "${SOAK_IDLE:-10000}" --pairs "${SOAK_PAIRS:-1000}" \
	    --rate "${SOAK_MBIT:-100}" || echo "soak failed" >&2
	stop
	grep -E -A 20 'level=error|Sanitizer' "$dir/log" >&2
}

bench_policy() {
	for run in "" "--kind fleets" "--kind self --users 2000" "--kind open"; do
		# shellcheck disable=SC2086
		timeout 120 $on_load build/bench/policy $run || echo "policy $run failed" >&2
	done
}

# The server in one namespace, the load in another, a path between them (build/bench/path).
path_run() {	# RTT LINE OPTIONS-OF-PATH, options of build/bench/relay
	rtt=$1
	line=$2
	limits=$3
	shift 3
	stop
	rm -rf "$dir/data" "$dir/s"
	# shellcheck disable=SC2086
	build/bench/path --rtt "$rtt" $limits >"$dir/namespaces" &
	path_pid=$!
	for _ in $(seq 50); do
		[ -s "$dir/namespaces" ] && break
		sleep 0.1
	done
	read -r near far <"$dir/namespaces" || exit 1
	FAIRLEAD_DERP_VERIFY_CLIENTS=false nsenter --net="$near" $on_server "$server" serve \
	    --data-dir "$dir/data" --unix-socket "$dir/s" --server-url http://10.77.0.1 \
	    --listen-https 10.77.0.1:443 --listen-http 10.77.0.1:80 --listen-stun 10.77.0.1:3478 \
	    --metrics-listen-addr "" >"$dir/log" 2>&1 &
	pid=$!
	for _ in $(seq 100); do
		fairlead_cli status -o json >/dev/null 2>&1 && break
		sleep 0.05
	done
	nsenter --net="$far" $on_load timeout $((seconds + 60)) build/bench/relay --server 10.77.0.1:443 \
	    --name "fairlead ${rtt}ms $line" --pid "$pid" --pairs 1 --warmup 4000 --seconds "$seconds" "$@" ||
	    echo "path $rtt $line: relay $* failed" >&2
	stop
	kill -9 "$path_pid" 2>/dev/null
	wait "$path_pid" 2>/dev/null
}

bench_path() {
	for rtt in 50 200; do
		path_run $rtt unlimited "" --rate 200 --delays
		path_run $rtt unlimited "" --rate 8
		path_run $rtt unlimited "" --rate 16
		path_run $rtt 20Mbit/s "--rate 20 --queue 256" --rate 16 --delays
		path_run $rtt 20Mbit/s "--rate 20 --queue 256" --rate 30 --delays
	done
}

# Stock derper as another server's relay in the same run, if there is BENCH_DERPER.
bench_tunnel() {
	go=$(sh tests/tools/go.sh) || exit 1
	(cd tests/scenario && FAIRLEAD_BIN="$server" BENCH_DERPER="$derper" GOTOOLCHAIN=local timeout 300 "$go" test \
	    -run '^$' -bench '^BenchmarkTunnel$' -benchtime 1x . | grep 'tunnel:') || echo "tunnel failed" >&2
}

# What a user waits for: real clients of the Tailscale module join and ping each other through the relay.
bench_clients() {
	go=$(sh tests/tools/go.sh) || exit 1
	(cd tests/scenario && FAIRLEAD_BIN="$server" GOTOOLCHAIN=local timeout 300 "$go" test -run '^$' \
	    -bench '^BenchmarkJoin$' -benchtime 1x . | grep ' ms ') || echo "clients failed" >&2
}

# What healthy clients notice of each attack: their worst delays; memory behind it.
bench_hostile() {
	go=$(sh tests/tools/go.sh) || exit 1
	(cd tests/scenario && FAIRLEAD_BIN="$server" GOTOOLCHAIN=local timeout 600 "$go" test -run '^TestHostile$' \
	    -count 1 -v . >"$dir/hostile" 2>&1) || grep -A 3 -e '--- FAIL' "$dir/hostile" >&2
	sed -n 's/^ *hostile_test.go:[0-9]*: /hostile: /p' "$dir/hostile"
	echo "hostile: attacks withstood $(grep -c '^    --- PASS' "$dir/hostile")," \
	    "not withstood $(grep -c '^    --- FAIL' "$dir/hostile")"
}

https=0
http=0
say_machine
for part in $what; do
	case $part in
	relay | stun | soak | join | policy | hostile | clients | path | tunnel)
		"bench_$part"
		;;
	nodes | realistic | clusters | idle)
		best_of "$part"
		;;
	*)
		echo "BENCH: there is no \"$part\"; it is one or more of relay, stun, soak, nodes, realistic," \
		    "clusters, idle, join, policy, hostile, clients, path, tunnel" >&2
		exit 2
		;;
	esac
done
