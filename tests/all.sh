#!/usr/bin/env bash
# Installs what is missing, as jobs/demo.sh does, and runs every test with every MPI that is here, and
# without one. MPICC chooses a single MPI; PARPY_TEST_MPIS="openmpi mpich" says which MPIs there must be; missing ones are installed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. jobs/setup.sh

read -ra mpis <<<"${PARPY_TEST_MPIS:-}"
set_up "${mpis[@]}"
if [ ${#mpis[@]} -eq 0 ] && [ -z "${MPICC:-}" ]; then
    for mpi in openmpi mpich; do
        if have "mpicc.$mpi"; then mpis+=("$mpi"); fi
    done
fi

if [ ${#mpis[@]} -eq 0 ]; then
    # One MPI: the one that MPICC names, or the only one there is, under its plain name.
    cargo test --target-dir "$(target_of "${MPICC:-}")"
else
    for mpi in "${mpis[@]}"; do
        echo "== with $mpi" >&2
        MPICC=mpicc.$mpi cargo test --target-dir "$(target_of "mpicc.$mpi")"
    done
fi
echo "== without MPI" >&2
cargo test --no-default-features --target-dir "$(target_of without-mpi)"
