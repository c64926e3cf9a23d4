# Sourced by jobs/demo.sh, jobs/compare.sh and the scripts under tests: checks that what parpy is built with is
# there and works, and installs what is missing where it may (Debian, Ubuntu). Expects the current folder to be the
# checkout. A failure is one sentence on standard error; the long output behind it is in the file that it names.
#
#   set_up MPI…     a compiler, libclang, HDF5, cargo, and MPI: openmpi or mpich; none means any MPI that mpicc
#                   finds, or Open MPI when there is none. HDF5_DIR becomes the one without MPI where there are several
#   set_up_parallel_hdf5 MPI…    HDF5 for these MPIs, for the feature mpio
#   set_up_cluster  SLURM and what else tests/cluster/cluster.sh wants
#   missing_for_cluster          the needs that this would install
#   can_set_up_cluster           may processes have networks and mounts of their own here? Says why not
#   install NEED…   installs them, by the names in jobs/packages.tsv
#   build ARGUMENT… cargo build with these arguments, its progress as it comes
#   hdf5_for KIND   the HDF5_DIR of Debian's HDF5 for KIND: serial, openmpi or mpich; fails where it is not
#   python_with MODULE…          a python3 that has these modules, installed under target/ where there is none
#   target_of MPICC the folder that a build with this MPI goes to, because cargo does not notice that
#                   another MPI is asked for, and would go on with the build of the first
#   begin_with TARGET OTHER PROFILE   begins TARGET as a copy of OTHER, where one has been built in that profile
#   mpirun_of MPICC the launcher that belongs to a compiler wrapper, e.g. mpirun.mpich to mpicc.mpich
#   mpirun_options MPIRUN RANKS   what this machine asks of that launcher to start n ranks
# shellcheck shell=bash

setup_log=${CARGO_TARGET_DIR:-target}/setup.log

have() { command -v "$1" >/dev/null 2>&1; }

fail() {
    printf 'parpy set-up: %s\n' "$*" >&2
    return 1
}

# ---------------------------------------------------------------- What is there, and works

# compiles COMPILER [FLAG…]: is there such a compiler, and does it make a program of the C on standard input?
compiles() {
    local out
    have "$1" && out=$(mktemp) || return
    "$1" -x c - -o "$out" "${@:2}" >>"$setup_log" 2>&1
    local code=$?
    rm -f "$out"
    return $code
}

# A limit on what may hang, where the system has one.
bounded_by() {
    if have timeout; then timeout "$@"; else "${@:2}"; fi
}

# The libraries that bindgen would try, in the places and by the names of its loader (crate clang-sys), one a line,
# the newest version last. libclang-cpp is another library.
libclangs() {
    local places=() place
    if [ -n "${LIBCLANG_PATH:-}" ]; then
        [ ! -f "$LIBCLANG_PATH" ] || { printf '%s\n' "$LIBCLANG_PATH"; return; }
        places=("$LIBCLANG_PATH")
    else
        if place=$("${LLVM_CONFIG_PATH:-llvm-config}" --libdir 2>/dev/null); then places+=("$place"); fi
        IFS=: read -ra more <<<"${LD_LIBRARY_PATH:-}:${LIBRARY_PATH:-}"
        # shellcheck disable=SC2206 # patterns
        places+=("${more[@]}" /usr/local/llvm*/lib* /usr/local/lib*{/*/*,/*,} /usr/lib*{/*/*,/*,}
            /opt/homebrew/opt/llvm*/lib /usr/local/opt/llvm*/lib /Library/Developer/CommandLineTools/usr/lib
            /Applications/Xcode.app/Contents/Developer/Toolchains/XcodeDefault.xctoolchain/usr/lib)
    fi
    for place in "${places[@]}"; do
        [ -z "$place" ] || compgen -G "$place/libclang[.-]*" || true
    done | grep -E '/libclang(-[0-9.]+)?\.(so(\.[0-9.]+)?|dylib)$' | sort -uV
}

has_libclang() {
    local library probe flags=() folder
    library=$(libclangs | tail -n 1)
    [ -n "$library" ] || return
    # Folders of headers that a clang on the PATH knows, which bindgen asks for them, too.
    while read -r folder; do flags+=(-isystem "$folder"); done < <(
        LC_ALL=C clang -E -x c -v /dev/null 2>&1 | sed -n '/^#include </,/^End/s/^ //p')
    probe=$(mktemp -d) || return
    printf '#include <stddef.h>\n#include <stdio.h>\n' >"$probe/probe.h"
    # shellcheck disable=SC2086 # several words
    cc jobs/libclang.c -o "$probe/libclang" -ldl >>"$setup_log" 2>&1 &&
        "$probe/libclang" "$library" "$probe/probe.h" "${flags[@]}" ${BINDGEN_EXTRA_CLANG_ARGS:-} >>"$setup_log" 2>&1
    local code=$?
    rm -rf "$probe"
    return $code
}

# has_mpi MPICC: does it compile, and does the launcher that belongs to it start a program?
has_mpi() {
    local mpirun options
    mpirun=$(mpirun_of "$1")
    compiles "$1" <<<'#include <mpi.h>
int main(int count, char **words) { return MPI_Init(&count, &words) || MPI_Finalize(); }' || return
    have "$mpirun" || return
    mapfile -t options < <(mpirun_options "$mpirun" 1)
    bounded_by 60 "$mpirun" "${options[@]}" -n 1 true </dev/null >>"$setup_log" 2>&1
}

has_hdf5() {
    local flags=(-lhdf5) folder
    if folder=${HDF5_DIR:-$(hdf5_for serial || { have brew && brew --prefix hdf5 2>/dev/null; })} && [ "$folder" ]; then
        flags=(-I"$folder/include" -L"$folder/lib" -lhdf5)
    elif have pkg-config && pkg-config --exists hdf5; then
        read -ra flags < <(pkg-config --cflags --libs hdf5)
    fi
    local source='#include <hdf5.h>
int main(void) { return H5open() < 0; }'
    # The headers of an HDF5 for MPI want those of MPI.
    compiles cc "${flags[@]}" <<<"$source" || compiles "${MPICC:-mpicc}" "${flags[@]}" <<<"$source"
}

hdf5_for() {
    local folder
    folder=/usr/lib/$(cc -dumpmachine 2>/dev/null)/hdf5/$1
    [ -e "$folder/include/H5pubconf.h" ] && printf '%s\n' "$folder"
}

# has NEED: is it there, so that the build or the tests will pass?
has() {
    case $1 in
    compiler) compiles cc <<<'#include <stdio.h>
int main(void) { return puts("") < 0; }' ;;
    libclang) has_libclang ;;
    mpi) has_mpi "${MPICC:-mpicc}" ;;
    openmpi | mpich) has_mpi "mpicc.$1" ;;
    hdf5) has_hdf5 ;;
    hdf5-*) hdf5_for "${1#hdf5-}" >/dev/null ;;
    python) python3 -c 'import venv, ensurepip' 2>/dev/null ;;
    # What SLURM loads for its scheduler, and for srun --mpi=pmix; of the latter the plain name libpmix.so.
    slurm-plugins) compgen -G '/usr/lib/*/slurm*/select_cons_tres.so' >/dev/null ;;
    libpmix) compgen -G '/usr/lib/*/libpmix.so' >/dev/null ;;
    *) have "$1" ;;
    esac
}

# ---------------------------------------------------------------- Installing

# The package manager of this machine, as a column of jobs/packages.tsv.
manager() {
    local program
    for program in apt-get dnf pacman apk brew; do
        if have $program; then echo "${program%-get}"; return; fi
    done
}

# packages MANAGER NEED…: what they are called there.
packages() {
    awk -F'\t' -v manager="$1" -v needs="${*:2}" '
        BEGIN { split(needs, wanted, " ") }
        $1 == "need" { for (i = 2; i <= NF; i++) if ($i == manager) column = i }
        column { name[$1] = $column }
        END { for (i = 1; i in wanted; i++) if (name[wanted[i]] ~ /[a-z]/) printf "%s ", name[wanted[i]] }' \
        jobs/packages.tsv
}

install() {
    local manager sudo=() names how size
    manager=$(manager)
    # Open MPI is as good as any other, unless another was named.
    local needs=" $* "
    case "${MPICC:-}" in *mpich*) needs=${needs/ mpi / mpich } ;; *) needs=${needs/ mpi / openmpi } ;; esac
    # shellcheck disable=SC2086 # several words
    read -ra names < <(packages "${manager:-apt}" $needs)
    case $manager in
    apt) how="apt-get install ${names[*]}" ;;
    dnf) how="dnf install ${names[*]} (and 'module load mpi' before anything else)" ;;
    pacman) how="pacman -S ${names[*]}" ;;
    apk) how="apk add ${names[*]}" ;;
    brew) how="brew install ${names[*]}" ;;
    *) how="by your system's package manager, what Debian calls ${names[*]}" ;;
    esac
    if [ "$manager" != apt ]; then
        fail "missing, or not working: $*. Please install it (${how}), and run this again."
        return
    fi
    if [ "$(id -u)" -ne 0 ]; then
        if ! have sudo || { [ ! -t 0 ] && ! sudo -n true 2>>"$setup_log"; }; then
            fail "installing ${names[*]} needs root: run '$how' as root, and then this again."
            return
        fi
        sudo=(sudo)
    fi
    "${sudo[@]}" apt-get update -qq >>"$setup_log" 2>&1 || true
    size=$(apt-get install --print-uris -qq --no-install-recommends "${names[@]}" 2>>"$setup_log" |
        awk '{ bytes += $3; count++ } END { printf "%d packages, %.0f MB to fetch", count, bytes / 1e6 }')
    echo "Installing ${names[*]} ($size) ..." >&2
    "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq -o Dpkg::Use-Pty=0 --no-install-recommends "${names[@]}" >>"$setup_log" 2>&1 ||
        fail "${names[*]} could not be installed: what apt-get says of it is at the end of $setup_log."
}

# ensure NEED…: installs what is missing, and then looks again.
ensure() {
    local need missing=()
    mkdir -p "$(dirname "$setup_log")" && : >"$setup_log" || return
    for need in "$@"; do has "$need" || missing+=("$need"); done
    [ ${#missing[@]} -gt 0 ] || return 0
    install "${missing[@]}" || return
    for need in "${missing[@]}"; do
        has "$need" || {
            fail "$need is installed, and does not work here: how it was tried is at the end of $setup_log."
            return
        }
    done
}

# Is there a cargo that is new enough?
has_cargo() {
    local least found
    least=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
    have cargo || {
        fail "parpy is written in Rust, and there is no cargo here: get it from https://rustup.rs, and run this again."
        return
    }
    found=$(cargo --version 2>&1) || { fail "cargo does not run here: ${found%%$'\n'*}"; return; }
    found=${found#cargo }
    found=${found%%[ -]*}
    [ "$(printf '%s\n' "$least" "$found" | sort -V | head -n 1)" = "$least" ] ||
        fail "parpy needs Rust $least or newer, and this is $found: 'rustup update' brings it."
}

set_up() {
    has_cargo || return
    if [ $# -eq 0 ]; then set -- mpi; fi
    ensure compiler libclang "$@" hdf5 || return
    # Where there are several, the build would take the one that is called hdf5, whichever MPI it is for.
    if [ -z "${HDF5_DIR:-}" ] && hdf5_for serial >/dev/null; then
        HDF5_DIR=$(hdf5_for serial)
        export HDF5_DIR
    fi
}

set_up_parallel_hdf5() { ensure "${@/#/hdf5-}"; }

cluster_needs=(slurmctld slurmd sbatch munged ip slurm-plugins libpmix)

missing_for_cluster() {
    local need
    for need in "${cluster_needs[@]}"; do has "$need" || echo "$need"; done
}

set_up_cluster() { ensure "${cluster_needs[@]}"; }

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
    { python3 -m venv "$venv" && "$venv/bin/pip" install --quiet "$@"; } >>"$setup_log" 2>&1 ||
        fail "no Python with $* here: why it could not be made is at the end of $setup_log." || return
    printf '%s\n' "$venv/bin/python"
}

# ---------------------------------------------------------------- Building

# What a release build takes on one core of 2024, and what a crate of our list weighs, both as measured.
build_seconds=230
crate_kb=135

build() {
    local target log total fetched=0 name version
    target=${CARGO_TARGET_DIR:-target}
    if [[ " $* " =~ " --target-dir "([^ ]+) ]]; then target=${BASH_REMATCH[1]}; fi
    log=$target/build.log
    mkdir -p "$target" || return
    while read -r name version; do
        compgen -G "${CARGO_HOME:-$HOME/.cargo}/registry/cache/*/$name-$version.crate" >/dev/null ||
            fetched=$((fetched + 1))
    done < <(awk -F'"' '/^name/ { name = $2 } /^version/ { version = $2 } /^source/ { print name, version }' Cargo.lock)
    if [ $fetched -gt 0 ]; then
        echo "Fetching $fetched crates (about $((fetched * crate_kb / 1000 + 1)) MB) ..." >&2
        cargo fetch --quiet --locked 2>"$log" ||
            { fail "the crates that parpy is built of could not be fetched: $(first_error "$log"), in $log."; return; }
    fi
    if [ ! -e "$target/release/parpy" ]; then
        echo "Compiling parpy and its crates, which takes about $((build_seconds / $(nproc) / 60 + 1)) min here ..." >&2
    fi
    total=$(cargo tree --edges normal,build --prefix none --no-dedupe 2>/dev/null | sort -u | grep -c .)
    # What cargo says goes to the log, and how far it has come to the user.
    cargo build "$@" 2> >(progress "$total" "$log") && wait $! && return
    fail "parpy could not be built: $(first_error "$log"). All that cargo says is in $log."
}

# progress TOTAL LOG: keeps cargo's words, and shows how many crates have been begun.
progress() {
    local line count=0 end='\n'
    : >"$2"
    while IFS= read -r line; do
        printf '%s\n' "$line" >>"$2"
        [[ $line =~ ^\ *Compiling\ ([^ ]+) ]] || continue
        count=$((count + 1))
        if [ -t 2 ]; then
            printf '\r\033[K%d of about %d: %s' $count "$1" "${BASH_REMATCH[1]}" >&2
            end='\r\033[K'
        elif [ $((count % 25)) -eq 0 ]; then
            printf '%d of about %d crates\n' $count "$1" >&2
        fi
    done
    # shellcheck disable=SC2059 # escapes
    if [ -t 2 ] && [ $count -gt 0 ]; then printf "$end" >&2; fi
}

first_error() {
    sed -n '/^error/{s/^error[^:]*: *//p;q}' "$1"
}

target_of() {
    printf '%s\n' "${CARGO_TARGET_DIR:-target}${1:+/${1##*/}}"
}

begin_with() {
    if [ -d "$2/$3" ] && [ ! -d "$1/$3" ]; then
        mkdir -p "$1" && cp -a "$2/$3" "$1/" || return
        # All that hangs on the MPI: most of what parpy is built of does not.
        cargo clean --quiet --target-dir "$1" --profile "${3/debug/dev}" -p mpi-sys
    fi
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
