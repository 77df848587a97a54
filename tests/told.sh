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

# -- hints
expect 0 '^warmup is 1: the 30 steps of the preset quickstart are more than the run.s 4$' "$ssa" train --data text --out short --device cpu $model --steps 4 --eval-rows 2
expect 2 'warmup 30 is longer than the run of 4 steps' "$ssa" train --data text --out refused --device cpu $model --steps 4 --warmup 30
expect 2 'largest batch that fits is [0-9]+, [0-9]+ with recompute$' "$ssa" train --data text --out refused --device cpu --preset 10m --seq 2000 --batch 500000
expect 2 'no batch (fits; with seq [0-9]+ |of any length fits; a smaller model)' "$ssa" train --data text --out refused --device cpu --preset 1b --seq 25000 --ffn 1000000
expect 2 'steps 9 instead of 4; --allow-changes' "$ssa" train --resume short --device cpu --steps 9
expect 0 '^dtype +bf16$' "$ssa" train --data text --device cpu --dry-run --dtype bf16
expect 0 '^warmup +1$' "$ssa" train --data text --device cpu --dry-run --steps 5

# -- help and version
version=$("$ssa" --version)
expect 0 '^ssa [0-9]+\.[0-9]+\.[0-9]+$' echo "$version"
expect 0 "^$version\$" "$ssa" version
expect 0 '^usage: ssa eval --checkpoint' "$ssa" help eval
expect 0 '^usage: ssa verify kernel' "$ssa" help verify kernel
expect 2 'there is no command dance' "$ssa" help dance
expect 0 '^  --lr X +.*\[0\.003, by preset\]$' "$ssa" train --help
expect 0 '^  --hidden +128 +320 +512 +1024 +2048$' "$ssa" train --help
# Every option of --help is in each of the generated forms, and those are what their readers take.
for command in train eval generate devices verify; do
    for option in $("$ssa" $command --help | sed -n 's/^  \(--[a-z0-9-]*\).*/\1/p' | sort -u); do
        for form in man bash zsh fish; do
            [ -e $form ] || "$ssa" help --$form >$form || echo "FAILED: help --$form"
            want=$option
            [ $form = man ] && want=${option//-/\\-}
            [ $form = fish ] && want="from $command' -l ${option#--} "
            grep -qF -- "$want" $form || { echo "FAILED: $command $option is not in the $form form"; failed=$((failed + 1)); }
            passed=$((passed + 1))
        done
    done
done
expect 0 '^$' bash -n bash
expect 0 '^--batch $' bash -c '. ./bash; COMP_WORDS=(ssa train --bat) COMP_CWORD=2; _ssa; printf "%s \n" "${COMPREPLY[@]}"'
expect 0 '^generate $' bash -c '. ./bash; COMP_WORDS=(ssa gen) COMP_CWORD=1; _ssa; printf "%s \n" "${COMPREPLY[@]}"'
expect 0 '^determinism $' bash -c '. ./bash; COMP_WORDS=(ssa verify det) COMP_CWORD=2; _ssa; printf "%s \n" "${COMPREPLY[@]}"'
command -v man >/dev/null && expect 0 'Sparse|sparse' bash -c 'man -l man | cat'

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
