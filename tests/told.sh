#!/usr/bin/env bash
# What the user is told: nothing is silent for more than five seconds, rates and times are for people, hints name what would help, help and
# version are where one looks for them.
# usage: tests/told.sh SSA     SSA: the command under test
set -u
ssa=$(realpath "$1")
here=$(realpath "$(dirname "$0")")
. "$here/expect.sh"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
export OCL_ICD_VENDORS=$work # no OpenCL drivers: some cannot be loaded under the sanitizers
yes "In the beginning was the word, and the word was long enough." | head -c 60000 >text
model="--layers 1 --hidden 32 --ffn 48 --heads 2 --kv-heads 1 --head-dim 16 --block-size 8 --top-k 2 --seq 40 --batch 2"
small="--device cpu $model --steps 4 --warmup 1 --eval-rows 2"

# -- nothing is silent: a compiler that does not come back, and a command of the scripts; both while the rest of this file runs
lavapipe=$(ls /usr/share/vulkan/icd.d/lvp_icd*.json 2>/dev/null | head -n 1)
if [ -n "$lavapipe" ]; then
    VK_DRIVER_FILES=$lavapipe VK_ICD_FILENAMES=$lavapipe SSA_FAULT=hang=1 SSA_COMPILE_SECONDS=6 SSA_CACHE_DIR=$work/cache \
        "$ssa" train --data text --out hung $model --steps 4 --warmup 1 --device vulkan >hung.txt 2>&1 </dev/null &
fi
"$here/../tools/during" sleeping bash -c 'echo half; sleep 6; echo whole; exit 3' >during.txt 2>&1 &
during=$!

# -- the log of a training
expect 0 'step 4/4 .* [0-9]+ tokens/s  [0-9.]+ [kMG]FLOP/s  320 tokens seen  [0-9]+ s, 0 s left$' "$ssa" train --data text --out run $small
expect 0 '"tokens_seen":320,"elapsed_s":[0-9.]+,"tokens_per_s":[0-9]+,"flops_per_s":[0-9]+\}' grep '"step":4,"ce"' run/log.jsonl
expect 0 '"step":6,.*"tokens_seen":480,' bash -c '"$@" && grep "\"step\":6,\"ce\"" run/log.jsonl' - "$ssa" train --resume run --device cpu --steps 6 --allow-changes

# -- why this device
VK_DRIVER_FILES=/nowhere VK_ICD_FILENAMES=/nowhere expect 0 '^auto took the cpu, for there is no GPU: vulkan has no device \(.*\), opencl has no device \(.*\)$' \
    "$ssa" generate --checkpoint run --tokens 1
[ -z "$lavapipe" ] || VK_DRIVER_FILES=$lavapipe VK_ICD_FILENAMES=$lavapipe expect 0 '^vulkan:0 is a software driver: .* slower than the device cpu$' \
    "$ssa" train --data text $small --device vulkan --dry-run

wait $during
expect 0 '^3$' echo $?
expect 0 '^\.\.\. sleeping \([4-9] s\): half$' cat during.txt
expect 0 '^sleeping failed \(status 3\): ' cat during.txt
wait
if [ -n "$lavapipe" ]; then
    expect 0 '^\.\.\. .*: compiling [a-z_]+ \([0-9]+ s\)$' cat hung.txt
    expect 0 'is given up' cat hung.txt
fi

summary
