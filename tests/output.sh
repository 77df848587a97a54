#!/usr/bin/env bash
# Output that cannot be written is noticed by every subcommand: a full disk (/dev/full), a closed descriptor, a closed pipe.
# usage: tests/output.sh SSA
set -u
ssa=$(realpath "$1")
. "$(dirname "$0")/expect.sh"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
export OCL_ICD_VENDORS=$work # no OpenCL drivers: some cannot be loaded under the sanitizers

yes "In the beginning was the word, and the word was long enough." | head -c 20000 >text
model="--layers 1 --hidden 32 --ffn 48 --heads 2 --kv-heads 1 --head-dim 16 --block-size 8 --top-k 2"
small="--device cpu $model --seq 40 --batch 2 --steps 2 --warmup 1 --eval-rows 2"
"$ssa" train --data text --out run $small >/dev/null || exit 1

full() { "$@" >/dev/full; }
closed() { "$@" >&-; }
verify="verify exact --device cpu --filter ^fill"
read_run="--checkpoint run/step-000002 --device cpu --seq 40"
commands=("--help" "train --help" "eval --help" "devices --help" "verify --help" "verify ops --help" "devices" "devices --json"
          "train --data text --dry-run $small" "eval --data text --rows 2 $read_run" "eval --data text --rows 2 --json $read_run"
          "generate --tokens 3 $read_run" "$verify" "$verify --json report.json")
for command in "${commands[@]}"; do
    expect 0 . "$ssa" $command
    expect 1 '^ssa: standard output cannot be written: No space left on device$' full "$ssa" $command
    expect 1 '^ssa: standard output cannot be written: Bad file descriptor$' closed "$ssa" $command
done
expect 2 'ssa: there is no command' full "$ssa" dance

# Training goes on without its progress lines, and says so at the end; no file of the run gets them instead.
expect 1 'standard output cannot be written: No space' full "$ssa" train --data text --out full $small
expect 1 'standard output cannot be written: Bad' closed "$ssa" train --data text --out closed $small
for run in full closed; do
    expect 0 '^$' cmp run/step-000002/model.safetensors $run/step-000002/model.safetensors
    expect 0 '"step":2' tail -n 1 $run/log.jsonl
done
# Who reads only the first line of progress does not end the training; who reads a product's first bytes ends that.
piped() { "$@" | head -n 1; return "${PIPESTATUS[0]}"; }
expect 0 . piped "$ssa" train --data text --out piped $small --steps 40
expect 0 '"step":40' tail -n 1 piped/log.jsonl
expect 0 '^$' test -e piped/step-000040/trainer.json
expect 141 '.' piped "$ssa" generate --tokens 100000 --prompt $'one\ntwo' $read_run

# Reports: the reason, nothing half written, and asked before the work where the place is wrong.
for kind in json csv html; do
    expect 1 "/dev/full cannot be written: No space" "$ssa" $verify --$kind /dev/full
    expect 2 "absent/report cannot be written: No such file" "$ssa" $verify --$kind absent/report
    expect 2 "run cannot be written: Is a directory" "$ssa" $verify --$kind run
    expect 1 'report cannot be written: File too large' bash -c 'ulimit -f 0; exec "$@"' - "$ssa" $verify --$kind report
    expect 0 '^$' test ! -e report
done
expect 0 '"format"' bash -c '"$@" | grep format' - "$ssa" $verify --json /dev/stdout
expect 1 'page cannot be written: File too large' bash -c 'ulimit -f 0; exec "$@"' - "$ssa" verify page report.json --html page
expect 0 '^$' bash -c 'ls -A | grep tmp; true'

summary
