#!/usr/bin/env bash
# From a fresh checkout to the demo over four MPI ranks: installs what is missing, builds ./parpy, runs it.
# Run again, it goes straight to the job. MPICC=mpicc.mpich chooses another MPI than the system's own.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck disable=SC1091 # checked by itself
. jobs/setup.sh

set_up
target=$(target_of "${MPICC:-}")
build --release --target-dir "$target"
ln -sf "$target/release/parpy" parpy

mpirun=$(mpirun_of "${MPICC:-mpicc}")
mapfile -t options < <(mpirun_options "$mpirun" 4)
echo "$mpirun ${options[*]:+${options[*]} }-n 4 ./parpy $*" >&2
exec "$mpirun" "${options[@]}" -n 4 ./parpy "$@"
