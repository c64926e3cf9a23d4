#!/usr/bin/env bash
# Runs every fuzz target for SECONDS (60), or those that are named behind it: tests/fuzz/run.sh 600 csv npy
# Installs cargo-fuzz when it is missing. What a target has learnt stays in target/fuzz/corpus, what has failed in
# target/fuzz/artifacts.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

seconds=${1:-60}
targets=("${@:2}")
if [ ${#targets[@]} -eq 0 ]; then targets=(job csv npy text study); fi
# Sanitizers are asked for by flags that only a nightly compiler takes by itself.
export RUSTC_BOOTSTRAP=1

if ! cargo fuzz --version >/dev/null 2>&1; then
    cargo install cargo-fuzz --locked
fi
cargo fuzz build --fuzz-dir tests/fuzz --target-dir target/fuzz

failed=()
for target in "${targets[@]}"; do
    corpus=target/fuzz/corpus/$target
    artifacts=target/fuzz/artifacts/$target
    mkdir -p "$corpus" "$artifacts"
    echo "== $target for $seconds s" >&2
    cargo fuzz run --fuzz-dir tests/fuzz --target-dir target/fuzz "$target" "$corpus" "tests/fuzz/seeds/$target" -- \
        -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 -max_len=8192 -print_final_stats=0 -verbosity=0 \
        -artifact_prefix="$artifacts/" || failed+=("$target")
done
if [ ${#failed[@]} -gt 0 ]; then
    echo "fuzzing failed: ${failed[*]}; the inputs are in target/fuzz/artifacts, to be run again with: RUSTC_BOOTSTRAP=1" \
        "cargo fuzz run --fuzz-dir tests/fuzz --target-dir target/fuzz TARGET INPUT" >&2
    exit 1
fi
echo "nothing failed: ${targets[*]}, each for $seconds s" >&2
