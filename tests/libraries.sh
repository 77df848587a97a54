#!/usr/bin/env bash
# Other people's libraries at their worst: every command ends, with a sentence.
# usage: libraries.sh SSA CRASHING-DRIVER HANGING-DRIVER
source "$(dirname "$0")/expect.sh"
ssa=$1 crash=$(realpath "$2") hang=$(realpath "$3")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export SSA_DRIVER_SECONDS=2 SSA_CACHE_DIR=$work/cache
unset OMP_NUM_THREADS OPENBLAS_CORETYPE OPENBLAS_NUM_THREADS
limit() { local s=$1; shift; timeout "$s" "$@"; } # 124: it hangs
under() { limit 60 bash -c "ulimit -v $1; shift; exec \"\$@\"" under "$@"; }
quick=(verify ops --device cpu --filter '^matmul f32')

# -- threads ------------------------------------------------------------------------------------------------------------------
for n in 0 -1 abc 100000 2.5; do expect 2 "OMP_NUM_THREADS is $n," env OMP_NUM_THREADS=$n "$ssa" "${quick[@]}"; done
for n in 1 3 2,1 ''; do expect 0 ' 0 failed' env OMP_NUM_THREADS="$n" "$ssa" "${quick[@]}"; done
expect 0 ' 0 failed' "$ssa" "${quick[@]}" --threads 3
expect 2 'threads' "$ssa" "${quick[@]}" --threads 129
(cd "$work" && for i in {1..400}; do echo "line $i of a text to learn from"; done >text)
train() { "$ssa" train --data "$work/text" --device cpu --steps 2 --warmup 1 --seq 32 --batch 1 --layers 1 --hidden 32 --ffn 32 --heads 2 --kv-heads 1 --head-dim 16 --block-size 8 --top-k 2 "$@"; }
expect 0 'CPU, 3 threads' train --out "$work/three" --threads 3
expect 0 '^matmul +[1-9]' train --out "$work/one" --threads 1 --profile # per operation, on the CPU too
expect 2 'threads is many' train --out "$work/none" --threads many
for c in eval "generate --tokens 3"; do
    expect 0 '.' "$ssa" $c --checkpoint "$work/one" --device cpu --threads 3
    expect 2 'threads' "$ssa" $c --checkpoint "$work/one" --device cpu --threads 1000
done
expect 0 '' cmp "$work/one/step-000002/model.safetensors" "$work/three/step-000002/model.safetensors"
# settings of libraries that are garbage to us, or were OpenMP's
for v in OPENBLAS_NUM_THREADS=abc OPENBLAS_NUM_THREADS=-3 OPENBLAS_NUM_THREADS=100000 GOMP_CPU_AFFINITY=x OMP_PROC_BIND=nonsense OMP_STACKSIZE=-1 OPENBLAS_CORETYPE=nonsense; do
    expect 0 ' 0 failed' env "$v" timeout 60 "$ssa" "${quick[@]}"
done

# -- BLAS: another processor's code, too little address space ------------------------------------------------------------------
if grep -q AuthenticAMD /proc/cpuinfo && ! grep -qw fma4 /proc/cpuinfo; then # code for the one generation that had FMA4
    expect 1 'OPENBLAS_CORETYPE Bulldozer' env OPENBLAS_CORETYPE=Bulldozer timeout 60 "$ssa" "${quick[@]}"
else
    skip "BLAS code for another processor: only AMD's without FMA4 has such"
fi
for kib in 80000 150000 250000 350000; do
    expect 1 "^ssa: .*address space.*$kib KiB" under $kib "$ssa" "${quick[@]}"
    expect 0 'cpu' under $kib "$ssa" devices
done

# -- Vulkan and OpenCL -----------------------------------------------------------------------------------------------------------
driver() { # NAME LIBRARY: a file each for the loaders
    printf '{"file_format_version":"1.0.0","ICD":{"library_path":"%s","api_version":"1.3.0"}}' "$2" >"$work/$1.json"
    mkdir -p "$work/$1"
    echo "$2" >"$work/$1/driver.icd"
}
driver crash "$crash"
driver hang "$hang"
driver missing /nowhere/driver.so
driver no_library /etc/passwd
echo garbage >"$work/garbage.json"
with() { local n=$1; shift; limit 60 env VK_DRIVER_FILES="$work/$n.json" VK_ICD_FILENAMES="$work/$n.json" OCL_ICD_VENDORS="$work/$n" "$@"; }
fails() { "$@"; local s=$?; [ $s = 1 ] || [ $s = 2 ]; } # neither success nor a crash nor a time-out
for api in vulkan opencl; do
    ldconfig -p | grep -q "$([ $api = vulkan ] && echo libvulkan.so.1 || echo libOpenCL.so.1)" || { skip "no $api loader"; continue; }
    expect 1 "$api loader or a driver of it crashed" with crash "$ssa" verify ops --device $api
    expect 1 "$api loader or a driver of it did not end within 2 s" with hang "$ssa" verify ops --device $api
    for n in crash hang missing no_library garbage; do
        expect 0 "^$api: none \(" with $n "$ssa" devices
        expect 0 '^ssa: .' fails with $n "$ssa" verify ops --device $api --filter '^fill'
    done
done
expect 0 ' 0 failed' with crash "$ssa" verify ops --device cpu --filter '^fill f32' # who does not ask is not told

# -- shaderc ---------------------------------------------------------------------------------------------------------------------
if "$ssa" devices | grep -q '^vulkan:0'; then
    for file in /nowhere/shaderc.so /etc/passwd; do
        expect 1 "no shader compiler.*$file" limit 60 env SSA_SHADERC="$file" "$ssa" verify ops --device vulkan --filter '^fill f32'
    done
else
    skip "shader compilers that cannot be loaded: no Vulkan device"
fi
summary
