#!/bin/sh
# Fuzzes the readers of files with libFuzzer under ASan and UBSan.
#
#   tests/fuzz/run.sh [seconds] [NAME...]     seconds for each of safetensors, config, tokens, trainer (default 60)
#
# Builds into a temporary folder, starts from tests/fuzz/corpus/NAME, prints the executions, leaves with 1 on a crash and keeps
# its input in /tmp. SSA_FUZZ_KEEP=1: the corpus becomes the smallest set of inputs that reaches every edge reached so far.
set -eu
cd "$(dirname "$0")/../.."
seconds=${1:-60}
[ $# -eq 0 ] || shift
names=${*:-safetensors config tokens trainer}
cc=${SSA_FUZZ_CC:-clang}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM

flags="-std=gnu11 -D_GNU_SOURCE -g -O1 -fno-omit-frame-pointer -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined -Icore/include -Icore -Itests/fuzz"
sources="core/io/*.c core/status.c core/dtype.c"
# Keys and words of our own sources: without them a fuzzer takes days to spell num_attention_heads.
grep -ohE '"[a-zA-Z0-9_]+"' core/io/config*.c core/io/safetensors_read.c core/train/options.c core/train/checkpoint.c | sort -u |
    sed 's/"\(.*\)"/"\\"\1\\""/' > "$work/dictionary"

failed=0
for name in $names; do
    more= link=
    # checkpoint.c also writes checkpoints; what it needs of models and contexts for that is not reached from here.
    if [ "$name" = trainer ]; then more="core/train/checkpoint.c core/train/find.c core/train/held_out.c core/train/identity.c core/train/options.c core/train/run.c core/train/settings.c core/model/model.c" link="-no-pie -Wl,--unresolved-symbols=ignore-in-object-files"; fi
    # shellcheck disable=SC2086
    $cc $flags $link -o "$work/$name" tests/fuzz/fuzz_"$name".c $sources $more $(pkg-config --cflags --libs libcjson libxxhash) -lm
    mkdir -p "$work/new_$name"
    if "$work/$name" -max_total_time="$seconds" -max_len=4096 -timeout=20 -rss_limit_mb=2048 -dict="$work/dictionary" -print_final_stats=1 \
        -artifact_prefix="/tmp/ssa_fuzz_${name}_" "$work/new_$name" tests/fuzz/corpus/"$name" > "$work/log" 2>&1; then
        echo "$name: $(sed -n 's/^stat::number_of_executed_units: *//p' "$work/log") executions in $seconds s, no crash"
    else
        failed=1
        echo "$name: FAILED"
        tail -n 60 "$work/log"
    fi
    if [ "${SSA_FUZZ_KEEP:-0}" = 1 ]; then
        mkdir "$work/least_$name"
        "$work/$name" -merge=1 -use_counters=0 -max_len=4096 "$work/least_$name" tests/fuzz/corpus/"$name" "$work/new_$name" > /dev/null 2>&1
        rm -f tests/fuzz/corpus/"$name"/*
        cp "$work/least_$name"/* tests/fuzz/corpus/"$name"/
    fi
done
exit $failed
