# Sourced by jobs/demo.sh and tests/all.sh: sees that what parpy is built with is there, and installs what
# is missing where it knows how (Debian, Ubuntu). Expects the current folder to be the checkout.
#
#   set_up MPI…     MPI: openmpi or mpich; none means any MPI that mpicc finds, or Open MPI when there is none
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

install_packages() {
    if ! have apt-get; then
        echo "parpy needs a C compiler, libclang, and an MPI with its headers (here: $*)." >&2
        echo "I know how to install them on Debian and Ubuntu only. Please install them, and run this again." >&2
        echo "Fedora, RHEL:  gcc clang-devel openmpi-devel (and 'module load mpi')" >&2
        echo "Arch: gcc clang openmpi;  macOS with Homebrew: llvm open-mpi" >&2
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
    [ ${#missing[@]} -eq 0 ] || install_packages "${missing[@]}" || return
    if ! have cargo; then
        echo "parpy is written in Rust, and there is no cargo here: see https://rustup.rs" >&2
        return 1
    fi
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
