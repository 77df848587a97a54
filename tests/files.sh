#!/usr/bin/env bash
# Folders of other people, through the command: what is read is used, known to change nothing, or refused by name; what an earlier
# version wrote loads and resumes; what is written names the authors' class.
# usage: tests/files.sh SSA     SSA: the command under test
set -u
ssa=$1
. "$(dirname "$0")/expect.sh"
cases=$(cd "$(dirname "$0")/cases" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
export OCL_ICD_VENDORS=$work OMP_NUM_THREADS=1

yes "In the beginning was the word, and the word was long enough." | head -c 20000 >text
expect 0 'saved' "$ssa" train --data text --out run --device cpu --layers 1 --hidden 32 --ffn 48 --heads 2 --kv-heads 1 --head-dim 16 --block-size 8 \
    --top-k 2 --seq 40 --batch 2 --steps 4 --stop-at 2 --warmup 1 --eval-rows 2 --tie true
model=run/step-000002
evaluate() { "$ssa" eval --checkpoint "$1" --data text --device cpu --seq 40 --rows 2 --json; }
losses() { evaluate "$1" | grep -oE '"(full|sparse)":[^,]*'; }
# folder NAME SED: the model with its config.json edited
folder() { rm -rf "$1" && mkdir "$1" && cp $model/model.safetensors "$1" && sed -E "$2" $model/config.json >"$1/config.json"; }
# adds KEY and value behind the first brace
add() { folder "$1" "1s/.*/{ $2,/"; }

expect 0 '^  "model_type": "llama-nsa",$' cat $model/config.json
expect 0 'LlamaNSAForCausalLM' cat $model/config.json
of_run=$(losses $model) # over the rows that its run held out; a folder by itself knows of none
folder plain ''
reference=$(losses plain)
expect 0 '^$' test -n "$reference"

# Keys: unknown, neutral at one value, harmless
add unknown '"entmax_alpha": 1.5'
expect 2 'unknown/config.json: entmax_alpha 1.5 is not supported' evaluate unknown
add rotary '"partial_rotary_factor": 0.5'
expect 2 'partial_rotary_factor 0.5 is not supported, only 1' evaluate rotary
folder mistral 's/LlamaNSAForCausalLM/MistralForCausalLM/'
expect 2 'architectures MistralForCausalLM is not supported' evaluate mistral
add harmless '"partial_rotary_factor": 1.0, "torch_dtype": "float32", "bos_token_id": 1'
expect 0 '^$' test "$(losses harmless)" = "$reference"

# Absent keys are the class's, so that saying its value is the same and saying ours is not
folder absent '/"(rms_norm_eps|rope_theta)"/d'
folder theirs 's/("rms_norm_eps":) [^,]*/\1 1e-6/; s/("rope_theta":) [^,]*/\1 10000/'
expect 0 '^$' test "$(losses absent)" = "$(losses theirs)"
expect 0 '^$' test "$(losses absent)" != "$reference"
folder untied '/"tie_word_embeddings"/d'
expect 2 'no tensor lm_head.weight, which tie_word_embeddings false' evaluate untied
folder window '/"window_size"/d'
expect 2 'window_size is missing, which means 512' evaluate window

# RoPE in both spellings
theta=$(sed -nE 's/.*"rope_theta": ([^,]*),.*/\1/p' $model/config.json)
folder new "s/\"rope_theta\": [^,]*/\"rope_parameters\": { \"rope_theta\": $theta }/"
expect 0 '^$' test "$(losses new)" = "$reference"
add both "\"rope_scaling\": {}, \"rope_parameters\": { \"rope_type\": \"default\", \"rope_theta\": $theta }"
expect 0 '^$' test "$(losses both)" = "$reference"
add differ '"rope_parameters": { "rope_theta": 7 }'
expect 2 'rope_theta [0-9]+ and rope_theta of rope_parameters 7 contradict' evaluate differ

# Tensors beside the model's
for name in q_bias_present layer1_present_but_1_layer i64_beside; do cp -r "$cases/files/$name" .; done
expect 2 'has a tensor model.layers.0.self_attn.q_proj.bias that' evaluate q_bias_present
expect 2 'has a tensor model.layers.1.input_layernorm.weight that' evaluate layer1_present_but_1_layer
expect 0 '"full":4\.' evaluate i64_beside
expect 2 'tensor model.layers.1.input_layernorm.weight that' "$ssa" train --data text --out other --device cpu --init-from layer1_present_but_1_layer \
    --seq 40 --batch 2 --steps 1 --warmup 1 --eval-rows 2

# A plain Llama has no gates; ours without them is one
"$ssa" train --data text --out ungated --device cpu --layers 1 --hidden 32 --ffn 48 --heads 2 --kv-heads 1 --head-dim 16 --block-size 8 --top-k 2 \
    --seq 40 --batch 2 --steps 1 --warmup 1 --eval-rows 2 --gate false --attention full >/dev/null 2>&1
expect 0 '"LlamaForCausalLM"' cat ungated/step-000001/config.json
mkdir llama && cp ungated/step-000001/model.safetensors llama
python3 -c 'import json, sys; print(json.dumps({k: v for k, v in json.load(sys.stdin).items() if not k.startswith("ssa_")}))' \
    <ungated/step-000001/config.json >llama/config.json
expect 0 '"full":[0-9]' evaluate llama
folder gated 's/"LlamaNSAForCausalLM"/"LlamaForCausalLM"/; s/"llama-nsa"/"llama"/; /"ssa_gate"/d'
expect 2 'g_proj' evaluate gated

# A run of an earlier version, whose config.json says llama_nsa
sed -i 's/llama-nsa/llama_nsa/' $model/config.json
expect 0 '^$' test "$(losses $model)" = "$of_run"
expect 0 'step 4/4' "$ssa" train --resume run --device cpu
expect 0 '"model_type": "llama-nsa"' cat run/step-000004/config.json
summary
