# Sourced by jobs/compare.sh in its scratch folder, with jobs/setup.sh: installs the peers that are missing
# where it can, compiles those in C, and sees which run here. What is missing is no failure: $here lacks it.
#
#   here      peer → not empty, where there is one
#   python    the python3 that has the modules of the peers; empty without one
#   machine, versions    what is measured here, and on what
#   mpirun    that of parpy's MPI (with parts mpi and nodes only, as what follows); nodes are those of a cluster in
#             the folder lab, which tests/cluster/cluster.sh has brought up
#   onN       the words before a program that is to run on N ranks
#   mpi4py    the words before a script that uses mpi4py, of the same MPI as parpy
# shellcheck shell=bash disable=SC2034,SC2154 # variables of compare.sh

is_gnu_parallel() { parallel --version 2>/dev/null | grep 'GNU parallel' >/dev/null; }
missing=()
is_gnu_parallel || missing+=(parallel)
have rg || missing+=(ripgrep)
have /usr/bin/time || missing+=(time)
have perl || missing+=(perl)
has python || missing+=(python)
if [ ${#missing[@]} -gt 0 ] && ! (cd "$root" && install "${missing[@]}"); then
    echo "Could not install ${missing[*]}: the rows that need them are left out." >&2
fi
have perl || { echo "There is no perl here, which is the clock of these measurements." >&2; exit 2; }
# All modules, or else those that this machine's python has.
modules=(numpy h5py pandas joblib mpi4py)
if [[ " $parts " == *" formulas "* ]]; then modules+=(numexpr duckdb polars); fi
python=$(cd "$root" && python_with "${modules[@]}") || python=$(command -v python3 || true)
# Not a wrapper that would be measured too.
python=${python:+$("$python" -c 'import sys; print(sys.executable)')}

declare -A here=()
for name in cat cc grep true wc xargs rg; do here[$name]=$(command -v "$name" || true); done
if is_gnu_parallel; then here[parallel]=yes; fi
for name in ${python:+sys numpy h5py pandas joblib numexpr duckdb polars}; do
    if "$python" -c "import $name" 2>/dev/null; then here[$name]=yes; fi
done
here[python3]=${here[sys]:-}
compiled() { have "$1" && "$1" -O3 -march=native "$peers/$2.c" -o "$2" -lpthread; }
compiled cc newlines && compiled cc print_squares && compiled cc square_threads || here[cc]=
version() { "$parpy" --version | sed -n "s/^$1//p"; }

versions=$("$parpy" --version | sed -n 1p)
for name in parallel rg; do [ -z "${here[$name]:-}" ] || versions+=", $("$name" --version | sed -n 1p)"; done
[ -z "$python" ] || versions+=", $("$python" --version)$("$python" - 2>/dev/null <<'PYTHON'
from importlib.metadata import distributions
known = {found.metadata["name"].lower(): found.version for found in distributions()}
modules = "numpy", "h5py", "pandas", "joblib", "mpi4py", "numexpr", "duckdb", "polars"
print(*(f", {name} {known[name]}" for name in modules if name in known), sep="")
PYTHON
)"
cpu=$(lscpu 2>/dev/null | sed -n 's/^Model name: *//p' | sed -n 1p)
memory_gib=$(awk '/^MemTotal/ { printf "%.1f", $2 / 1048576 }' /proc/meminfo)
machine="${cpu:-$(uname -m)}, $(nproc) cores usable, $memory_gib GiB, $(uname -sr)"

if [[ " $parts " == *" nodes "* ]]; then
    mpirun=$(command -v "$(mpirun_of "$MPICC")" || true)
    if compiled "$MPICC" start_end && compiled "$MPICC" scatter_gather; then here[mpicc]=yes; fi
    why=$(can_set_up_cluster 2>&1) || why=${why:-no namespaces}
    [ "$why" ] || why=$(missing_for_cluster | xargs)
    [ "$why" ] || [[ $(version 'MPI: ') == Open\ MPI* ]] || why='parpy is not of Open MPI'
    if [ ! "$why" ] && "$root/tests/cluster/cluster.sh" up lab; then
        here[nodes]=yes
    else
        echo "No cluster of two nodes here (${why:-it does not come up}): the rows that need one are left out." >&2
    fi
fi
if [[ " $parts " == *" mpi "* ]]; then
    mpirun=$(mpirun_of "$MPICC")
    if compiled "$MPICC" start_end && compiled "$MPICC" scatter_gather; then here[mpicc]=yes; fi
    on() { # on RANKS: the words before a program that is to run on so many ranks, in the array on
        mapfile -t on < <(mpirun_options "$mpirun" "$1")
        on=("$mpirun" "${on[@]}" -n "$1")
    }
    on 2; on2=("${on[@]}")
    on 3; on3=("${on[@]}")
    on 4; on4=("${on[@]}")
    if [ "$(bounded "${on2[@]}" "$parpy" -q map 1 2 | tr '\n' ' ')" = '1 4 ' ]; then
        here[mpirun]=yes
    else
        echo "$parpy ($(version 'MPI: ')) does not run on 2 ranks of $mpirun: MPICC names the MPI." >&2
    fi
    # mpi4py asks for libmpi.so.12 of MPICH, which Debian calls libmpich.so.12.
    abi=openmpi
    if [[ $(version 'MPI: ') == *MPICH* && -n ${here[mpicc]:-} ]]; then
        abi=mpich
        mkdir lib
        ln -s "$(ldd start_end | awk '/libmpi/ { print $3; exit }')" lib/libmpi.so.12
    fi
    mpi4py=(env "MPI4PY_MPIABI=$abi"
        "LD_LIBRARY_PATH=$PWD/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}" "$python")
    # Each of two programs that are alone under another MPI's mpirun would say 1.
    size='from mpi4py.MPI import COMM_WORLD as world; world.rank or print(world.size)'
    if [ "$(bounded "${on2[@]}" "${mpi4py[@]}" -c "$size")" = 2 ]; then
        here[mpi4py]=yes
    else
        echo "mpi4py does not run on 2 ranks of $mpirun: it is not there, or for another MPI." >&2
    fi
fi
