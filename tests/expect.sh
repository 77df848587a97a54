# Sourced by the shell tests: expect STATUS PATTERN COMMAND... runs a command and checks its exit status and, as an extended regular
# expression, what it prints; a command that ends with 2 (bad input) must say so in exactly one sentence. skip REASON says what cannot be
# checked here. summary ends the test: 77 where nothing could be checked.
passed=0 failed=0 skipped=0

expect() {
    local status=$1 words=$2 out got
    shift 2
    out=$("$@" 2>&1 </dev/null)
    got=$?
    if [ $got != "$status" ]; then
        echo "FAILED: $*"$'\n'"  exit status $got, not $status; it printed: $(tail -c 600 <<<"$out")"
    elif ! grep -qE -- "$words" <<<"$out"; then
        echo "FAILED: $*"$'\n'"  no /$words/ in: $(tail -c 600 <<<"$out")"
    elif [ "$status" = 2 ] && [ "$(grep -c '^ssa: ' <<<"$out")" != 1 ]; then
        echo "FAILED: $*"$'\n'"  not one sentence: $(tail -c 600 <<<"$out")"
    else
        passed=$((passed + 1))
        return
    fi
    failed=$((failed + 1))
}

skip() {
    echo "skipped: $*"
    skipped=$((skipped + 1))
}

summary() {
    local left=
    [ $skipped = 0 ] || left=", $skipped skipped"
    echo "$passed passed, $failed failed$left"
    [ $failed = 0 ] || return 1
    [ $passed -gt 0 ] && return
    [ $skipped -gt 0 ] && exit 77
    return 1
}
