#!/bin/bash
# Compiles every opencl/*.cl with vendors' compilers, without their hardware: Intel's (ocloc, Debian: intel-opencl-icd) and
# AMD's back end (clang for amdgcn). Fails on an error, a report of register spills, or an array that AMD's code keeps in memory.
# Skipped (77) where neither is there. One card of each vendor; SSA_TEST_ALL=1 takes all (20 minutes of one core).
# SSA_TEST_INTEL and SSA_TEST_AMD name cards, SSA_TEST_KERNELS is a regular expression, to look at some kernels only.
#
# The variants are those of host/variants.def, as tests/list_variants.c prints them. usage: tests/compile_opencl.sh LIST_VARIANTS
list=$(realpath "$1")
cd "$(dirname "$0")/.." || exit 1
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
if [ -n "$SSA_TEST_ALL" ]; then
    intel=${SSA_TEST_INTEL:-"skl tgllp dg2 pvc"} amd=${SSA_TEST_AMD:-"gfx900 gfx1030 gfx1100"}
else
    intel=${SSA_TEST_INTEL-dg2} amd=${SSA_TEST_AMD-gfx1030}
fi
jobs=${SSA_TEST_JOBS:-$(nproc)}
# The newest clang that compiles OpenCL C for a card: older ones do not know the newer cards, and 15 uses half of gfx11's registers.
clang_for() {
    local c
    for c in clang-21 clang-20 clang-19 clang-18 clang-17 clang-16 clang-15 clang-14 clang; do
        command -v "$c" > /dev/null || continue
        [[ $1 = gfx11* ]] && "$c" --version | grep -q 'version 15' && continue
        # shellcheck disable=SC2086 # options are words
        echo '__kernel void k(__global float *x) { x[get_global_id(0)] = 0.0f; }' |
            "$c" -x cl -cl-std=CL1.2 -Xclang -finclude-default-header -target "$triple" -mcpu="$1" -nogpulib $builtins -S -o /dev/null - 2> /dev/null && echo "$c" && return
    done
}
# Without the built-in functions' code every get_local_id is a call with spills of its own: then only errors count.
triple=amdgcn-amd-amdhsa builtins=
if [ -f /usr/lib/clc/amdgcn--amdhsa.bc ]; then
    triple=amdgcn--amdhsa builtins="-Xclang -mlink-builtin-bitcode -Xclang /usr/lib/clc/amdgcn--amdhsa.bc"
else
    echo "note: spills are not looked for in AMD's code without libclc (Debian: libclc-15)"
fi
targets=
ocloc=$(command -v ocloc)
if [ -n "$ocloc" ]; then
    for t in $intel; do targets+=" ocloc:$t"; done
else
    echo "skipped: ocloc (Debian: intel-opencl-icd) is not installed"
fi
for t in $amd; do
    c=$(clang_for "$t")
    if [ -n "$c" ]; then targets+=" $c:$t"; else echo "skipped: no clang here compiles OpenCL C for $t"; fi
done
[ -n "$targets" ] || exit 77

# Lines "kernel<TAB>-DNAME=VALUE ...", one for each variant.
mkdir "$work/source"
"$list" "$work/source" ${SSA_TEST_ALL:+--all} | grep -E "${SSA_TEST_KERNELS:-.}" | sort -u > "$work/variants"
[ -s "$work/variants" ] || { echo "no kernel to compile"; exit 1; }

compile_one() { # KERNEL OPTIONS COMPILER TARGET
    local id=$BASHPID rc=0
    local log="$work/log.$id"
    if [ "$3" = ocloc ]; then
        mkdir -p "$work/$id" # its outputs have fixed names
        local width=""
        [ "$4" = pvc ] && width=-DSUB_GROUP=16 # as the device asks for where the narrowest sub-group is 16
        (cd "$work/$id" && "$ocloc" compile -file "../source/$1.cl" -device "$4" -options "-cl-std=CL1.2 $2 $width" -output_no_suffix) > "$log" 2>&1 || rc=1
        rm -rf "${work:?}/$id"
    else
        # shellcheck disable=SC2086 # options are words
        "$3" -x cl -cl-std=CL1.2 -Xclang -finclude-default-header -target $triple -mcpu="$4" -nogpulib $builtins -O2 $2 \
            -S -o "$log.s" "$work/source/$1.cl" > "$log" 2>&1 || rc=1
        if [ -n "$builtins" ] && [ $rc = 0 ]; then
            # Scalars that do not fit (sgpr_spill_count) go to the lanes of a vector register. With no private segment none is in memory.
            grep -E '\.vgpr_spill_count: *[1-9]' "$log.s" >> "$log"
            grep -qE '\.private_segment_fixed_size: *[1-9]' "$log.s" && echo "spilled: arrays or registers in memory" >> "$log"
        fi
        rm -f "$log.s"
    fi
    if [ $rc = 1 ] || grep -qiE 'spill' "$log"; then
        echo "FAILED $1 $2 ($3 $4)"
        grep -iE 'error|spill' "$log" | head -3
        rm -f "$log"
        return 1
    fi
    rm -f "$log"
}

failures=$work/failures
: > "$failures"
while IFS=$'\t' read -r kernel options; do
    for target in $targets; do
        while [ "$(jobs -rp | wc -l)" -ge "$jobs" ]; do wait -n; done
        { compile_one "$kernel" "$options" "${target%%:*}" "${target##*:}" || echo "$kernel" >> "$failures"; } &
    done
done < "$work/variants"
wait
echo "$(wc -l < "$work/variants") variants of $(cut -f1 "$work/variants" | sort -u | wc -l) kernels; $(wc -l < "$failures") failures"
[ ! -s "$failures" ]
