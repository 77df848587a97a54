#!/usr/bin/env bash
# Kernels keep the contract at their top, and tests/contracts.py finds those that do not: disagreements are planted one at a time.
# usage: tests/contracts.sh LIST_VARIANTS
set -u
cd "$(dirname "$0")/.." || exit 1
. tests/expect.sh
command -v python3 >/dev/null || { echo "skipped: python3 is not there"; exit 77; }
list=$1 work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

expect 0 '^[1-9][0-9]* kernels, 0 disagreements$' python3 tests/contracts.py "$1"

# planted PATTERN FILE SED: a copy of all kernels with one line changed is refused with a line that says so.
planted() {
    rm -rf "$work/kernels"
    mkdir "$work/kernels"
    cp -r shaders opencl "$work/kernels"
    sed -i -E "$3" "$work/kernels/$2"
    cmp -s "$2" "$work/kernels/$2" && expect 0 "$2 has changed: nothing was planted" false
    expect 1 "$1" python3 tests/contracts.py "$list" "$work/kernels"
}
planted "rope.comp: bindings: .*'cos_sin', 'both'" shaders/rope.comp 's/^READ\(1, float, cos_sin\)/BOTH(1, float, cos_sin)/'
planted "rope.cl: bindings: .*'cos_sin', 'out'" opencl/rope.cl 's/const float \*cos_sin/float *cos_sin/'
planted "add.comp: bindings: .*'x2', 'in', 'float'" shaders/add.comp 's/^READ\(1, act_t, x2\)/READ(1, float, x2)/'
planted "add.comp: bindings: .*'a', 'in'" shaders/add.comp 's/^READ\(0, act_t, x1\)/READ(0, act_t, a)/'
planted "swiglu.comp: bindings: " shaders/swiglu.comp '2,5s/1 up .n. in   //'
planted "select_topk.comp: parameters: " shaders/select_topk.comp '1,9s/push: B, T,/push: T, B,/'
planted "select_topk: the twins' parameters differ" opencl/select_topk.cl 's/block_size, halves;/halves, block_size;/'
planted "clip: the twins' parameters differ" opencl/clip.cl 's/float max_norm;/uint max_norm;/'
planted "embedding: the comments of the twins differ" opencl/embedding.cl '1,6s/one workgroup a row/two workgroups a row/'
planted "rmsnorm.cl: the kernel function is norm" opencl/rmsnorm.cl 's/^void rmsnorm\(/void norm(/'
planted "align.comp: shared memory .*512.*1024" shaders/reduce.glsl 's/reduce_shared\[WG\]/reduce_shared[2u * WG]/'
planted "attn_full.cl: local memory .*13312.*13824" opencl/attn.h 's/row_tile\[32 \* \(RG \+ 1\)\]/row_tile[32 * (RG + 2)]/'
planted "matmul=tile64 asks for 8448 .* says 16896" shaders/matmul.comp '1,12s/8 \* DEPTH/16 * DEPTH/'
planted "gate_bwd.comp: the comment names no bindings" shaders/gate_bwd.comp '/^.*push:/d'
rm "$work/kernels/opencl/add.cl"
expect 1 "add: has no twin in opencl/" python3 tests/contracts.py "$list" "$work/kernels"
mkdir -p "$work/empty"
expect 1 "^0 kernels" python3 tests/contracts.py "$list" "$work/empty"

summary
