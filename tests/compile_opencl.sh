#!/bin/bash
# Compiles every opencl/*.cl with vendors' compilers, without their hardware: Intel's (ocloc, Debian: intel-opencl-icd) and
# AMD's back end (clang for amdgcn). Fails on an error or a report of register spills. Skipped (77) where neither is there.
#
# A kernel's constants are read from the launches in host/lower/*.c: {{"NAME", value}, ...} beside .kernel = "name"; a value
# that is no number takes every value of the table below, one variant each. ACT and ACT2 take f32, bf16 and f16.
cd "$(dirname "$0")/.." || exit 1
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
intel=${SSA_TEST_INTEL:-"skl tgllp dg2 pvc"}
amd=${SSA_TEST_AMD:-"gfx900 gfx1030 gfx1100"}
jobs=${SSA_TEST_JOBS:-$(nproc)}
clang=
for c in clang clang-19 clang-16 clang-15 clang-14; do # one that has the amdgcn target and can compile OpenCL C for it
    command -v "$c" >/dev/null || continue
    if echo '__kernel void k(__global float *x) { x[get_global_id(0)] = 0.0f; }' |
        "$c" -x cl -cl-std=CL1.2 -Xclang -finclude-default-header -target amdgcn-amd-amdhsa -mcpu=gfx900 -nogpulib -S -o /dev/null - 2>/dev/null; then
        clang=$c
        break
    fi
done
ocloc=$(command -v ocloc)
[ -n "$ocloc" ] || echo "skipped: ocloc (Debian: intel-opencl-icd) is not installed"
[ -n "$clang" ] || echo "skipped: no clang that compiles OpenCL C for amdgcn is installed"
[ -n "$ocloc$clang" ] || exit 77

# Lines "kernel<TAB>-DNAME=VALUE ...", one for each variant.
python3 - > "$work/variants" <<'PYTHON' || exit 1
import glob, itertools, os, re
# Names for which lowering computes the value.
table = {"HEAD_DIM": [64, 128], "D": [64, 128], "BLOCK": [64]}
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
    sets = []
    for f, text in sources.items():
        for at in [m.start() for m in re.finditer(r'"%s"' % kernel, text)]:
            m = re.search(r"\.constants\s*=\s*\{(\{.*?\})\}", text[at:at + 600], re.S)
            if not m: continue
            # A launch through a helper may stand before the next .kernel only.
            if ".kernel" in text[at + len(kernel):at + m.start()]: continue
            pairs = re.findall(r'\{\s*"(\w+)"\s*,\s*([^{}]*?)\s*\}', m.group(1))
            known = {**shared, **own[f]}
            sets.append({name: str(known.get(value, value)) for name, value in pairs})
    if kernel.startswith("matmul") and any("TILE" in s for s in sets):
        # The tiles of host/lower/matmul.c: {wg, tile, each, depth, ...}
        tiles = re.findall(r"\{(\d+), (\d+), (\d+), (\d+), 1, 0\}", sources.get("host/lower/matmul.c", ""))
        sets = [dict(WG=wg, TILE=tile, EACH=each, DEPTH=depth, TRANS_A=a, TRANS_B=b, A_F32="0")
                for wg, tile, each, depth in tiles for a, b in (("0", "0"), ("0", "1"), ("1", "0"))] or sets
    source = open(path).read()
    if not sets: sets = [{}]
    seen = set()
    for s in sets:
        s = dict(s)
        s.setdefault("WG", "64")
        names, values = list(s), []
        for name in names:
            v = str(s[name])
            if re.fullmatch(r"\d+", v): values.append([int(v)])
            elif name in table: values.append(table[name])
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
        # ocloc finds no include files: the same inlining as the library's.
        mkdir -p "$work/$id"
        sed -e '/#include "common.h"/{r opencl/common.h' -e 'd}' -e '/#include "reduce.h"/{r opencl/reduce.h' -e 'd}' "opencl/$1.cl" > "$work/$id/$1.cl"
        (cd "$work/$id" && "$ocloc" compile -file "$1.cl" -device "$4" -options "-cl-std=CL1.2 $2" -output_no_suffix) > "$log" 2>&1 || rc=1
        rm -rf "${work:?}/$id"
    else
        # shellcheck disable=SC2086 # options are words
        "$clang" -x cl -cl-std=CL1.2 -Xclang -finclude-default-header -target amdgcn-amd-amdhsa -mcpu="$4" -nogpulib -O2 -Iopencl $2 \
            -S -o "$log.s" "opencl/$1.cl" > "$log" 2>&1 || rc=1
        grep -E '\.(vgpr|sgpr)_spill_count: *[1-9]' "$log.s" >> "$log" 2>/dev/null
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
    for target in ${ocloc:+$(printf 'ocloc:%s ' $intel)} ${clang:+$(printf 'clang:%s ' $amd)}; do
        while [ "$(jobs -rp | wc -l)" -ge "$jobs" ]; do wait -n; done
        { compile_one "$kernel" "$options" "${target%%:*}" "${target##*:}" || echo "$kernel" >> "$failures"; } &
    done
done < "$work/variants"
wait
echo "$(wc -l < "$work/variants") variants of $(cut -f1 "$work/variants" | sort -u | wc -l) kernels; $(wc -l < "$failures") failures"
[ ! -s "$failures" ]
