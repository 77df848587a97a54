#!/usr/bin/env bash
# `ssa eval` and `ssa generate` measure what they say: numbers that are not finite are failures, metrics are of the rows they name.
# usage: tests/eval.sh SSA     SSA: the command under test
set -u
ssa=$1
tests=$(realpath "$(dirname "$0")")
. "$tests/expect.sh"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
export OCL_ICD_VENDORS=$work # no OpenCL drivers: some cannot be loaded under the sanitizers

for i in $(seq 1500); do echo "$i times $((i % 7)) makes $((i * (i % 7))), so it is written."; done >text
small="--device cpu --layers 1 --hidden 32 --ffn 48 --heads 2 --kv-heads 1 --head-dim 16 --block-size 8 --top-k 2 --seq 40 --batch 2
       --steps 4 --warmup 1 --eval-rows 2"

# Weights that are not numbers
for option in '' '--json'; do
    expect 1 '^ssa: the loss under full attention is not finite: nan$' "$ssa" eval --checkpoint "$tests/cases/nan-weights" --data text --device cpu --seq 40 $option
done
expect 0 '^$' cat <("$ssa" eval --checkpoint "$tests/cases/nan-weights" --data text --device cpu --seq 40 --json 2>/dev/null) # and no JSON
for option in '' '--temperature 0' '--mode full'; do
    expect 1 '^ssa: the logits under (full|sparse) attention: value 0 of 256 is not finite: nan$' "$ssa" generate --checkpoint "$tests/cases/nan-weights" --device cpu --seq 40 $option
done

# Sparsity is of the same rows as the losses, whatever the batch: of 7 rows, the last batch of 2, 3 or 32 is not full.
expect 0 'done: ' "$ssa" train --data text --out run $small
metrics() { "$ssa" eval --checkpoint run/step-000004 --data text --device cpu --seq 40 --rows 7 --batch "$1" --json | tr ',{}[]' '\n' | sed -n 's/^"\(full\|sparse\|sparsity_[a-z_]*\)":\([0-9.]\{7\}\).*/\1 \2/p'; }
metrics 1 >one
expect 0 '^6$' grep -c . one
for batch in 2 3 7 32; do
    metrics $batch >other
    expect 0 '^$' diff one other
done
metrics7() { "$ssa" eval --checkpoint run/step-000004 --data text --device cpu --seq 40 --rows "$1" --batch 1 --json; }
expect 0 '"rows":7,"seq":40,"tokens":280,.*"tokens_beyond":168' metrics7 7
expect 1 '.' cmp <(metrics7 7) <(metrics7 8) # other rows, other numbers

# The log's metrics name their rows
expect 0 '"val_full":[0-9.]*,"val_sparse":[0-9.]*,"rows":2,"tokens":80' cat run/log.jsonl
expect 0 '"step":1,.*"full":[01],"tokens":80' cat run/log.jsonl

# f16 holds weights; its range does not hold gradients
expect 2 'f16 cannot be trained in: .*loss scaling' "$ssa" train --data text --out f16 $small --dtype f16
expect 2 'f16 cannot be trained in' "$ssa" train --data text --out f16 $small --dtype f16 --dry-run
expect 0 '"sparse":' "$ssa" eval --checkpoint run/step-000004 --data text --device cpu --seq 40 --rows 2 --dtype f16 --json

summary
