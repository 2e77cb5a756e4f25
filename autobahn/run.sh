#!/usr/bin/env bash
# Runs the Autobahn testsuite, from its container image, against the endpoints beside this file.
set -euo pipefail

usage() {
	cat <<'END'
usage: autobahn/run.sh server|client|all [flags of autobahn/report]

Plays all 517 cases against autobahn/server, autobahn/client or both, leaves the
reports in a directory and judges them. It wants Go, and docker or podman.

Exit status: 0 every case has the best outcome there is, 1 not so, 2 wrong usage
or a run that broke off, 75 neither docker nor podman can be used.

Environment:
  AUTOBAHN_ENGINE    docker or podman (default the one that works, docker first)
  AUTOBAHN_ENDPOINT  flags for the endpoints, such as "-read stream -compression=false"
  AUTOBAHN_REPORTS   where the reports go (default autobahn/reports)
  AUTOBAHN_IMAGE     the image (default crossbario/autobahn-testsuite)
  AUTOBAHN_PORT      port of the suite's server (default 9001)
  AUTOBAHN_NETWORK   host, or bridge: containers reach us as host.docker.internal
                     (default and, for a server, the only choice on Linux: host; elsewhere bridge)
END
}

case ${1-} in
server | client | all) ;;
-h | --help) usage && exit 0 ;;
*) usage >&2 && exit 2 ;;
esac
roles=$1
shift
reports=${AUTOBAHN_REPORTS:-}
if [[ -n $reports && $reports != /* ]]; then reports=$PWD/$reports; fi
cd "$(dirname "$0")/.."
reports=${reports:-$PWD/autobahn/reports}

image=${AUTOBAHN_IMAGE:-crossbario/autobahn-testsuite}
port=${AUTOBAHN_PORT:-9001}
network=${AUTOBAHN_NETWORK:-}
if [[ -z $network ]]; then
	if [[ $(uname -s) == Linux ]]; then network=host; else network=bridge; fi
fi
read -r -a endpoint <<<"${AUTOBAHN_ENDPOINT:-}"

fail() {
	printf 'autobahn/run.sh: %s\n' "$*" >&2
	exit 2
}

case $network in
host) ;;
bridge)
	# host.docker.internal leads to 127.0.0.1 of the host only where containers run in a virtual machine.
	if [[ $roles != client && $(uname -s) == Linux ]]; then
		fail 'AUTOBAHN_NETWORK=bridge: on Linux the suite reaches a server over the network of the host only'
	fi
	;;
*) fail "AUTOBAHN_NETWORK=$network: it is host or bridge" ;;
esac

# An engine that is installed may still have nothing to run containers with.
engine=''
silent=()
absent=()
for candidate in ${AUTOBAHN_ENGINE:-docker podman}; do
	if ! command -v "$candidate" >/dev/null; then
		absent+=("$candidate")
		continue
	fi
	if "$candidate" info >/dev/null 2>&1; then
		engine=$candidate
		break
	fi
	silent+=("$candidate")
done
if [[ -z $engine ]]; then
	if ((${#silent[@]})); then
		printf 'autobahn/run.sh: %s is installed, but "info" fails: does its daemon or machine run?\n' "${silent[@]}" >&2
	fi
	if [[ -n ${AUTOBAHN_ENGINE-} ]] && ((${#absent[@]})); then
		printf 'autobahn/run.sh: %s, which AUTOBAHN_ENGINE names, is not installed\n' "${absent[@]}" >&2
	elif ! ((${#silent[@]})); then
		echo 'autobahn/run.sh: neither docker nor podman is installed' >&2
	fi
	echo 'The same cases without containers: go test ./autobahn/... -conformance.all' >&2
	exit 75
fi

scratch=$(mktemp -d)
child=''     # pid of an endpoint
runner=''    # pid of an engine that waits for its container
container='' # name of a container
cleanup() {
	trap '' INT TERM
	if [[ -n $container ]]; then "$engine" rm -f "$container" >/dev/null 2>&1 || true; fi
	for pid in $runner $child; do
		kill "$pid" 2>/dev/null || true
		wait "$pid" || true
	done
	rm -rf "$scratch"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# suite MODE FLAG... runs the suite in a container, with $url for the URL in its configuration.
suite() {
	local mode=$1
	sed "s|\"ws://127.0.0.1:9001\"|\"$url\"|" "autobahn/config/$mode.json" >"$scratch/config/$mode.json"
	shift
	# Without labels: SELinux would keep the container from what is mounted.
	"$engine" run "$@" --name "$container" --security-opt label=disable -v "$scratch/config:/config:ro" -v "$reports:/reports" \
		"$image" wstest -m "$mode" -s "/config/$mode.json"
}

# fresh DIRECTORY makes the directory of a role anew: what is left of another run must not be judged.
# It is ours though the container writes its files as root, so that they can be removed.
fresh() {
	rm -rf "${reports:?}/$1"
	mkdir -p "$reports/$1"
}

test_server() {
	fresh servers
	mkfifo "$scratch/address"
	"$scratch/bin/server" -addr 127.0.0.1:0 ${endpoint[@]+"${endpoint[@]}"} >"$scratch/address" &
	child=$!
	exec 3<"$scratch/address"
	read -r url <&3 || fail 'the server did not start'
	container=autobahn-fuzzingclient-$$
	if [[ $network == host ]]; then
		suite fuzzingclient --rm --network host &
	else
		url=ws://host.docker.internal:${url##*:}
		suite fuzzingclient --rm &
	fi
	runner=$!
	wait "$runner" || fail "the suite's client ended with status $?"
	runner='' container=''
	kill "$child"
	wait "$child" || fail "the server ended with status $?"
	child=''
	exec 3<&-
}

test_client() {
	fresh clients
	container=autobahn-fuzzingserver-$$
	url=ws://127.0.0.1:$port
	if [[ $network == host ]]; then
		suite fuzzingserver -d --network host >/dev/null
	else
		url=ws://127.0.0.1:9001
		suite fuzzingserver -d -p "127.0.0.1:$port:9001" >/dev/null
	fi || fail "the suite's server did not start"
	"$scratch/bin/client" -url "ws://127.0.0.1:$port" -wait 2m ${endpoint[@]+"${endpoint[@]}"} &
	child=$!
	wait "$child" || {
		child=''
		"$engine" logs "$container" 2>&1 | tail -n 50 >&2 || true
		fail 'the client did not come to the end of the cases'
	}
	child=''
	# Not by the suite's own shutdownOnComplete, which cuts the last closing handshake.
	"$engine" stop "$container" >/dev/null
	"$engine" rm -f "$container" >/dev/null
	container=''
}

mkdir -p "$scratch/bin" "$scratch/config"
chmod 755 "$scratch" "$scratch/config" # the container may not run as us
go build -o "$scratch/bin/" ./autobahn/server ./autobahn/client ./autobahn/report
if ! "$engine" image inspect "$image" >/dev/null 2>&1; then
	"$engine" pull "$image" || fail "no image $image"
fi

directories=()
if [[ $roles != client ]]; then
	test_server
	directories+=("$reports/servers")
fi
if [[ $roles != server ]]; then
	test_client
	directories+=("$reports/clients")
fi
if [[ $roles == all ]]; then roles=server,client; fi
"$scratch/bin/report" -markdown "$reports/summary.md" -roles "$roles" "$@" "${directories[@]}"
