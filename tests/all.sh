#!/usr/bin/env bash
# Installs what is missing, as jobs/demo.sh does, and runs every test with every MPI that is here, and
# without one. MPICC chooses a single MPI; PARPY_TEST_MPIS="openmpi mpich" says which MPIs there must be; missing
# ones are installed. Jobs are submitted to a cluster of our own where this is root's Linux and SLURM is here; with
# PARPY_TEST_CLUSTER=required SLURM is installed, too.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck disable=SC1091 # checked by itself
. jobs/setup.sh

need_cluster=
if [ "${PARPY_TEST_CLUSTER:-}" = required ]; then
    need_cluster=yes
    # The tests take it for a cluster that is up.
    unset PARPY_TEST_CLUSTER
fi

on_a_cluster() {
    local why
    # No package helps where the machine has no namespaces for us.
    why=$(can_set_up_cluster 2>&1) || { echo "SKIPPED: tests on a cluster: $why" >&2; return; }
    why=$(missing_for_cluster | xargs)
    if [ "$why" ] && [ ! "$need_cluster" ]; then
        echo "SKIPPED: tests on a cluster: tests/cluster/run.sh would install $why" >&2
        return
    fi
    echo "== on a cluster${1:+, with $1}" >&2
    ./tests/cluster/run.sh
}

read -ra mpis <<<"${PARPY_TEST_MPIS:-}"
set_up "${mpis[@]}"
if [ ${#mpis[@]} -gt 0 ]; then
    set_up_parallel_hdf5 "${mpis[@]}"
elif [ -z "${MPICC:-}" ]; then
    for mpi in openmpi mpich; do
        if have "mpicc.$mpi"; then mpis+=("$mpi"); fi
    done
fi
# Whether others can open what parpy writes. Without it these tests are skipped, and say so.
if python=$(python_with numpy h5py pandas); then export PARPY_TEST_PYTHON=$python; fi

if [ ${#mpis[@]} -eq 0 ]; then
    # One MPI: the one that MPICC names, or the only one there is, under its plain name.
    cargo test --target-dir "$(target_of "${MPICC:-}")"
    on_a_cluster
else
    for mpi in "${mpis[@]}"; do
        echo "== with $mpi" >&2
        MPICC=mpicc.$mpi cargo test --target-dir "$(target_of "mpicc.$mpi")"
        MPICC=mpicc.$mpi on_a_cluster "$mpi"
        if ! hdf5=$(hdf5_for "$mpi"); then
            echo "SKIPPED: files that all ranks write to: there is no parallel HDF5 for $mpi (libhdf5-$mpi-dev)" >&2
            continue
        fi
        echo "== with $mpi and its HDF5" >&2
        HDF5_DIR=$hdf5 MPICC=mpicc.$mpi \
            cargo test --features mpio --target-dir "$(target_of "mpio.$mpi")" --test parpy -- hdf5 same python
    done
fi
echo "== without MPI" >&2
cargo test --no-default-features --features hdf5 --target-dir "$(target_of without-mpi)" --test parpy -- hdf5 same python
echo "== without MPI and HDF5" >&2
cargo test --no-default-features --target-dir "$(target_of without-mpi)"
