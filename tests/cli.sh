#!/usr/bin/env bash
# The `ssa` command as a user meets it: bad input gets one sentence naming the thing and the value, exit status 2 (1 for a failure
# at run time), and leaves nothing behind; a small run trains, resumes, evaluates, generates, and survives Ctrl-C.
# usage: tests/cli.sh SSA     SSA: the command under test
set -u
ssa=$1
. "$(dirname "$0")/expect.sh"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
export OCL_ICD_VENDORS=$work # no OpenCL drivers: some cannot be loaded under the sanitizers

yes "In the beginning was the word, and the word was long enough." | head -c 60000 >text
printf 'short' >short
: >empty
small="--device cpu --layers 1 --hidden 32 --ffn 48 --heads 2 --kv-heads 1 --head-dim 16 --block-size 8 --top-k 2 --seq 40 --batch 2
       --steps 4 --warmup 1 --eval-rows 2"
train() { "$ssa" train --data text --out run $small "$@"; }

# The command line
expect 0 'usage: ssa COMMAND' "$ssa" --help
expect 2 'there is no command dance' "$ssa" dance
expect 0 'usage: ssa train' "$ssa" train --help
expect 2 'no option --colour' train --colour red
expect 2 'no preset huge; there are quickstart' train --preset huge
expect 2 '--lr needs a value' train --lr
expect 2 '--lr is fast where a number is needed' train --lr fast
expect 2 '--steps is 1.5 where a whole number' train --steps 1.5
expect 2 '--steps 0 is out of range' train --steps 0
expect 2 '--dtype is int4, not one of: f32 bf16 f16' train --dtype int4
expect 2 'what is that' train that

# The model
expect 2 'num_attention_heads 3 is not divisible by num_key_value_heads 2' train --heads 3 --kv-heads 2
expect 2 'head_dim 15|odd' train --head-dim 15
expect 2 'top_k 0 is out of range' train --top-k 0
expect 2 'block_size 0 is out of range' train --block-size 0
expect 2 'compat' train --select compat --top-k 6 --block-size 8

# Data
expect 2 'no data' "$ssa" train --out run $small
expect 2 'absent' train --data absent
expect 2 'empty' train --data empty
expect 2 'short' train --data short
expect 2 'vocab 100 is smaller' train --vocab 100
head -c 2000 /dev/zero >bad.bin
expect 2 'bad.bin' train --data bad.bin

# Devices and memory
expect 2 'tpu' train --device tpu
expect 2 'vulkan:99|vulkan' train --device vulkan:99
expect 2 'needs [0-9.]+ GiB, cpu has .*the largest batch that fits is [0-9]+' "$ssa" train --data text --out run --device cpu --preset 10m --seq 2000 --batch 500000 --eval-rows 1
expect 0 'largest batch' "$ssa" train --data text --device cpu --dry-run

# Nothing has been left behind
expect 0 '^$' test ! -e run

# Places
touch file
expect 2 'file/run' train --out file/run
if [ "$(id -u)" != 0 ]; then
    mkdir locked && chmod 500 locked
    expect 2 'locked' train --out locked
else
    skip "a folder that cannot be written: root writes it"
fi

# A run, then what comes after it
expect 0 'done: validation loss' train
expect 2 'already holds a run' train
expect 2 'nothing is left to do' "$ssa" train --resume run --device cpu
expect 2 'steps 6 instead of 4; --allow-changes' "$ssa" train --resume run --device cpu --steps 6
expect 0 'step 6/6' "$ssa" train --resume run --device cpu --steps 6 --allow-changes
expect 2 'no checkpoint to resume' "$ssa" train --resume . --device cpu
expect 2 'absent' "$ssa" train --resume absent --device cpu
expect 0 'sparse loss' "$ssa" eval --checkpoint run/step-000006 --data text --device cpu --seq 40 --top-k 1,2,5 --rows 3
expect 0 '"top_k":1' "$ssa" eval --checkpoint run/step-000006 --data text --device cpu --seq 40 --top-k 1,2 --rows 3 --json
expect 2 'eval needs --checkpoint' "$ssa" eval --data text
expect 2 'not a list of numbers' "$ssa" eval --checkpoint run/step-000006 --data text --device cpu --seq 40 --top-k 1,x
expect 0 'In the' "$ssa" generate --checkpoint run/step-000006 --device cpu --seq 40 --prompt 'In the' --tokens 60
expect 0 'In the' "$ssa" generate --checkpoint run/step-000006 --device cpu --seq 40 --prompt 'In the' --tokens 5 --mode full --temperature 0
expect 2 'neither sparse nor full' "$ssa" generate --checkpoint run/step-000006 --device cpu --mode dense
expect 2 'prompt is empty' "$ssa" generate --checkpoint run/step-000006 --device cpu --prompt ''
a=$("$ssa" generate --checkpoint run/step-000006 --device cpu --seq 40 --tokens 30 --seed 5 --top-k 20 --top-p 0.9)
b=$("$ssa" generate --checkpoint run/step-000006 --device cpu --seq 40 --tokens 30 --seed 5 --top-k 20 --top-p 0.9)
expect 0 '^$' test -n "$a"
expect 0 '^$' test "$a" = "$b"

# Files that are not what they should be
cp -r run/step-000006 broken
head -c 100 run/step-000006/model.safetensors >broken/model.safetensors
expect 2 'broken/model.safetensors' "$ssa" generate --checkpoint broken --device cpu --seq 40
cp run/step-000006/model.safetensors broken/
sed -i 's/"num_hidden_layers": *1/"num_hidden_layers": 2/; s/"num_hidden_layers":1/"num_hidden_layers":2/' broken/config.json
expect 2 'no tensor model.layers.1' "$ssa" generate --checkpoint broken --device cpu --seq 40
sed 's/"hidden_size": *32/"hidden_size": "wide"/' run/step-000006/config.json >broken/config.json
expect 2 'hidden_size' "$ssa" generate --checkpoint broken --device cpu --seq 40
sed '/"hidden_size"/d' run/step-000006/config.json >broken/config.json
expect 2 'hidden_size' "$ssa" generate --checkpoint broken --device cpu --seq 40
sed 's/"hidden_size": *32/"hidden_size": 64/' run/step-000006/config.json >broken/config.json
expect 2 'the checkpoint' "$ssa" generate --checkpoint broken --device cpu --seq 40
echo '{"lr": [1]}' >config.json
expect 2 'config.json: lr' train --out other --config config.json
echo '{"lr": 1e-3, "steps": 2}' >config.json
expect 0 'step 2/2' train --out other --config config.json --steps 2
expect 2 'there is no file or folder absent' "$ssa" verify golden --device cpu absent
expect 2 'verify needs|mode' "$ssa" verify

# A full disk: the checkpoint before stays readable. (RLIMIT_FSIZE stands in for it: writes beyond it fail.)
expect 1 'cannot|File too large|write' bash -c 'trap "" XFSZ; ulimit -f 20; exec "$@"' - "$ssa" train --data text --out full $small
expect 0 '^$' test ! -e full/step-000004

# Ctrl-C saves and leaves; resuming gives the same bytes as never having been interrupted.
long="--steps 4000 --eval-rows 2 --save-every 0 --eval-every 0"
"$ssa" train --data text --out stopped $small $long >stopped.log 2>&1 &
pid=$!
for _ in $(seq 200); do
    grep -q '^step 10' stopped.log 2>/dev/null && break
    sleep 0.05
done
kill -TERM $pid # not INT, which scripts ignore for what they start with &
wait $pid
expect 0 'interrupted after step' cat stopped.log
step=$(basename "$(ls -d stopped/step-*)" | sed 's/step-0*//')
expect 0 'saved' "$ssa" train --data text --out straight $small $long --stop-at $((step + 5))
expect 0 'saved' "$ssa" train --resume stopped --device cpu --stop-at $((step + 5))
n=$(printf 'step-%06d' $((step + 5)))
expect 0 '^$' cmp stopped/$n/model.safetensors straight/$n/model.safetensors
expect 0 '^$' cmp stopped/$n/optimizer.safetensors straight/$n/optimizer.safetensors

summary
