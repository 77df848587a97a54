#!/usr/bin/env bash
# `ssa verify` as a user meets it: all modes on the CPU, exact and a user's kernels on the software drivers, reports, comparing them,
# and bad input. usage: tests/verify.sh SSA
set -u
ssa=$1
root=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$root" || exit 1 # golden files lie here
. tests/expect.sh

# Bad input
expect 2 'there is no mode dance' "$ssa" verify dance
expect 2 'needs a mode' "$ssa" verify
expect 0 'usage: ssa verify MODE' "$ssa" verify --help
expect 0 'usage: ssa verify stress' "$ssa" verify stress --help
expect 2 'no option --colour' "$ssa" verify ops --colour red
expect 2 'filter .*\(.* is not a regular expression' "$ssa" verify ops --device cpu --filter '('
expect 2 'no case passes the filter nothing' "$ssa" verify ops --device cpu --filter nothing
expect 2 'no device "tpu"' "$ssa" verify ops --device tpu
expect 2 'the cpu has no limits' "$ssa" verify ops --device cpu --limits shared=16384
expect 2 'dtype is int4' "$ssa" verify ops --device cpu --dtype int4
expect 2 'exclude each other' "$ssa" verify ops --device cpu --quick --full
expect 2 'needs one file and --as NAME' "$ssa" verify kernel x.comp
expect 2 'list is for verify kernel' "$ssa" verify ops --list
expect 2 'cpu has no kernels' "$ssa" verify kernel --list --device cpu
expect 2 'golden needs a model folder' "$ssa" verify golden --device cpu
expect 2 'needs two reports' "$ssa" verify compare "$work/a.json"
expect 2 'absent.json cannot be read' "$ssa" verify compare "$work/absent.json" "$work/absent.json"
echo '{"rows": []}' >"$work/bad.json"
expect 2 'bad.json is not a report' "$ssa" verify compare "$work/bad.json" "$work/bad.json"
echo '{"format": "ssa-verify", "version": 9, "rows": []}' >"$work/new.json"
expect 2 'format version 9' "$ssa" verify page "$work/new.json" --html "$work/page.html"
expect 2 'cannot be written' "$ssa" verify ops --device cpu --filter '^add f32' --json "$work/no/such"

# Everything on the CPU; reports
expect 0 '^[1-9][0-9]* ok, 0 failed' "$ssa" verify all --device cpu --quick --budget 60 --json "$work/a.json" --csv "$work/a.csv" --html "$work/a.html"
expect 0 '"mode":"determinism"' grep -m1 determinism "$work/a.json"
expect 0 '^cpu,exact,matmul,.*,ok,' grep -m1 ^cpu,exact,matmul "$work/a.csv"
expect 0 'attn_sparse_bwd' grep -m1 attn_sparse_bwd "$work/a.html"
expect 0 'rows as before' "$ssa" verify compare "$work/a.json" "$work/a.json"
sed '0,/"status":"ok"/s//"status":"failed"/' "$work/a.json" >"$work/b.json"
expect 1 'ok -> failed' "$ssa" verify compare "$work/a.json" "$work/b.json"
expect 0 '^$' "$ssa" verify page "$work/a.json" "$work/b.json" --html "$work/page.html"
expect 0 '1 ok|2 ok|3 ok' "$ssa" verify stress --device cpu --seed 5 --case 3

# The software drivers that are here: exact, and a user's kernel, one right, one wrong
driver() { # DEVICE FILES-ENDING ENVIRONMENT...
    local device=$1 ending=$2
    shift 2
    expect 0 '^[1-9][0-9]* ok, 0 failed' env "$@" "$ssa" verify exact --device "$device" --filter '^(add|matmul|sum|select|block_mean) f32' --budget 25
    expect 0 '^[1-9][0-9]* ok, 0 failed' env "$@" "$ssa" verify kernel tests/kernels/rmsnorm_right.$ending --as rmsnorm --device "$device" --dtype f32 \
        --filter ' R=[0-9]{1,4} '
    expect 1 'FAILED kernel rmsnorm f32 R=3 C=17.* y: .* at \[0,16\]' env "$@" "$ssa" verify kernel tests/kernels/rmsnorm_wrong.$ending --as rmsnorm \
        --device "$device" --dtype f32 --filter ' R=[0-9]{1,4} '
    for range in 4352 2048; do
        expect 0 '^[1-9][0-9]* ok, 0 failed' env "$@" "$ssa" verify ops --device "$device" --limits range=$range --filter '^sparse_lists f32 B=2 T=129'
    done
    expect 1 'FAILED kernel select .* the rule is ' env "$@" "$ssa" verify kernel tests/cases/compat-blind/select_topk_ignores_compat.$ending \
        --as select_topk --device "$device" --dtype f32 --filter 'top_k=4 .*compat'
    sed '$s/.*/)/' tests/kernels/rmsnorm_right.$ending >"$work/broken.$ending"
    expect 1 '^0 ok, [1-9][0-9]* failed' env "$@" "$ssa" verify kernel "$work/broken.$ending" --as rmsnorm --device "$device" --dtype f32
    expect 0 '^1$' sh -c '"$@" | grep -c FAILED' sh env "$@" "$ssa" verify kernel "$work/broken.$ending" --as rmsnorm --device "$device" --dtype f32
    expect 1 'nothing of add was verified on |nothing was verified on ' env "$@" "$ssa" verify ops --device "$device" --limits bindings=1 --filter '^add f32 E=17'
    expect 1 '^0 ok, 1 failed|^[0-9]+ ok, [12] failed' env "$@" "$ssa" verify kernel tests/kernels/rmsnorm_wrong.$ending --as rmsnorm --device "$device" --first
    expect 0 '^matmul +matmul lm_loss lm_loss_grad$' env "$@" "$ssa" verify kernel --list --device "$device"
    expect 2 'unknown limit colour' env "$@" "$ssa" verify ops --device "$device" --limits colour=3
    expect 2 'no case launches a kernel nonsense; there are .*rmsnorm' env "$@" "$ssa" verify kernel tests/kernels/rmsnorm_right.$ending --as nonsense \
        --device "$device" --dtype f32
}
for icd in /usr/share/vulkan/icd.d/lvp_icd*.json /usr/lib/chromium/vk_swiftshader_icd.json; do
    if [ -e "$icd" ]; then driver vulkan comp VK_DRIVER_FILES="$icd" VK_ICD_FILENAMES="$icd"; else skip "$icd is not here"; fi
done
for icd in /etc/OpenCL/vendors/pocl.icd /etc/OpenCL/vendors/rusticl.icd; do
    if [ -e "$icd" ]; then driver opencl cl OCL_ICD_VENDORS=$icd RUSTICL_ENABLE=llvmpipe; else skip "$icd is not here"; fi
done

# Where nothing was verified the status is never 0, and each reason stands there once.
expect 2 'rmsnorm_right.cl is a kernel for opencl, and cpu runs none' "$ssa" verify kernel tests/kernels/rmsnorm_right.cl --as rmsnorm --device cpu
expect 2 'rmsnorm_right.cl is a kernel for opencl, and cpu runs none' "$ssa" verify kernel tests/kernels/rmsnorm_right.cl --as rmsnorm --device cpu,opencl
expect 2 'for opencl, and there is no such device|no device "opencl"' env OCL_ICD_VENDORS="$work/none" "$ssa" verify kernel tests/kernels/rmsnorm_right.cl \
    --as rmsnorm
expect 2 'for opencl, and there is no such device' env OCL_ICD_VENDORS="$work/none" "$ssa" verify kernel tests/kernels/rmsnorm_right.cl --as rmsnorm \
    --device all
expect 2 'rmsnorm.txt is not .comp' "$ssa" verify kernel "$work/rmsnorm.txt" --as rmsnorm
expect 1 'nothing was verified on cpu: no row is ok, for the reasons above' "$ssa" verify exact --device cpu --filter '^rmsnorm'
expect 0 '^1$' sh -c '"$1" verify exact --device cpu --filter "^rmsnorm" | grep -c "cannot be exact"' sh "$ssa"
expect 1 'nothing was verified on cpu' "$ssa" verify ops --device cpu --filter '^add f32' --seconds 1e-9
echo '{"format": "ssa-verify", "version": 1, "rows": []}' >"$work/empty.json"
expect 2 'no row in common' "$ssa" verify compare "$work/a.json" "$work/empty.json"
sed '0,/"status":"ok"/s//"status":"unsupported"/' "$work/a.json" >"$work/b.json"
expect 1 'ok -> unsupported' "$ssa" verify compare "$work/a.json" "$work/b.json"
expect 2 'devices cannot be listed with SSA_LIMITS="colour=3"' env SSA_LIMITS=colour=3 "$ssa" devices
expect 1 'cannot be written' sh -c '"$1" devices >/dev/full' sh "$ssa"

summary
