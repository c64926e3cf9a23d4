#!/usr/bin/env bash
# Runs the model checker; stays within bounds that take a minute: two preemptions find what more of them find.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
export RUSTFLAGS="--cfg loom" LOOM_MAX_PREEMPTIONS=${1:-2}
cargo test --manifest-path tests/loom/Cargo.toml --target-dir target/loom --quiet
