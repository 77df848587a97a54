#!/usr/bin/env bash
# tools/run with the options of `ssa train`: it evaluates and samples the run that was trained, wherever and on whatever that is.
# usage: tests/run.sh SSA     SSA: the command under test
set -u
run=$(realpath "$(dirname "$0")/../tools/run")
. "$(dirname "$0")/expect.sh"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
export OCL_ICD_VENDORS=$work # no OpenCL drivers: some cannot be loaded under the sanitizers
export SSA=$1 RUN="$work/own \"run\""
command -v gnuplot >/dev/null || { mkdir bin && printf '#!/bin/sh\ncat >/dev/null\n' >bin/gnuplot && chmod +x bin/gnuplot && PATH=$PATH:$work/bin; } # the picture is another test's

for i in $(seq 800); do echo "$i times $((i % 7)) makes $((i * (i % 7))), so it is written."; done >text
tr a-m n-z <text >fresh
small="--device cpu --layers 1 --hidden 32 --ffn 48 --heads 2 --kv-heads 1 --head-dim 16 --block-size 8 --top-k 2 --seq 40 --batch 2
       --steps 2 --warmup 1 --eval-rows 2"

expect 0 'run: .*/own "run"$' "$run" --data=text $small
expect 0 "/text: its last rows, val_fraction 0.05; 40 of 40 rows" "$run" --data text $small --out 'a run'
expect 0 '^run: .*a run$' "$run" --resume 'a run' --steps 4 --allow-changes --device cpu
expect 0 '/fresh: the run.s validation data' "$run" --data text --val-data fresh $small --out=valid
expect 0 '^a run/step-000005: step 5, .* on cpu' "$run" --data text --resume 'a run' --steps 9 --stop-at 5 --allow-changes --device cpu --out 'a run' --steps 6
echo '{"data": "fresh", "out": "filed", "device": "cpu", "preset": "quickstart", "val_fraction": 0.1}' >config.json
expect 0 '/fresh: its last rows, val_fraction 0.1;' "$run" $small --config config.json
expect 0 '/filed/step-000003: step 3, f32 on cpu' "$run" --resume filed/step-000002 --steps 3 --allow-changes --stop-at 3 --device cpu
expect 0 '^parameters' "$run" $small --data text --out never --dry-run
expect 0 '^$' test ! -e never
expect 2 'no option --colour' "$run" --colour
expect 2 'absent' "$run" --data absent $small --out never

summary
