#!/bin/sh
# Installs the Debian packages that a target needs, if any is missing: deps.sh run | check
# Quick when nothing is missing: one look into dpkg's database, no network.
set -eu

run="gcc make git pkg-config libc6-dev libevent-dev libssl-dev libsqlite3-dev libjansson-dev
libmicrohttpd-dev libsodium-dev libnghttp2-dev libzstd-dev libcurl4-openssl-dev libcyaml-dev
ca-certificates uacme libyaml-dev python3-venv"
check="clang llvm libclang-rt-14-dev libcmocka-dev python3 iproute2 nftables nginx-light
bind9-dnsutils curl procps sqlite3 docker.io docker-compose debootstrap systemd
systemd-container"

case "${1:-}" in
run) want=$run ;;
check) want="$run $check" ;;
*)
	echo "usage: deps.sh run|check" >&2
	exit 2
	;;
esac

# Another engine would have to go for Debian's: it serves as well.
if command -v dockerd >/dev/null 2>&1; then
	want=$(printf '%s' "$want" | sed 's/docker\.io//')
fi

missing=""
have=$(dpkg-query -W -f '${db:Status-Abbrev} ${binary:Package}\n' 2>/dev/null | sed -n 's/^ii  *\([^:]*\).*/\1/p')
for p in $want; do
	printf '%s\n' "$have" | grep -qx -- "$p" || missing="$missing $p"
done
[ -n "$missing" ] || exit 0

echo "installing:$missing"
as_root=""
if [ "$(id -u)" -ne 0 ]; then
	if ! command -v sudo >/dev/null 2>&1; then
		echo "these packages are missing, and there is neither root nor sudo to install them:$missing" >&2
		exit 1
	fi
	as_root=sudo
fi
$as_root env DEBIAN_FRONTEND=noninteractive apt-get update -q
# shellcheck disable=SC2086
$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $missing
