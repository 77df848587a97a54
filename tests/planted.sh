#!/usr/bin/env bash
# Can `ssa verify` fail? Errors as people make them, each planted in one kernel; each must be found by name.
# usage: tests/planted.sh SSA      on lavapipe (77 without it), and the missing barrier under oclgrind too, where that is there
set -u
ssa=$1
cd "$(dirname "$0")/.." || exit 1
icd=$(compgen -G '/usr/share/vulkan/icd.d/lvp_icd*.json' | head -1)
[ -n "$icd" ] || { echo "skipped: lavapipe is not there"; exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed=0 failed=0

# plant FOLDER FILE SED: a copy of the kernel with the error in it, which takes precedence over the built-in one
plant() {
    rm -rf "$work/kernels"
    mkdir -p "$work/kernels/$1"
    sed -E "$3" "$1/$2" >"$work/kernels/$1/$2"
    ! cmp -s "$1/$2" "$work/kernels/$1/$2" || { echo "FAILED: the error was not planted: $2 has changed"; failed=$((failed + 1)); }
}

run() { SSA_KERNEL_DIR=$work/kernels SSA_CACHE_DIR=$work/cache VK_DRIVER_FILES=$icd VK_ICD_FILENAMES=$icd "$@" 2>&1 </dev/null; }

# found ERROR PATTERN COMMAND...: a failing exit status (oclgrind has its own) and a line that names it (grep -E), where without the
# error there is none. Order of arrival is luck: up to 20 runs.
found() {
    local error=$1 pattern=$2 line= runs=1 out
    shift 2
    [ "$error" = "atomics order" ] && runs=20
    for ((i = 0; i < runs; i++)); do
        out=$(run "$@") && [ "$1" != oclgrind ] && continue
        line=$(grep -m1 -E -- "$pattern" <<<"$out") && break
    done
    rm -r "$work/kernels"
    if out=$(run "$@") && ! grep -qE -- "$pattern" <<<"$out" && [ -n "$line" ]; then
        echo "$error: $line"
        passed=$((passed + 1))
    else
        echo "FAILED: $error: ${line:-nothing found it}; without it: $(tail -1 <<<"$out")"
        failed=$((failed + 1))
    fi
}
verify() { echo "$ssa verify $1 --device vulkan --quick --dtype f32 --filter ^$2"; }

# shellcheck disable=SC2046 # words
{
    plant shaders rmsnorm.comp 's/c < p\.C; c \+= WG/c + 1u < p.C; c += WG/'
    found "off-by-one tail" '^FAILED ops rmsnorm .* (NaN|first bad)' $(verify ops rmsnorm)
    plant shaders reduce.glsl 's/^( +)barrier\(\);$/\1/'
    found "missing barrier" '^FAILED ops sum .* (NaN|first bad|other bits)' $(verify ops sum)
    plant shaders reduce.glsl '22s/barrier\(\);//'
    found "missing barrier that shows in one order of the lanes" '^FAILED ops lm_loss .* first bad' env SSA_LANES=reversed $(verify ops 'lm_loss.f32')
    plant shaders attn_full.comp 's/where_upto\(key0 \+ 4u \* CX \+ j, t,/where_upto(key0 + 4u * CX + j, t + 1u,/'
    found "wrong causal edge" '^FAILED ops attn_full .* first bad' $(verify ops attn_full)
    plant shaders attn_sparse_bwd_dq.comp 's/p\.scale \* acc\[i\]/acc[i]/'
    found "dropped scale" '^FAILED ops attn_sparse_bwd .*: dq: first bad' $(verify ops attn_sparse_bwd)

    # As it is often written: a row of gradients a workgroup, added with float atomics (compare and swap) in order of arrival.
    plant shaders embedding_bwd.comp '
        s/BOTH\(3, float, dw\)/BOTH(3, uint, dw)/
        s/^void main.*/void add(uint at, float x) {\n    for (uint old = dw[at];;) {\n        uint seen = atomicCompSwap(dw[at], old, floatBitsToUint(uintBitsToFloat(old) + x));\n        if (seen == old) break;\n        old = seen;\n    }\n}\n&/
        s/float sum = p\.accumulate.*/if (p.accumulate != 0u) {\n        for (uint r = row; r < p.R; r += p.count)\n            if (r >= p.first_row \&\& r - p.first_row < p.rows \&\& uint(tokens[p.off[0] + r]) - p.first < p.count)\n                add(p.off[3] + (uint(tokens[p.off[0] + r]) - p.first) * p.C + c, load_act(dy[p.off[2] + (r - p.first_row) * p.C + c]));\n        return;\n    }\n    float sum = 0.0;/
        s/= sum;/= floatBitsToUint(sum);/'
    found "atomics order" '^FAILED determinism embedding_bwd .* other bits' $(verify determinism embedding_bwd)
}
if command -v oclgrind >/dev/null; then
    plant opencl reduce.h 's/^( +)BARRIER;$/\1/'
    found "missing barrier (oclgrind)" 'data race at' oclgrind --data-races "$ssa" verify ops --device opencl --quick --dtype f32 --filter '^sum f32 E=(3|17)( |$)'
else
    echo "skipped: missing barrier (oclgrind): oclgrind is not here"
fi
echo "$passed passed, $failed failed"
[ $failed = 0 ]
