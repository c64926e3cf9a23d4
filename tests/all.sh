#!/usr/bin/env bash
# Installs what is missing, as jobs/demo.sh does, and runs the tests: with the MPI that is here (MPICC chooses one),
# all that concerns one machine, and a representative part of what runs under mpirun. Minutes.
#   tests/all.sh full     everything, in all its variations: with every MPI that is here, with each one's HDF5, without
#                         MPI and HDF5, and jobs submitted to a cluster of our own where this is root's Linux
# For full: PARPY_TEST_MPIS="openmpi mpich" says which MPIs there must be, and PARPY_TEST_CLUSTER=required that there
# must be a cluster; what is missing is installed. What a machine lacks is passed over and counted at the end; where
# CI=true it is a failure, unless PARPY_TEST_MAY_LACK has its word.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck disable=SC1091 # checked by itself
. jobs/setup.sh

case "${1:-}" in
'') ;;
full) export PARPY_TEST_FULL=yes ;;
*) echo "usage: tests/all.sh [full]" >&2; exit 2 ;;
esac

# How many tests run at a time. Half of the time a test waits for Open MPI's mpirun: more than there are CPUs. Ranks of
# MPICH keep a CPU busy while they wait.
threads() {
    if [[ $("$(mpirun_of "${MPICC:-mpicc}")" --version 2>/dev/null) =~ Open\ MPI|OpenRTE|PRRTE ]]; then
        echo $(($(nproc) * 2))
    else
        nproc
    fi
}

PARPY_TEST_SKIPPED=$(mktemp)
export PARPY_TEST_SKIPPED
trap 'rm -f "$PARPY_TEST_SKIPPED"' EXIT

skip() { # WHAT WHY, as the tests say it
    [ "${CI:-}" != true ] || [[ " ${PARPY_TEST_MAY_LACK:-} " == *" $1 "* ]] ||
        { fail "$1: $2, which CI may not lack"; return; }
    printf 'SKIPPED: tests/all.sh: %s: %s\n' "$1" "$2" | tee -a "$PARPY_TEST_SKIPPED" >&2
}

failed=()
# tests WHAT TARGET ARGUMENT…: cargo test, with the folder that is built in; goes on where tests fail. Those on a
# cluster are run by on_a_cluster.
tests() {
    echo "== $1" >&2
    PARPY_TEST_MAY_LACK="${PARPY_TEST_MAY_LACK:-} cluster" RUST_TEST_THREADS=$(threads) \
        cargo test --no-fail-fast --target-dir "$2" "${@:3}" || failed+=("$1")
}

# tests_of_files WHAT TARGET FEATURE…: those of files in formats alone, which is what hangs on the features.
tests_of_files() {
    tests "$1" "$2" "${@:3}" --test parpy -- hdf5 python::
    tests "$1: the same files" "$2" "${@:3}" --test same -- files:
}

on_a_cluster() {
    local why
    # No package helps where the machine has no namespaces for us.
    why=$(can_set_up_cluster 2>&1) || { skip cluster "$why"; return; }
    why=$(missing_for_cluster | xargs)
    if [ "$why" ] && [ ! "$need_cluster" ]; then
        skip cluster "tests/cluster/run.sh would install $why"
        return
    fi
    echo "== on a cluster, with $1" >&2
    ./tests/cluster/run.sh
}

need_cluster=
if [ "${PARPY_TEST_CLUSTER:-}" = required ]; then
    need_cluster=yes
    # The tests take it for a cluster that is up.
    unset PARPY_TEST_CLUSTER
fi
read -ra mpis <<<"${PARPY_TEST_MPIS:-}"
set_up "${mpis[@]}"
# Whether others can open what parpy writes. Without it these tests are passed over.
if has python || ensure python; then
    has h5dump || install h5dump || true
    if python=$(python_with numpy h5py pandas nbclient ipykernel cloudpickle); then export PARPY_TEST_PYTHON=$python; fi
fi

if [ -z "${PARPY_TEST_FULL:-}" ]; then
    tests "with $(mpirun_of "${MPICC:-mpicc}")" "$(target_of "${MPICC:-}")"
else
    if [ ${#mpis[@]} -gt 0 ]; then
        set_up_parallel_hdf5 "${mpis[@]}"
    else
        for mpi in openmpi mpich; do
            if have "mpicc.$mpi"; then mpis+=("$mpi"); fi
        done
    fi
    first=$(target_of "${MPICC:-${mpis[0]:+mpicc.${mpis[0]}}}")
    if [ -n "${MPICC:-}" ] || [ ${#mpis[@]} -eq 0 ]; then
        # One MPI: the one that MPICC names, or the only one there is, under its plain name.
        tests "with ${MPICC:-mpicc}" "$first"
        on_a_cluster "${MPICC:-mpicc}" || failed+=("on a cluster, with ${MPICC:-mpicc}")
        mpis=()
    fi
    for mpi in "${mpis[@]}"; do
        target=$(target_of "mpicc.$mpi")
        begin_with "$target" "$first" debug
        if [ "$target" = "$first" ]; then
            MPICC=mpicc.$mpi tests "with $mpi" "$target"
        else
            # What does not hang on the MPI has been tested, and all variations of what travels between ranks.
            # The example by itself: beside tests that are named cargo would make it one of them.
            MPICC=mpicc.$mpi cargo build --example own --target-dir "$target" || failed+=("the example, with $mpi")
            PARPY_TEST_FULL='' MPICC=mpicc.$mpi tests "with $mpi" "$target" --test parpy --test same --test prompt
        fi
        # Most of the time it waits for SLURM: what comes next is built meanwhile.
        log=$(mktemp)
        MPICC=mpicc.$mpi on_a_cluster "$mpi" >"$log" 2>&1 &
        cluster=$!
        if hdf5=$(hdf5_for "$mpi"); then
            begin_with "$(target_of "mpio.$mpi")" "$target" debug
            HDF5_DIR=$hdf5 MPICC=mpicc.$mpi cargo test --features mpio --target-dir "$(target_of "mpio.$mpi")" \
                --test parpy --test same --no-run || true
        else
            skip "hdf5-$mpi" "files that all ranks write to: there is no parallel HDF5 for $mpi"
        fi
        wait $cluster || failed+=("on a cluster, with $mpi")
        cat "$log" >&2
        rm -f "$log"
        if [ "$hdf5" ]; then
            MPICC=mpicc.$mpi HDF5_DIR=$hdf5 tests_of_files "with $mpi and its HDF5" "$(target_of "mpio.$mpi")" \
                --features mpio
        fi
    done
    without=$(target_of without-mpi)
    begin_with "$without" "$first" debug
    tests_of_files "without MPI" "$without" --no-default-features --features hdf5
    tests "without MPI and HDF5" "$without" --no-default-features
fi

if [ -s "$PARPY_TEST_SKIPPED" ]; then
    sort -u "$PARPY_TEST_SKIPPED" >&2
    echo "$(sort -u "$PARPY_TEST_SKIPPED" | wc -l) tests were passed over, whole or in part, for what this machine lacks." >&2
fi
[ ${#failed[@]} -eq 0 ] || { printf 'FAILED: %s\n' "${failed[@]}" >&2; exit 1; }
echo "All tests that were run have passed." >&2
