#!/bin/bash
# Compiles every opencl/*.cl with vendors' compilers, without their hardware: Intel's (ocloc, Debian: intel-opencl-icd) and
# AMD's back end (clang for amdgcn). Fails on an error, a report of register spills, or an array that AMD's code keeps in memory.
# Skipped (77) where neither is there. One card of each vendor; SSA_TEST_ALL=1 takes all (20 minutes of one core).
# SSA_TEST_INTEL and SSA_TEST_AMD name cards, SSA_TEST_KERNELS is a regular expression, to look at some kernels only.
#
# A kernel's constants are read from the launches in host/lower/*.c: {{"NAME", value}, ...} beside .kernel = "name"; a value
# that is no number takes every value of the table below, one variant each. ACT and ACT2 take f32, bf16 and f16.
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
python3 - "$work/source" > "$work/variants" <<'PYTHON' || exit 1
import glob, itertools, os, re, sys
def inlined(path, seen): # as the library does it
    text = open(path).read()
    def include(m):
        if m.group(1) in seen: return ""
        seen.add(m.group(1))
        return inlined("opencl/" + m.group(1), seen)
    return re.sub(r'^#include "(.*?)"$', include, text, flags=re.M)
# The tiles of host/lower/attn*.c and select.c: rows, columns, most chunks; for a head_dim of 64 and of 128.
tiles = {"attn_full": [(8, 8, 4)], "select": [(8, 8, 64)], "attn_full_bwd_dkv": [(8, 8, 2)], "attn_sparse_bwd_dkv": [(8, 8, 2), (4, 16, 2)],
         "attn_sparse": [(1, 16, 64), (2, 16, 64), (4, 16, 64)]}
def attention(kernel):
    name = max((t for t in tiles if kernel.startswith(t)), key=len)
    for rows, cols, most in tiles[name]:
        for head_dim in (64,) if name == "select" else (64, 128):
            chunks = -(-head_dim // (4 * cols))
            yield dict(WG=rows * cols, RG=rows, CG=cols, CHUNKS=-(-chunks // -(-chunks // most)))
sources = {f: open(f).read() for f in glob.glob("host/lower/*.[ch]")}
macros = {}
for text in sources.values():
    macros.update(re.findall(r"^#define (\w+) +(\.constants.*)$", text, re.M))
shared, own = {}, {}
for f, text in sources.items():
    own[f] = {name: int(value) for name, value in re.findall(r"\b([A-Z][A-Z0-9_]+)\s*=\s*(\d+)\b", text)}
    if f.endswith(".h"): shared.update(own[f])
    for name, body in macros.items():
        text = re.sub(r"(?<!#define )\b%s\b" % name, lambda m: body, text)
    sources[f] = text
for path in sorted(glob.glob("opencl/*.cl")):
    kernel = os.path.basename(path)[:-3]
    if not re.search(os.environ.get("SSA_TEST_KERNELS", ""), kernel): continue
    sets = []
    for f, text in sources.items():
        for at in [m.start() for m in re.finditer(r'"%s"' % kernel, text)]:
            if re.search(r"^[^;]*?\bTILE\(\w+\)", text[at:at + 200], re.S): sets += list(attention(kernel))
            m = re.search(r"\.constants\s*=\s*\{(\{.*?\})\}", text[at:at + 600], re.S)
            if not m: continue
            # A launch through a helper may stand before the next .kernel only.
            if ".kernel" in text[at + len(kernel):at + m.start()]: continue
            pairs = re.findall(r'\{\s*"(\w+)"\s*,\s*([^{}]*?)\s*\}', m.group(1))
            known = {**shared, **own[f]}
            sets.append({name: str(known.get(value, value)) for name, value in pairs})
    if kernel.startswith("matmul") and any("TILE" in s for s in sets):
        # The tiles of host/lower/matmul.c: {wg, tile, each, depth, ...}
        shapes = re.findall(r"\{(\d+), (\d+), (\d+), (\d+), 1, 0\}", sources.get("host/lower/matmul.c", ""))
        sets = [dict(WG=wg, TILE=tile, EACH=each, DEPTH=depth, TRANS_A=a, TRANS_B=b, A_F32="0")
                for wg, tile, each, depth in shapes for a, b in (("0", "0"), ("0", "1"), ("1", "0"))] or sets
    source = open(path).read()
    with open(os.path.join(sys.argv[1], kernel + ".cl"), "w") as out: out.write(inlined(path, set()))
    if not sets: sets = [{}]
    seen = set()
    for s in sets:
        s = dict(s)
        s.setdefault("WG", "64")
        names, values = list(s), []
        for name in names:
            v = str(s[name])
            if re.fullmatch(r"\d+", v): values.append([int(v)])
            elif name == "WG": values.append([64, 256])
            else: values.append([0, 1])
        for choice in itertools.product(*values):
            for act in range(3) if "load_act(" in source or "store_act(" in source or "act_t" in source else [0]:
                act2 = act if "act2" in source else 0
                line = kernel + "\t" + " ".join(f"-D{n}={v}" for n, v in zip(names, choice)) + f" -DACT={act} -DACT2={act2}"
                if line not in seen:
                    seen.add(line)
                    print(line)
PYTHON

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
