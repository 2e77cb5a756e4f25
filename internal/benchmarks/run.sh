#!/usr/bin/env bash
# run.sh [quick] [FILE] runs all benchmarks of this module and prints their figures
# as Markdown. What go test says goes to FILE, if one is named. Everything is
# measured in turn and that again and again, so that a busy minute of the machine
# hits all alike: ten times, or as often as ten minutes allow. quick does it once,
# with little care, to see whether it works.
set -euo pipefail
rounds=10 seconds=600 time=20ms short=false
if [[ ${1-} == quick ]]; then
	rounds=1 time=1ms short=true
	shift
fi
out=${1:+$(realpath "$1")}
cd "$(dirname "$0")"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
out=${out:-$scratch/out}
: >"$out"

go test -c -o "$scratch/codec" .
go test -c -o "$scratch/message" ./message
go build -o "$scratch/table" ./table

# bench PROGRAM PATTERN runs the benchmarks of a test program.
bench() { "$scratch/$1" -test.run '^$' -test.bench "$2" -test.benchtime "$time" -test.short="$short" >>"$out"; }

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
