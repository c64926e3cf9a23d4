#!/usr/bin/env bash
# Brings a cluster up (tests/cluster/cluster.sh), runs the tests that need one, and ends it, whatever happens.
#   tests/cluster/run.sh [ARGUMENT…]      arguments for cargo test, as in: tests/cluster/run.sh -- scancel
# MPICC chooses the MPI, as everywhere; missing packages are installed, SLURM's daemons among them. Needs Linux
# and root.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck disable=SC1091 # checked by itself
. jobs/setup.sh

can_set_up_cluster
set_up
set_up_cluster
targets=(--target-dir "$(target_of "${MPICC:-}")" --test cluster)
# Built before, so that the cluster is there for no longer than it is used.
cargo test "${targets[@]}" --no-run
dir=$(mktemp -d)
trap 'tests/cluster/cluster.sh down "$dir" && rm -rf "$dir"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
tests/cluster/cluster.sh up "$dir"
# Most of the time tests wait for SLURM: more at a time than there are CPUs.
RUST_TEST_THREADS=6 PARPY_TEST_CLUSTER=$dir cargo test "${targets[@]}" "$@"
