#!/usr/bin/env bash
# What training data may be, and what a run knows of its own: foreign formats are refused under any name, the vocabulary of shards is what
# --vocab or meta.json says, training and validation are held apart, a run continues only with the data and options it began with, and
# data that is cut short or written over during a run ends it with a sentence and a checkpoint.
# usage: tests/data.sh SSA     SSA: the command under test
set -u
ssa=$1
. "$(dirname "$0")/expect.sh"
cases=$(cd "$(dirname "$0")/cases" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
export OCL_ICD_VENDORS=$work # no OpenCL drivers: some cannot be loaded under the sanitizers

yes "In the beginning was the word, and the word was long enough." | head -c 20000 >text
small="--device cpu --layers 1 --hidden 32 --ffn 48 --heads 2 --kv-heads 1 --head-dim 16 --block-size 8 --top-k 2 --seq 40 --batch 2
       --steps 2 --warmup 1 --eval-rows 2"
train() { rm -rf run; "$ssa" train --out run $small "$@"; }
resume() { rm -rf again; cp -r begun again; "$ssa" train --resume again --device cpu "$@"; }
bytes() { printf "$(printf '\\x%02x' "$@")"; } # bytes of these values

# -- what is no text, under any name ----------------------------------------------------------------------------------------------
refuse() { # WORDS: the file `data` is refused with them
    expect 2 "data is $1|data is no text.*$1" train --data data
}
cp "$cases/foreign-tokens/tok.npy" data && refuse 'a numpy array'
tail -c 12000 "$cases/foreign-tokens/tok.npy" >data && refuse 'raw 16-bit ids'
for tool in gzip xz bzip2 zstd; do
    if command -v $tool >/dev/null; then $tool -qc text >data && refuse "an? $tool archive"; else skip "$tool is not here"; fi
done
if command -v iconv >/dev/null; then
    for code in UTF-16 UTF-16LE UTF-16BE UTF-32; do iconv -t $code text >data && refuse 'text in UTF|upper byte first'; done
    printf 'Gr\303\274\303\237e aus K\303\266ln, \342\202\254 5. %.0s' $(seq 300) >utf8
    iconv -f UTF-8 -t ISO-8859-15 utf8 >latin && expect 0 'done' train --data latin
    expect 0 'done' train --data utf8
else
    skip "iconv is not here"
fi
tar cf data text && refuse 'a tar archive'
(cat "$ssa" 2>/dev/null | head -c 30000) >data && refuse 'an ELF program'
fill=$(head -c 3000 text)
magic() { { bytes "${@:2}"; printf %s "$fill"; } >data && refuse "$1"; } # WORDS BYTE...
magic 'a zip archive' 0x50 0x4b 3 4
magic 'a zstd archive' 0x28 0xb5 0x2f 0xfd
magic 'a 7z archive' 0x37 0x7a 0xbc 0xaf 0x27 0x1c
magic 'a GGUF model' 0x47 0x47 0x55 0x46 3 0 0 0
magic 'a Parquet table' 0x50 0x41 0x52 0x31 0x15 4
magic 'an Arrow table' 0x41 0x52 0x52 0x4f 0x57 0x31 0 0
magic 'an HDF5 file' 0x89 0x48 0x44 0x46 0x0d 0x0a 0x1a 0x0a
magic 'a safetensors file' 0x40 0 0 0 0 0 0 0 0x7b 0x22
magic 'a Python pickle' 0x80 4 0x95
magic 'an SQLite database' 0x53 0x51 0x4c 0x69 0x74 0x65 0x20 0x66 0x6f 0x72 0x6d 0x61 0x74 0x20 0x33 0
magic 'a PDF document' 0x25 0x50 0x44 0x46 0x2d 0x31
magic 'a PNG picture' 0x89 0x50 0x4e 0x47 0x0d 0x0a 0x1a 0x0a
magic 'text in UTF-16' 0xff 0xfe 0x41 0
printf 'version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n' >data && refuse 'a pointer of Git LFS'
# Raw ids: of 16 bits from a shard without its header, of 32 and 64 with zeros above.
tail -c +1025 "$cases/shard-vocabulary/ok.bin" >data && refuse 'raw 16-bit ids'
for i in $(seq 0 400); do bytes $((i % 250 + 1)) $((i % 7)) 0 0; done >data && refuse 'raw 32-bit ids'
for i in $(seq 0 400); do bytes $((i % 250 + 1)) $((i % 7)) 0 0 0 0 0 0; done >data && refuse 'raw 64-bit ids'
cp data raw.bin && expect 2 'raw.bin is not a token shard: .*, as raw 64-bit ids' train --data raw.bin
head -c 5000 /dev/urandom | tr -d '\000' >data && refuse 'control characters'
# What only begins like one of these is text.
for word in GGUF PAR1 PARENT BZh ustar PK MZ 070701; do printf '%s is a word. %s' "$word" "$fill" >data && expect 0 done train --data data; done

# -- the vocabulary of shards -------------------------------------------------------------------------------------------------------
shards=$cases/shard-vocabulary
expect 0 'vocabulary 1024;' train --data "$shards/ok.bin" --vocab 1024
expect 0 '^$' grep -q '"vocab_size": 1024' run/step-000002/config.json
expect 0 'vocabulary 2048;' train --data "$shards/ok.bin" --vocab 2048
expect 0 'parameters +1616192' train --data "$shards/ok.bin" --dry-run # 50257 x 32 and the layer
expect 2 'beyond.bin: token [0-9]+ at position [0-9]+ is beyond the vocabulary of 1024' train --data "$shards/beyond.bin" --vocab 1024
expect 0 '^$' test ! -e run
expect 2 'ok.bin: token [0-9]+ at position [0-9]+ is beyond the vocabulary of 100' train --data "$shards/ok.bin" --vocab 100
expect 2 '16-bit ids, and a vocabulary of 128256 needs more' train --data "$shards/ok.bin" --vocab 128256
mkdir meta && cp "$shards/ok.bin" meta/
echo '{"vocab_size": 1024}' >meta/meta.json
expect 0 'vocabulary 1024;' train --data meta/ok.bin
expect 0 '^$' grep -q '"vocab_size": 1024' run/step-000002/config.json
expect 0 'vocabulary 1024;' train --data meta --vocab 1088 # padded
expect 0 '^$' grep -q '"vocab_size": 1088' run/step-000002/config.json
expect 2 'vocab 512 is smaller than the vocabulary of 1024' train --data meta --vocab 512
expect 2 'beyond.bin has a vocabulary of 50257, the shards before it 1024' train --data "meta/ok.bin,$shards/beyond.bin"
cp "$shards/beyond.bin" meta/
expect 2 'beyond.bin: token .* beyond the vocabulary of 1024' train --data meta
for bad in '{}' '{"vocab_size": "many"}' '{"vocab_size": 1}' 'vocab_size = 1024'; do
    echo "$bad" >meta/meta.json
    expect 2 'meta.json' train --data meta
done
expect 2 'ids of 2 bytes .GPT-2., the files before it of 1 .bytes.' train --data "text,$shards/ok.bin"
expect 2 'holds bytes of text and the training data token ids' train --data "$shards/ok.bin" --vocab 1024 --val-data text

# -- patterns and lists; training and validation apart ----------------------------------------------------------------------------------
cp -r "$cases/val-inside-train/fineweb" fineweb
val=fineweb/fineweb_val_000000.bin
shard() { train --vocab 1024 "$@"; }
expect 2 'fineweb_val_000000.bin is the same file as training file' shard --data fineweb --val-data $val
expect 0 '12000 tokens of 2 files.* .of their own files' shard --data 'fineweb/fineweb_train_*.bin' --val-data 'fineweb/fineweb_val_*.bin'
expect 0 '12000 tokens of 2 files' shard --data fineweb/fineweb_train_000001.bin,fineweb/fineweb_train_000002.bin --val-data $val
expect 2 'same file' shard --data 'fineweb/*.bin' --val-data $val
expect 2 'same file' shard --data 'fineweb/fineweb_train_*.bin,fineweb/fineweb_val_000000.bin' --val-data $val
expect 2 'same file' shard --data $val --val-data $val
expect 2 'same file' shard --data $val --val-data ./fineweb/../$val
ln -s "$PWD/$val" symbolic.bin && expect 2 'same file' shard --data symbolic.bin --val-data $val
ln $val hard.bin && expect 2 'same file' shard --data hard.bin --val-data $val
cp $val copy.bin && expect 2 'a copy of' shard --data copy.bin --val-data $val
ln -s fineweb folder && expect 2 'same file' shard --data folder --val-data fineweb
expect 2 'is the same file as' shard --data "$val,$val"
expect 2 'is a copy of' shard --data "$val,copy.bin"
expect 2 'no file matches fineweb/absent' shard --data 'fineweb/absent_*.bin' --val-data $val
expect 2 'empty name' shard --data "$val,,$val"
expect 2 'absent.bin' shard --data "$val,absent.bin"
cp text 'a,b[1].txt' && expect 0 done train --data 'a,b[1].txt' # a name that exists is a name

# -- a run continues with what it began with ---------------------------------------------------------------------------------------------
"$ssa" train --data text --out begun $small --steps 4 --stop-at 2 >/dev/null
"$ssa" train --data text --out straight $small --steps 4 >/dev/null
expect 0 '^$' test -e straight/step-000004
expect 0 'done' resume
expect 0 '^$' cmp again/step-000004/model.safetensors straight/step-000004/model.safetensors
mkdir elsewhere
expect 0 'done' bash -c 'cp -r begun elsewhere/moved && cd elsewhere && exec "$0" train --resume moved --device cpu' "$(command -v "$ssa" | xargs realpath)"
expect 0 '^$' cmp elsewhere/moved/step-000004/model.safetensors straight/step-000004/model.safetensors
cp text same && touch same && expect 0 'done' resume --data same # another name and time, the same content
for change in 'seq 20' 'seed 7' 'block-size 4' 'top-k 1' 'score dot' 'lr 0.1' 'batch 4' 'accum 2' 'steps 8' 'warmup 0' 'val-fraction 0.2' 'alpha 1' 'p-full 1' 'dtype bf16'; do
    option=${change% *}
    expect 2 "${option//-/_} .*instead of.*--allow-changes" resume --$change
done
expect 2 'seq 20 instead of 40, seed 7 instead of 42|seed 7 instead of 42, seq 20' resume --seq 20 --seed 7
expect 0 'not the run that .*lr 0.1 instead of 0.003' resume --lr 0.1 --allow-changes
expect 0 'done' resume --eval-every 1 --keep 9 --log-every 1 --save-every 1 # these decide nothing
tr a-y b-z <text >other && expect 2 'data .*other with other content' resume --data other
expect 0 'not the run that .*other content' resume --data other --allow-changes
cat text text >longer && expect 2 'data .*longer with 40000 bytes instead of 20000' resume --data longer
expect 2 'a val_data that it does not have' resume --val-data other
expect 2 'beyond the vocabulary of 256' resume --data "$shards/ok.bin" --allow-changes
cp text kept && echo more >>text && expect 2 'text with 20005 bytes instead of 20000' resume # the file itself has grown
cp kept text
sed 's/^\t"data":/\t"date":/' begun/step-000002/trainer.json >trainer.json && mv begun/step-000002/trainer.json kept.json && cp trainer.json begun/step-000002/
expect 2 'does not tell of' resume
mv kept.json begun/step-000002/trainer.json
"$ssa" train --data 'fineweb/fineweb_train_*.bin' --val-data $val --vocab 1024 --out shards $small --steps 4 --stop-at 2 >/dev/null
rm -rf begun && mv shards begun
expect 0 'done' resume
expect 2 'no val_data' resume --val-data ''
expect 2 'data .*000002.bin with other content|data of 1 files instead of 2|000001' resume --data fineweb/fineweb_train_000002.bin
expect 2 'vocab 2048 instead of 1024|vocabulary of 2048 instead of 1024' resume --vocab 2048

# -- weights from another run ------------------------------------------------------------------------------------------------------------
from=$PWD/begun/step-000002
expect 2 'is a model of token ids, .* holds bytes' train --data text --init-from "$from"
expect 2 'is a model of bytes, .* holds token ids' shard --data 'fineweb/fineweb_train_*.bin' --init-from straight/step-000004
expect 0 'warning: .* rows that validate here' train --data text --init-from straight/step-000004 --val-fraction 0.5
expect 1 'warning' bash -c '"$@" | grep warning || { echo no warning; exit 1; }' - "$ssa" train --out quiet $small --data text --init-from straight/step-000004

# -- data that changes during a run ------------------------------------------------------------------------------------------------------
during() { # WORDS CHANGE: the run ends with 1 and them, and with a checkpoint from which it can go on
    rm -rf live run && cp kept live
    "$ssa" train --data live --out run $small --steps 100000 --save-every 0 --eval-every 0 >log 2>&1 &
    local pid=$!
    for _ in $(seq 200); do
        grep -q '^step 10' log && break
        sleep 0.05
    done
    eval "$2"
    wait $pid
    expect 1 "$1" bash -c 'cat log; exit '$?
    cp kept live
    expect 0 'saved' "$ssa" train --resume run --device cpu --stop-at $(($(basename run/step-* | sed 's/step-0*//') + 1))
}
during 'live has become shorter while it was in use' 'head -c 3000 kept >live'
during 'live has become shorter while it was in use' ': >live'
during 'live has changed while it was in use' 'dd if=other of=live bs=20000 conv=notrunc status=none' # in place: cp would make it shorter first

summary
