#!/usr/bin/env bash
# What the documents name is there: files, options, environment variables; and the includes keep to who may call whom (core/README.md).
# usage: tests/documents.sh SSA
set -u
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root" || exit 1
. tests/expect.sh
ssa=$1
documents=(README.md core/README.md opencl/README.md tools/verify/README.md tools/results/README.md tools/results/*/README.md tests/golden/README.md)

# Words in backticks that are paths from the root; NAME, N and the like stand for something, * and {a,b} for several.
missing() {
    local document path
    for document in "${documents[@]}"; do
        grep -oE '`[a-z_]+/[^` ]*`' "$document" | tr -d '`' | sort -u | while read -r path; do
            case $path in build/* | *[A-Z][A-Z]* | */N* | */SOURCE.* | *"("*) continue ;; esac
            case ${path%%/*} in core | host | opencl | shaders | tests | tools) ;; *) continue ;; esac
            compgen -G "$path" >/dev/null || echo "$document: there is no $path"
        done
    done
}
expect 0 '^$' missing
false_document=$(mktemp)
trap 'rm -f "$false_document"' EXIT
echo 'See `core/nowhere.c`.' >"$false_document" # the check can fail
documents+=("$false_document")
expect 0 'there is no core/nowhere.c' missing
unset 'documents[-1]'

# Every variable that is read stands in README.md's table, and the other way round.
read_by_code() { grep -rhoE '(getenv|switched_on)\("(SSA_[A-Z_]+|OMP_NUM_THREADS)"\)' core host opencl tools --include='*.[ch]' | grep -oE '[A-Z_]{4,}' | sort -u; }
in_table() { grep -E '^\| `' README.md | cut -d'|' -f2 | grep -oE '(SSA|OMP)_[A-Z_]+' | sort -u; }
expect 0 '^$' diff <(read_by_code) <(in_table)
expect 0 '^SSA_CACHE_DIR$' in_table

# Every option that a document shows is known to a command or a script.
unknown() {
    local help word
    help=$(for c in train eval generate devices "verify ops" "verify all" "verify kernel" "verify golden" "verify compile" "verify page" "verify compare"; do "$ssa" $c --help; done 2>&1
        cat tools/run tools/test tools/lab tools/plot tools/setup tools/during tests/*.sh)
    grep -ohE -- '(^|[ `(])--[a-z][a-z-]+' "${documents[@]}" | grep -oE -- '--[a-z-]+' | sort -u | while read -r word; do
        case $word in --data-races | --install) continue ;; esac # oclgrind's, cmake's
        grep -qE -- "$word([^a-z-]|$)" <<<"$help" || echo "nothing knows $word"
    done
}
expect 0 '^$' unknown

# Who may call whom.
includes() { grep -nE "#include \"($1)" "${@:2}" /dev/null; }
upward() {
    includes 'lower/|tune/|shader/|vulkan/|device\.h|variants\.h|capabilities\.h|ocl\.h' core/*.[ch] core/*/*.[ch] core/*/*/*.c
    includes 'ssa/ops\.h|ssa/model\.h|backend\.h|lower/|attention' host/vulkan/*.[ch] opencl/*.[ch] | grep -v 'opencl/attn\.h'
    includes 'vulkan/|ocl\.h' host/lower/*.[ch] host/tune/*.[ch]
    grep -nE 'vulkan_(open|list)\b|opencl_(open|list)\b' host/*.c host/lower/*.c host/tune/*.c core/*.c core/*/*.c | grep -v '^host/open.c'
    includes '(backend|context|device|tensors|selection|shadow|finite|pool)\.h|core/|host/|io/|train/|model/' tools/*.[ch] tools/verify/*.[ch]
    true
}
expect 0 '^$' upward

summary
