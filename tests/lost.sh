#!/usr/bin/env bash
# Nothing of a training is lost: two processes in one folder, signals, saves by time, the best checkpoint.
# usage: tests/lost.sh SSA
set -u
ssa=$(realpath "$1")
. "$(dirname "$0")/expect.sh"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
export OCL_ICD_VENDORS=$work # no OpenCL drivers: some cannot be loaded under the sanitizers

yes "In the beginning was the word, and the word was long enough." | head -c 60000 >text
model="--device cpu --layers 1 --hidden 32 --ffn 48 --heads 2 --kv-heads 1 --head-dim 16 --block-size 8 --top-k 2 --seq 40 --batch 2"
some="$model --steps 12 --warmup 1 --eval-rows 2 --eval-every 0 --save-every 1 --keep 100"
long="$model --steps 100000 --warmup 1 --eval-rows 2 --eval-every 0 --save-every 0"
start() { # a script's & has SIGINT ignored
    rm -f log # or await would find the last command's lines, and a signal would reach this shell's child before it is the command
    env --default-signal=INT,HUP "$ssa" train --data text "$@" >log 2>&1 & pid=$!
}
await() { # PATTERN: until the log has it; without it the rest would only wait
    for _ in $(seq 1200); do
        grep -qsE -- "$1" log && return
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.05
    done
    grep -qsE -- "$1" log && return
    echo "FAILED: no $1 in: $(cat log)"
    kill -KILL "$pid" 2>/dev/null
    exit 1
}
leave() { wait "$pid" 2>/dev/null; }
name() { printf 'step-%06d' "$1"; }
newest() { ls -d "$1"/step-* | tail -n 1; }

# Two processes, one folder. Whoever comes second says so and leaves; no checkpoint mixes files of the two, none is incomplete.
for seed in 1 2; do "$ssa" train --data text --out alone$seed $some --seed $seed >/dev/null; done
mixed() { # RUN: its checkpoints are all of one of the two seeds
    local of step file
    for of in alone1 alone2; do
        for step in alone1/step-*; do
            for file in config.json model.safetensors optimizer.safetensors; do
                cmp -s "$of/${step#*/}/$file" "$1/${step#*/}/$file" || continue 3
            done
            [ -s "$1/${step#*/}/trainer.json" ] || continue 2
        done
        return 0
    done
    return 1
}
for round in 1 2 3 4; do
    "$ssa" train --data text --out both$round $some --seed 1 >log1 2>&1 & first=$!
    "$ssa" train --data text --out both$round $some --seed 2 >log2 2>&1 & second=$!
    wait $first; a=$?
    wait $second; b=$?
    expect 0 '^(0 2|2 0)$' echo $a $b
    expect 0 '^ssa: both. (is being written by (process [0-9]+ on .*|another process)|already holds a run .*)$' cat log1 log2
    expect 0 '^$' mixed both$round
done

start --out held $long --save-every 20
await 'saved held/step-000020'
expect 2 "^ssa: held is being written by process $pid on " "$ssa" train --data text --out held $long
expect 2 "^ssa: held is being written by process $pid on " "$ssa" train --resume held --device cpu
ln -s held alias
expect 2 "^ssa: alias is being written by process $pid on " "$ssa" train --resume alias --device cpu
kill -KILL "$pid"
leave
mkdir held/.step-000040.1.0123456789abcdef.tmp
touch held/.step-000040.1.0123456789abcdef.tmp/model.safetensors held/.log.jsonl.1.0123456789abcdef.tmp
step=$(newest held | sed 's/.*step-0*//')
expect 0 'saved' "$ssa" train --resume held --device cpu --stop-at $((step + 1)) # the lock went with its process, and so does what it left
expect 0 '^$' bash -c 'ls -A held | grep tmp; true'
expect 2 'both1 already holds a run' "$ssa" train --resume held --device cpu --out both1

# Two processes that write one report: it is one of the two, whole.
"$ssa" verify exact --device cpu --filter '^fill' --json report.json >/dev/null & first=$!
"$ssa" verify exact --device cpu --filter '^fill' --json report.json >/dev/null & second=$!
wait $first; a=$?
wait $second; b=$?
expect 0 '^0 0$' echo $a $b
expect 0 'rows as before' "$ssa" verify compare report.json report.json
expect 0 '^$' bash -c 'ls -A | grep tmp; true'

# Signals save and leave with a status of their own; what follows has the bits of a run that was never disturbed.
for signal in TERM HUP INT XCPU; do
    start --out $signal $long
    await 'step 10/'
    kill -$signal $pid
    [ $signal = HUP ] && kill -HUP $pid # shells hang up twice
    leave
    expect 0 '^3$' echo $?
    expect 0 '^ssa: stopping after this step, again to leave at once$' cat log
    expect 0 '^interrupted after step [0-9]+; continue with --resume' cat log
done
step=$(newest INT | sed 's/.*step-0*//')
n=$(name $((step + 3)))
expect 0 'saved' "$ssa" train --data text --out straight $long --stop-at $((step + 3))
expect 0 'saved' "$ssa" train --resume INT --device cpu --stop-at $((step + 3))
for file in model optimizer; do expect 0 '^$' cmp straight/$n/$file.safetensors INT/$n/$file.safetensors; done

start --out twice $long
await 'step 10/'
kill -STOP $pid; kill -INT $pid; kill -CONT $pid
await 'again to leave at once'
sleep 0.15
kill -INT $pid 2>/dev/null # while it saves, or it has saved already
leave
expect 0 '^(130|3)$' echo $?

start --out goes_on $long
await 'step 10/'
kill -USR1 $pid
await 'saved goes_on/step-'
kill -USR1 $pid
for _ in $(seq 100); do [ "$(grep -c saved log)" -ge 2 ] && break; sleep 0.05; done
expect 0 '^[2-9]$' grep -c saved log
kill -TERM $pid
leave
expect 0 '^3$' echo $?

# What the caller ignores stays ignored.
rm log
(trap '' INT HUP; exec "$ssa" train --data text --out deaf $model --steps 400 --warmup 1 --eval-rows 2) >log 2>&1 & pid=$!
await 'step 10/'
kill -INT $pid; kill -HUP $pid
leave
expect 0 '^0$' echo $?
expect 0 'step 400/400' cat log

env --default-signal=INT "$ssa" generate --checkpoint "$(newest INT)" --device cpu --seq 40 --tokens 1000000 >said 2>log & pid=$!
for _ in $(seq 400); do [ -s said ] && break; sleep 0.05; done
kill -INT $pid
leave
expect 0 '^3$' echo $?
expect 0 'stopping after this token' cat log

# verify writes the reports of what was done.
rm log
env --default-signal=TERM "$ssa" verify exact --device cpu --full --json interrupted.json >log 2>&1 & pid=$!
await 'exact on cpu'
kill -TERM $pid
leave
expect 0 '^3$' echo $?
expect 0 '"interrupted": *true' cat interrupted.json
expect 0 'skipped.*interrupted|interrupted.*skipped' cat interrupted.json

# Saves by time; the best checkpoint outlives the newer ones, and a resumed run knows it.
start --out timed $long --save-minutes 0.005
await 'saved timed/step-'
kill -TERM $pid
leave
rate="--lr 20 --min-lr 20 --clip 0" # the loss goes up and up
expect 0 'the best so far' "$ssa" train --data text --out best $model --steps 40 --warmup 0 --eval-rows 2 --eval-every 2 --save-every 1 --keep 2 $rate --stop-at 30
best=$(readlink best/best)
kept=$(ls -d best/step-* | wc -l)
expect 0 '^$' test -s "best/$best/model.safetensors"
expect 0 '^3$' echo "$kept"
lowest=$(sed -n 's/.*"step":\([0-9]*\).*"val_sparse":\([0-9.e+-]*\).*/\2 \1/p' best/log.jsonl | sort -g | head -n 1 | cut -d' ' -f2)
expect 0 "^$(name "$lowest")\$" echo "$best"
expect 0 "^best: sparse validation loss .* at step $lowest; best/best" "$ssa" train --resume best --device cpu
expect 0 '^$' test -s "best/$best/model.safetensors"
expect 0 'sparse loss' "$ssa" eval --checkpoint best/best --data text --device cpu --seq 40 --rows 2

# Long names: as far as the system goes, and refused before any step is done.
deep=$(printf 'd%.0s' $(seq 200))
far=$deep
for _ in $(seq 17); do far=$far/$deep; done
mkdir -p "$far"
expect 0 'saved' "$ssa" train --data text --out "$far/run" $some --stop-at 2
expect 0 "saved.*step-000003" "$ssa" train --resume "$far/run" --device cpu --stop-at 3
expect 0 'sparse loss' "$ssa" eval --checkpoint "$(newest "$far/run")" --data text --device cpu --seq 40 --rows 2
mkdir -p "$far/$deep" && cd "$work" || exit 1
expect 2 'out is a path of 40[0-9]+ characters' "$ssa" train --data text --out "$far/$deep/$deep/run" $some
expect 2 'out is longer than 4095 characters' "$ssa" train --data text --out "$far/$far" $some

# Reports whose rows differ far behind: nothing is compared by its beginning.
case=$(printf 'x%.0s' $(seq 1500))
row() { printf '{"device":"cpu","mode":"ops","op":"fill","dtype":"f32","case":"%s%s","variant":"","output":"y","status":"%s","reason":""}' "$case" "$1" "$2"; }
printf '{"format":"ssa-verify","version":1,"devices":[{"device":"cpu","api":"cpu"}],"rows":[%s,%s]}' "$(row 1 ok)" "$(row 2 failed)" >far.json
expect 0 '2 rows as before, 0 of another status' "$ssa" verify compare far.json far.json

summary
