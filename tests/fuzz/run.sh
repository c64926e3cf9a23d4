#!/usr/bin/env bash
# Runs every fuzz target for SECONDS (60), or those that are named behind it: tests/fuzz/run.sh 600 csv npy
# Installs cargo-fuzz when it is missing. What a target has learnt stays in target/fuzz/corpus, what has failed in
# target/fuzz/artifacts.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

seconds=${1:-60}
targets=("${@:2}")
if [ ${#targets[@]} -eq 0 ]; then targets=(job csv json npy text formula study); fi
# Sanitizers are asked for by flags that only a nightly compiler takes by itself.
export RUSTC_BOOTSTRAP=1

if ! cargo fuzz --version >/dev/null 2>&1; then
    cargo install cargo-fuzz --locked --quiet
fi
# The code is safe Rust, in which the address sanitizer would find nothing.
options=(--fuzz-dir tests/fuzz --target-dir target/fuzz --sanitizer none)
cargo fuzz build "${options[@]}"

# fuzz TARGET: its words go to a file.
fuzz() {
    local corpus=target/fuzz/corpus/$1 artifacts=target/fuzz/artifacts/$1
    mkdir -p "$corpus" "$artifacts"
    cargo fuzz run "${options[@]}" "$1" "$corpus" "tests/fuzz/seeds/$1" -- \
        -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 -max_len=8192 -print_final_stats=1 -verbosity=0 \
        -artifact_prefix="$artifacts/" >"target/fuzz/$1.log" 2>&1
}

echo "== ${targets[*]}, each for $seconds s" >&2
# As many at a time as there are CPUs.
failed=() pids=()
for ((i = 0; i < ${#targets[@]}; i++)); do
    if [ "$i" -ge "$(nproc)" ]; then wait "${pids[i - $(nproc)]}" || failed+=("${targets[i - $(nproc)]}"); fi
    fuzz "${targets[i]}" &
    pids+=($!)
done
for ((i = ${#targets[@]} > $(nproc) ? ${#targets[@]} - $(nproc) : 0; i < ${#targets[@]}; i++)); do
    wait "${pids[i]}" || failed+=("${targets[i]}")
done
for target in "${targets[@]}"; do
    printf '%s: %s inputs\n' "$target" "$(sed -n 's/^stat::number_of_executed_units: *//p' "target/fuzz/$target.log")" >&2
done
if [ ${#failed[@]} -gt 0 ]; then
    echo "fuzzing failed: ${failed[*]}; what they say is in target/fuzz/TARGET.log, and the inputs are in target/fuzz/artifacts, to be run" \
        "again with: RUSTC_BOOTSTRAP=1 cargo fuzz run ${options[*]} TARGET INPUT" >&2
    exit 1
fi
echo "nothing failed: ${targets[*]}, each for $seconds s" >&2
