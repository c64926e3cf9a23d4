# Sourced by jobs/demo.sh, jobs/compare.sh and tests/all.sh: sees that what parpy is built with is there, and
# installs what is missing where it knows how (Debian, Ubuntu). Expects the current folder to be the checkout.
#
#   set_up MPI…     MPI: openmpi or mpich; none means any MPI that mpicc finds, or Open MPI when there is none.
#                   Also HDF5, of which HDF5_DIR is set to the one without MPI where there are several
#   set_up_parallel_hdf5 MPI…    HDF5 for these MPIs, for the feature mpio
#   set_up_cluster  SLURM and what else tests/cluster/cluster.sh wants
#   missing_for_cluster          which packages that would install
#   can_set_up_cluster           may processes have networks and mounts of their own here? Says why not
#   hdf5_for KIND   the HDF5_DIR of Debian's HDF5 for KIND: serial, openmpi or mpich; fails where it is not
#   python_with MODULE…          a python3 that has these modules, installed under target/ where there is none
#   target_of MPICC the folder that a build with this MPI goes to, because cargo does not notice that
#                   another MPI is asked for, and would go on with the build of the first
#   mpirun_of MPICC the launcher that belongs to a compiler wrapper, e.g. mpirun.mpich to mpicc.mpich
#   mpirun_options MPIRUN RANKS   what this machine asks of that launcher to start so many ranks
# shellcheck shell=bash

have() { command -v "$1" >/dev/null 2>&1; }

have_libclang() {
    [ -n "${LIBCLANG_PATH:-}" ] && return
    [[ $(ldconfig -p 2>/dev/null) =~ libclang[-.0-9]*\.so ]] && return
    compgen -G '/usr/lib/llvm*/lib/libclang*.so*' >/dev/null
}

have_hdf5() {
    [ -n "${HDF5_DIR:-}" ] || hdf5_for serial >/dev/null || pkg-config --exists hdf5 2>/dev/null ||
        [ -e /usr/include/H5pubconf.h ] || [ -e /usr/include/H5pubconf-64.h ] ||
        { have brew && brew --prefix hdf5 >/dev/null 2>&1; }
}

hdf5_for() {
    local folder
    folder=/usr/lib/$(cc -dumpmachine 2>/dev/null)/hdf5/$1
    [ -e "$folder/include/H5pubconf.h" ] && printf '%s\n' "$folder"
}

install_packages() {
    if ! have apt-get; then
        echo "parpy needs a C compiler, libclang, and an MPI and HDF5 with their headers (here: $*)." >&2
        echo "I know how to install them on Debian and Ubuntu only. Please install them, and run this again." >&2
        echo "Fedora, RHEL:  gcc clang-devel openmpi-devel hdf5-devel (and 'module load mpi')" >&2
        echo "Arch: gcc clang openmpi hdf5;  macOS with Homebrew: llvm open-mpi hdf5" >&2
        echo "Without HDF5: cargo build --release --no-default-features --features mpi" >&2
        return 1
    fi
    local sudo=()
    if [ "$(id -u)" -ne 0 ]; then
        have sudo || { echo "Installing $* needs root: run this as root, or install sudo." >&2; return 1; }
        sudo=(sudo)
    fi
    echo "Installing $*" >&2
    "${sudo[@]}" apt-get update -qq >&2
    "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq -o Dpkg::Use-Pty=0 --no-install-recommends "$@" >&2
}

set_up() {
    local missing=() mpi
    have cc || missing+=(gcc libc6-dev)
    have_libclang || missing+=(libclang-dev)
    if [ $# -eq 0 ] && ! have "${MPICC:-mpicc}"; then
        case "${MPICC:-}" in *mpich*) set -- mpich ;; *) set -- openmpi ;; esac
    fi
    for mpi in "$@"; do
        have "mpicc.$mpi" && have "mpirun.$mpi" && continue
        case $mpi in
        openmpi) missing+=(openmpi-bin libopenmpi-dev) ;;
        mpich) missing+=(mpich libmpich-dev) ;;
        esac
    done
    have_hdf5 || missing+=(libhdf5-dev)
    [ ${#missing[@]} -eq 0 ] || install_packages "${missing[@]}" || return
    # Where there are several, the build would take the one that is called hdf5, whichever MPI it is for.
    if [ -z "${HDF5_DIR:-}" ] && hdf5_for serial >/dev/null; then
        HDF5_DIR=$(hdf5_for serial)
        export HDF5_DIR
    fi
    if ! have cargo; then
        echo "parpy is written in Rust, and there is no cargo here: see https://rustup.rs" >&2
        return 1
    fi
}

set_up_parallel_hdf5() {
    local missing=() mpi
    for mpi in "$@"; do
        hdf5_for "$mpi" >/dev/null || missing+=("libhdf5-$mpi-dev")
    done
    [ ${#missing[@]} -eq 0 ] || install_packages "${missing[@]}"
}

missing_for_cluster() {
    local program
    local -A package=([slurmctld]=slurmctld [slurmd]=slurmd [sbatch]=slurm-client [munged]=munge [ip]=iproute2)
    for program in "${!package[@]}"; do
        have "$program" || echo "${package[$program]}"
    done
    # What SLURM loads for its scheduler, and for srun --mpi=pmix; of the latter the plain name libpmix.so.
    compgen -G '/usr/lib/*/slurm*/select_cons_tres.so' >/dev/null || echo slurm-wlm-basic-plugins
    compgen -G '/usr/lib/*/libpmix.so' >/dev/null || echo libpmix-dev
}

set_up_cluster() {
    local missing
    mapfile -t missing < <(missing_for_cluster)
    [ ${#missing[@]} -eq 0 ] || install_packages "${missing[@]}"
}

can_set_up_cluster() {
    if [ "$(uname)" != Linux ] || [ "$(id -u)" -ne 0 ]; then
        echo "A cluster of our own needs Linux and root." >&2
        return 1
    fi
    unshare --fork --pid --mount-proc --net --uts mount -t sysfs sysfs /sys
}

python_with() {
    local python venv modules
    venv=$PWD/target/python
    modules=$(printf 'import %s; ' "$@")
    for python in "${PARPY_TEST_PYTHON:-python3}" "$venv/bin/python"; do
        if "$python" -c "$modules" 2>/dev/null; then
            command -v "$python"
            return
        fi
    done
    { python3 -m venv "$venv" && "$venv/bin/pip" install --quiet "$@"; } >&2 || return
    printf '%s\n' "$venv/bin/python"
}

target_of() {
    printf '%s\n' "${CARGO_TARGET_DIR:-target}${1:+/${1##*/}}"
}

mpirun_of() {
    local name=${1##*/}
    printf '%s\n' "${1%"$name"}${name/mpicc/mpirun}"
}

mpirun_options() {
    # MPICH starts as many ranks as it is asked to, for anybody. Open MPI goes by its parts' names too.
    [[ $("$1" --version 2>/dev/null) =~ Open\ MPI|OpenRTE|PRRTE ]] || return 0
    if [ "$(id -u)" -eq 0 ]; then echo --allow-run-as-root; fi
    if [ "$(cores)" -lt "$2" ]; then echo --oversubscribe; fi
}

# What Open MPI counts as slots: cores, and not their threads, but no more than may be used.
cores() {
    local all
    all=$(lscpu -p=core,socket 2>/dev/null | grep -v '^#' | sort -u | wc -l)
    if [ "$all" -gt 0 ] && [ "$all" -lt "$(nproc)" ]; then echo "$all"; else nproc; fi
}
