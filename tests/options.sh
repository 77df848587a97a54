#!/usr/bin/env bash
# One path for every option of `ssa train`: a flag and a --config file do the same, in whatever order they come; flags win over files.
# --checkpoint, --resume and --init-from take a run or one of its checkpoints.
# usage: tests/options.sh SSA     SSA: the command under test
set -u
ssa=$1
. "$(dirname "$0")/expect.sh"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
export OCL_ICD_VENDORS=$work # no OpenCL drivers: some cannot be loaded under the sanitizers

for i in $(seq 800); do echo "$i times $((i % 7)) makes $((i * (i % 7))), so it is written."; done >text
small="--device cpu --layers 1 --hidden 32 --ffn 48 --heads 2 --kv-heads 1 --head-dim 16 --block-size 8 --top-k 2 --seq 40 --batch 2
       --steps 2 --warmup 1 --eval-rows 2 --data text"
expect 0 'done:' "$ssa" train $small --rope-theta 30 --steps 4 --save-every 2 --out first

# Where the weights come from: the checkpoint's configuration comes with them, by a flag or in a file, before or behind other keys.
same() { expect 0 '^$' cmp "$1" "$2"; }
short="--device cpu --seq 40 --batch 2 --steps 1 --warmup 0 --lr 0 --min-lr 0 --eval-rows 2 --data text"
expect 0 'done:' "$ssa" train $short --init-from first --out flag
echo '{"init_from": "first/step-000004"}' >init.json
expect 0 'done:' "$ssa" train $short --config init.json --out file
echo '{"top_k": 5, "init_from": "first/step-000002", "block_size": 4}' >both.json
expect 0 'done:' "$ssa" train $short --config both.json --init-from first --top-k 2 --out mixed
expect 0 'done:' "$ssa" train $short --init-from first --block-size 4 --out flags
for run in file mixed flags; do same flag/step-000001/model.safetensors $run/step-000001/model.safetensors; done
same flag/step-000001/config.json file/step-000001/config.json
same flags/step-000001/config.json mixed/step-000001/config.json
expect 0 '"rope_theta": *30' cat file/step-000001/config.json

# A preset
parameters() { "$ssa" train --device cpu --dry-run "$@" | sed -n 's/^parameters *//p'; }
echo '{"layers": 2, "preset": "10m"}' >preset.json
expect 0 '^$' test "$(parameters --preset 10m --layers 2)" = "$(parameters --config preset.json)"
expect 0 '^$' test "$(parameters --preset 30m --layers 2)" = "$(parameters --config preset.json --preset 30m)"
expect 0 '^$' test "$(parameters --preset 10m --layers 3)" = "$(parameters --layers 3 --config preset.json)"
echo '{"layers": 4}' >later.json
expect 0 '^$' test "$(parameters --preset 10m --layers 4)" = "$(parameters --config preset.json --config later.json)"
expect 0 '^$' test "$(parameters --preset 10m --layers 2)" = "$(parameters --config preset.json --defaults later.json)"
echo '{"preset": "huge"}' >huge.json
expect 2 'there is no preset huge' "$ssa" train --config huge.json --dry-run --device cpu

# What is the command's own may stand in a file as well, and a bool has a value
echo '{"device": "cpu", "dry-run": true, "preset": "quickstart"}' >own.json
expect 0 '^device  *cpu' "$ssa" train --config own.json
expect 2 'device tpu|no device|tpu' "$ssa" train --config own.json --device tpu
expect 0 'done:' "$ssa" train $small --config own.json --dry-run=false --out own
echo '{"recompute": true}' >recompute.json
expect 0 'done:' "$ssa" train $small --config recompute.json --recompute=false --out kept
expect 0 '"recompute":[[:space:]]*false' cat kept/step-000002/trainer.json
echo '{"config": "init.json"}' >nested.json
expect 2 'nested.json: there is no option config' "$ssa" train --config nested.json --dry-run --device cpu
echo '{"lr": "fast"}' >fast.json
expect 2 'fast.json: lr is fast where' "$ssa" train --config fast.json --dry-run --device cpu
expect 2 'no option --colour' "$ssa" train --colour red
echo '{"resume": "first", "steps": 5}' >resume.json
expect 0 'step 5/5' "$ssa" train --config resume.json --device cpu --allow-changes
expect 2 'preset and --init-from do not go' "$ssa" train --config resume.json --config preset.json
expect 2 'do not go' "$ssa" train --resume first --init-from flag

# A run or one of its checkpoints
expect 2 'neither a model .* nor checkpoints' "$ssa" eval --checkpoint . --data text --device cpu
expect 0 'top_k' "$ssa" eval --checkpoint first --data text --device cpu --rows 2
expect 0 'In the' "$ssa" generate --checkpoint first/best --device cpu --tokens 5
expect 0 'done:' "$ssa" train $small --steps 6 --save-every 2 --keep 9 --out whole
expect 0 'its checkpoint of step 4 is .*/whole/step-000004.old now' "$ssa" train --resume whole/step-000002 --device cpu
same whole/step-000004/model.safetensors whole/step-000004.old/model.safetensors
same whole/step-000006/optimizer.safetensors whole/step-000006.old/optimizer.safetensors
expect 0 '^$' test -e whole/best/config.json
expect 2 'nothing is left to do' "$ssa" train --resume whole/best/../step-000006 --device cpu
cd whole/step-000004
expect 0 'step 6/6' "$ssa" train --resume . --device cpu
expect 2 'nothing is left' "$ssa" train --resume .. --device cpu
cd "$work"
cp -r whole/step-000002 elsewhere
expect 2 'name one with --out' "$ssa" train --resume elsewhere --device cpu
expect 0 'done:' "$ssa" train --resume elsewhere --device cpu --out branch
same whole/step-000006/model.safetensors branch/step-000006/model.safetensors

# The folders above a run are made
expect 0 'done:' "$ssa" train $small --out some/runs//deep/
expect 0 'top_k' "$ssa" eval --checkpoint some/runs/deep --device cpu --rows 2

# For scripts
expect 0 'done:' "$ssa" train $small --out 'a run' --where where
expect 0 '^a run$' head -n 1 where
expect 0 '^cpu$' tail -n 1 where

summary
