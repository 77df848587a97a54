#!/usr/bin/env bash
# Kernels that are wrong where ordinary data does not show it (tests/kernels/wrong/KERNEL-WHAT: one edit of ours): `ssa verify kernel`
# fails each and names the first bad index, on lavapipe and on PoCL; ours, unedited, passes.  wrong.sh path/to/ssa
ssa=$1
. tests/expect.sh
cases='E=300|E=2200001|V=70000|T=65 Q=4| large| ties| with ' # among them those that are there for these kernels; the others take longer

driver() { # DEVICE OUR-KERNELS FILES-ENDING ENVIRONMENT...
    local device=$1 ours=$2 ending=$3 file kernel
    shift 3
    for file in tests/kernels/wrong/*."$ending"; do
        kernel=$(basename "$file")
        kernel=${kernel%%-*}
        expect 1 "FAILED kernel .* at \[[0-9,]*\]: " \
            env "$@" "$ssa" verify kernel "$file" --as "$kernel" --device "$device" --dtype f32 --first --filter "$cases"
    done
    expect 0 '^[1-9][0-9]* ok, 0 failed' env "$@" "$ssa" verify kernel "$ours/adamw.$ending" --as adamw --device "$device" --dtype f32 --filter "$cases"
}
for icd in /usr/share/vulkan/icd.d/lvp_icd*.json; do
    if [ -e "$icd" ]; then driver vulkan shaders comp VK_DRIVER_FILES="$icd" VK_ICD_FILENAMES="$icd"; else skip "lavapipe is not here"; fi
done
icd=/etc/OpenCL/vendors/pocl.icd
if [ -e $icd ]; then driver opencl opencl cl OCL_ICD_VENDORS=$icd; else skip "PoCL is not here"; fi
summary
