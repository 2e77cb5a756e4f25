#!/usr/bin/env bash
# run.sh [network] [quick] [FILE] runs the benchmarks of this module and prints their
# figures as Markdown: those of compression, or those of the network, which also
# draw what is in charts. What the programs say goes to FILE, if one is named.
# Everything is measured in turn and that again and again, so that a busy minute of
# the machine hits all alike: ten times, and compression only as often as ten minutes
# allow. quick does it once, with little care, to see whether it works, and draws
# nothing.
set -euo pipefail
network=false rounds=10 seconds=600 time=20ms short=false quick=()
if [[ ${1-} == network ]]; then
	network=true
	shift
fi
if [[ ${1-} == quick ]]; then
	rounds=1 time=1ms short=true quick=(-quick)
	shift
fi
out=${1:+$(realpath "$1")}
cd "$(dirname "$0")"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
out=${out:-$scratch/out}
: >"$out"

go test -c -o "$scratch/codec" .
go build -o "$scratch/table" ./table

# bench PROGRAM PATTERN runs the benchmarks of a test program.
bench() { "$scratch/$1" -test.run '^$' -test.bench "$2" -test.benchtime "$time" -test.short="$short" >>"$out"; }

if $network; then
	if command -v npm >/dev/null; then # for a server outside of Go, which may be missing
		npm install --silent --prefix network/bun >&2 || echo 'there is no bun' >&2
	fi
	go build -o "$scratch/network" ./network
	status=0
	"$scratch/network" "${quick[@]}" >>"$out" || status=$? # the rest is worth to be seen
	bench codec '^Benchmark(Mask|MaskCopy|UnmaskText)$'
	charts=(-charts charts)
	if $short; then charts=(); fi
	"$scratch/table" "${charts[@]}" "$out"
	exit "$status"
fi

go test -c -o "$scratch/message" ./message
for ((round = 1; round <= rounds && (round == 1 || SECONDS < seconds); round++)); do
	echo "round $round" >&2
	bench message '^Benchmark(Write|Read)$'
	if ((round == 1)); then # memory is the same each time
		bench message '^BenchmarkIdleConnection$'
		"$scratch/message" -test.run '^TestRestedConnection$' -test.v -test.short="$short" >>"$out"
	fi
	bench codec '^Benchmark(Deflate|Inflate)'
done
"$scratch/table" "$out"
