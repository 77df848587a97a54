#!/usr/bin/env bash
# `ssa eval` and `ssa generate` measure what they say: numbers that are not finite are failures, metrics are of the rows they name.
# usage: tests/eval.sh SSA     SSA: the command under test
set -u
ssa=$1
tests=$(realpath "$(dirname "$0")")
. "$tests/expect.sh"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
export OCL_ICD_VENDORS=$work # no OpenCL drivers: some cannot be loaded under the sanitizers

for i in $(seq 1500); do echo "$i times $((i % 7)) makes $((i * (i % 7))), so it is written."; done >text
small="--device cpu --layers 1 --hidden 32 --ffn 48 --heads 2 --kv-heads 1 --head-dim 16 --block-size 8 --top-k 2 --seq 40 --batch 2
       --steps 4 --warmup 1 --eval-rows 2"

# Weights that are not numbers
for option in '' '--json'; do
    expect 1 '^ssa: the loss under full attention is not finite: nan$' "$ssa" eval --checkpoint "$tests/cases/nan-weights" --data text --device cpu --seq 40 $option
done
expect 0 '^$' cat <("$ssa" eval --checkpoint "$tests/cases/nan-weights" --data text --device cpu --seq 40 --json 2>/dev/null) # and no JSON
for option in '' '--temperature 0' '--mode full'; do
    expect 1 '^ssa: the logits under (full|sparse) attention: value 0 of 256 is not finite: nan$' "$ssa" generate --checkpoint "$tests/cases/nan-weights" --device cpu --seq 40 $option
done

# Sparsity is of the same rows as the losses, whatever the batch: of 7 rows, the last batch of 2, 3 or 32 is not full.
expect 0 'done: ' "$ssa" train --data text --out run $small
metrics() { "$ssa" eval --checkpoint run/step-000004 --data text --device cpu --seq 40 --rows 7 --batch "$1" --json | tr ',{}[]' '\n' | sed -n 's/^"\(full\|sparse\|sparsity_[a-z_]*\)":\([0-9.]\{7\}\).*/\1 \2/p'; }
metrics 1 >one
expect 0 '^6$' grep -c . one
for batch in 2 3 7 32; do
    metrics $batch >other
    expect 0 '^$' diff one other
done
metrics7() { "$ssa" eval --checkpoint run/step-000004 --data text --device cpu --seq 40 --rows "$1" --batch 1 --json; }
expect 0 '"seq":40,"first_row":[0-9]*,"rows":7,"tokens":280,.*"tokens_beyond":168' metrics7 7
expect 1 '.' cmp <(metrics7 7) <(metrics7 8) # other rows, other numbers

# The log's metrics name their rows
expect 0 '"val_full":[0-9.]*,"val_sparse":[0-9.]*,"rows":2,"tokens":80' cat run/log.jsonl
expect 0 '"step":1,.*"full":[01],"tokens":80' cat run/log.jsonl

# f16 holds weights; its range does not hold gradients
expect 2 'f16 cannot be trained in: .*loss scaling' "$ssa" train --data text --out f16 $small --dtype f16
expect 2 'f16 cannot be trained in' "$ssa" train --data text --out f16 $small --dtype f16 --dry-run
expect 0 '"sparse":' "$ssa" eval --checkpoint run/step-000004 --data text --device cpu --seq 40 --rows 2 --dtype f16 --json

# What the run knows is taken from it, and said: length, batch, dtype, data and the rows it held out.
wide="--device cpu --layers 1 --hidden 32 --ffn 48 --heads 2 --kv-heads 1 --head-dim 16 --block-size 8 --top-k 2 --batch 3 --steps 4 --warmup 1"
expect 0 'done:' "$ssa" train --data text --out wide $wide --seq 56 --val-fraction 0.01 --dtype bf16 --eval-rows 0
final=$(sed -n 's/.*"val_full":\([0-9.]*\),"val_sparse":\([0-9.]*\),.*/"full":\1,"sparse":\2,/p' wide/log.jsonl)
run_is='"step":4,"device":"cpu","dtype":"bf16","data":".*/text","split":"val_fraction","val_fraction":0.01,"trained_on":false,"batch":3,"seq":56,'
mkdir inside && cd inside
for data in '' '--data ../text'; do
    expect 0 "$run_is" "$ssa" eval --checkpoint ../wide $data --device cpu --json
    expect 0 "$final" "$ssa" eval --checkpoint ../wide $data --device cpu --json # as the run's own evaluation, to the last digit
done
cd ..
cp text copy && ln -s text link
for data in copy link; do expect 0 '"split":"val_fraction"' "$ssa" eval --checkpoint wide --data $data --device cpu --json; done
expect 0 'step 4, bf16 on cpu, batch 3' "$ssa" eval --checkpoint wide --device cpu
expect 0 'its last rows, val_fraction 0.01; 11 of 11 rows from row' "$ssa" eval --checkpoint wide --device cpu
first() { "$ssa" eval --checkpoint wide --device cpu --json "$@" | sed -n 's/.*"first_row":\([0-9]*\),.*/\1/p'; }
expect 0 '^$' test $(($(first --seq 40) * 40)) -ge $(($(first) * 56)) # rows of another length begin behind what was trained on
expect 2 'val_fraction 0.3 takes in rows of text that .* trained on' "$ssa" eval --checkpoint wide --data text --val-fraction 0.3 --device cpu
expect 0 '"val_fraction":0.005' "$ssa" eval --checkpoint wide --val-fraction 0.005 --device cpu --json
expect 0 '"split":"all","trained_on":true' "$ssa" eval --checkpoint wide --all --device cpu --json
expect 0 'WHICH THE RUN TRAINED ON' "$ssa" eval --checkpoint wide --all --device cpu
head -c 20000 text | tr a-m n-z >fresh
expect 0 '"split":"all","trained_on":false,.*"first_row":0' "$ssa" eval --checkpoint wide --data fresh --device cpu --json
expect 0 'perplexity' "$ssa" eval --checkpoint wide --device cpu --json=false
expect 2 '--json is perhaps, neither true nor false' "$ssa" eval --checkpoint wide --device cpu --json=perhaps

# Validation files of their own
expect 0 'done:' "$ssa" train --data text --val-data fresh --out valid $wide --seq 56 --eval-rows 0
final=$(sed -n 's/.*"val_full":\([0-9.]*\),"val_sparse":\([0-9.]*\),.*/"full":\1,"sparse":\2,/p' valid/log.jsonl)
expect 0 '"data":".*/fresh","split":"val_data","trained_on":false' "$ssa" eval --checkpoint valid --device cpu --json
expect 0 "$final" "$ssa" eval --checkpoint valid --data fresh --device cpu --json
expect 2 'trained on every row of text and holds .*fresh out' "$ssa" eval --checkpoint valid --data text --device cpu
expect 0 '"split":"all","trained_on":true' "$ssa" eval --checkpoint valid --data text --all --device cpu --json
expect 0 'done:' "$ssa" train --data text,fresh --out two $wide --seq 56
expect 2 'fresh is among what two/step-000004 was trained on' "$ssa" eval --checkpoint two --data fresh --device cpu
expect 0 'done:' "$ssa" train --data fresh --init-from wide --out next --device cpu --batch 2 --seq 40 --steps 2 --warmup 1
expect 0 '"step":2,.*/fresh","split":"val_fraction","val_fraction":0.05,.*"batch":2,"seq":40' "$ssa" eval --checkpoint next --device cpu --json
echo more >>fresh
expect 2 'is not what next/step-000002 was trained on any more' "$ssa" eval --checkpoint next --device cpu
expect 2 'is not what next/step-000002 was trained on any more' "$ssa" eval --checkpoint next --data fresh --device cpu
mv text gone
expect 2 'gone|text' "$ssa" eval --checkpoint run --device cpu
mv gone text
mkdir bare && cp wide/step-000004/config.json wide/step-000004/model.safetensors bare
expect 2 'bare has no trainer.json' "$ssa" eval --checkpoint bare --device cpu
expect 0 '"step":null,.*"split":"all"' "$ssa" eval --checkpoint bare --data text --device cpu --rows 2 --json

# A model of token ids: its vocabulary of 256 is no proof that they are bytes.
{
    printf '\x88\xd8\x34\x01\x01\x00\x00\x00\xd0\x07\x00\x00' # magic, version, 2000 tokens
    head -c 1012 /dev/zero
    head -c 2000 text | tr '\n' ' ' | sed 's/./&\n/g' | tr '\n' '\000' # characters as 16-bit numbers
} >tokens.bin
expect 0 'done:' "$ssa" train --data tokens.bin --vocab 256 --out tokens $wide --seq 56
expect 2 'tokens/step-000004 is a model of token ids \(vocabulary 256\), text holds bytes' "$ssa" eval --checkpoint tokens --data text --device cpu
expect 0 '"split":"val_fraction"' "$ssa" eval --checkpoint tokens --device cpu --json
expect 2 'is a model of token ids .*--prompt-ids 1,2,3' "$ssa" generate --checkpoint tokens --device cpu --prompt 'In the'
expect 0 '^5 6 7( [0-9]+){4}$' "$ssa" generate --checkpoint tokens --device cpu --prompt-ids 5,6,7 --tokens 4
expect 0 '^0( [0-9]+){4}$' "$ssa" generate --checkpoint tokens --device cpu --tokens 4
expect 2 'run/step-000004 is a model of bytes of text .*tokens.bin holds token ids' "$ssa" eval --checkpoint run --data tokens.bin --device cpu
expect 2 'token 256 is beyond' "$ssa" generate --checkpoint tokens --device cpu --prompt-ids 1,256
for list in '' 1,,2 -1 1,x 0x1 '1, 2' 1,; do expect 2 'is not a list of token ids' "$ssa" generate --checkpoint tokens --device cpu --prompt-ids="$list"; done
expect 2 'one is needed' "$ssa" generate --checkpoint run --device cpu --prompt a --prompt-ids 1
expect 0 '^73 110( [0-9]+){3}$' "$ssa" generate --checkpoint run --device cpu --prompt-ids 73,110 --tokens 3
cp -r tokens/step-000004 untold
rm untold/trainer.json # nothing tells: a vocabulary of 256 is taken for bytes
expect 0 '^In' "$ssa" generate --checkpoint untold --device cpu --prompt In --tokens 1

summary
