#!/usr/bin/env bash
# The library keeps nothing between contexts but what belongs to the process: every writable datum of our objects is listed here.
# usage: globals.sh libssa_inside.a
library=$1
allowed='loader.c once, loader.c lock, loader.c loader_result (libvulkan, found once), compile.c once, compile.c lock, compile.c table (shaderc, found once),
 embed.c lock, embed.c kept (kernel sources of SSA_KERNEL_DIR)'
writable=$(objdump -t "$library" | awk '
    /file format/ { file = $1; sub(/:$/, "", file); sub(/\.o$/, "", file) }
    $NF !~ /^\./ && / O \.(bss|data|tbss|tdata|common)/ && !/data\.rel\.ro/ { if (file != "volk.c") print file, $NF }' | sort -u) # volk.c: the loader's entry points
found=0 failed=0
while read -r file name; do
    [ -n "$file" ] || continue
    found=$((found + 1))
    [[ $allowed == *"$file $name"[,\ ]* ]] || { echo "FAILED: $file keeps $name for the whole process"; failed=1; }
done <<<"$writable"
echo "$found writable data"
[ $failed = 0 ] && [ $found -ge 6 ] # fewer: nothing was read
