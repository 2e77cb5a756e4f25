#!/usr/bin/env bash
# run.sh [network|http] [quick] [FILE] runs benchmarks and prints their figures as
# Markdown: those of compression, those of the network, or those of HTTP/2, HTTP/3 and
# Trace. It keeps the figures in results, and makes the tables of the documents and all
# charts anew from them. What the programs say goes to FILE, if one is named.
# Everything is measured in turn and that again and again, so that a busy minute of
# the machine hits all alike: ten times, and compression only as often as ten minutes
# allow. quick does it once, with little care, to see whether it works, and keeps and
# writes nothing.
set -euo pipefail
what=compression rounds=10 seconds=600 time=20ms short=false quick=()
if [[ ${1-} == network || ${1-} == http ]]; then
	what=$1
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

go build -o "$scratch/table" ./table

# finish prints what was measured, and unless that was quick puts it in the place of
# what was measured before.
finish() {
	if $short; then
		"$scratch/table" "$out"
		"$scratch/table" -check
		return
	fi
	"$scratch/table" -save "results/$what.txt" "$out"
	"$scratch/table" -redraw >&2
}

if [[ $what == http ]]; then
	time=0.25s
	if $short; then time=1x; fi
	# other DIRECTORY PREFIX ROUNDS TIME PATTERN runs benchmarks of another package under names of their own.
	other() {
		go -C "../../$1" test -run '^$' -bench "$5" -benchtime "$4" -count "$3" . | sed "s/^Benchmark/Benchmark$2/" >>"$out"
	}
	other http2 HTTP2 "$rounds" "$time" '^Benchmark(Echo|Open)$'
	other http2 HTTP2 $((rounds < 3 ? rounds : 3)) 1x '^BenchmarkIdle$'
	other http3 HTTP3 "$rounds" "$time" .
	other . '' "$rounds" "$time" '^BenchmarkTrace$'
	finish
	exit
fi

go test -c -o "$scratch/codec" .

# bench PROGRAM PATTERN runs the benchmarks of a test program.
bench() { "$scratch/$1" -test.run '^$' -test.bench "$2" -test.benchtime "$time" -test.short="$short" >>"$out"; }

if [[ $what == network ]]; then
	if command -v npm >/dev/null; then # for a server outside of Go, which may be missing
		npm install --silent --prefix network/bun >&2 || echo 'there is no bun' >&2
	fi
	go build -o "$scratch/network" ./network
	status=0
	"$scratch/network" "${quick[@]}" >>"$out" || status=$? # the rest is worth to be seen
	bench codec '^Benchmark(Mask|MaskCopy|UnmaskText)$'
	finish
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
finish
