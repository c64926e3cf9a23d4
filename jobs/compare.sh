#!/usr/bin/env bash
# parpy beside what one would use instead: the peers are set up, parpy is built, and both are run in turn, in
# the same minutes. Of each row the medians, and the median of the pairs' ratios.
#   jobs/compare.sh [RUNS [local|formulas|files|text|mpi|nodes]…]      7 runs and all parts by default
# Writes a table to standard output and $OUT/compare.md, and a picture of it to $OUT/compare.svg and .png.
#   OUT       folder of the results (target/compare)
#   PARPY     a parpy to measure as it is, with parpy-mpi and parpy-hdf5 beside it, instead of building one
#   MPICC     chooses the MPI, as everywhere; with PARPY, it must be the one that PARPY was built with
#   TEXT      the text to repeat to the sizes needed (jobs/sample.txt)
#   SCRATCH   where a folder of up to 4 GB may be for the time being (TMPDIR, or /tmp)
#   LIMIT     seconds after which a program counts as hung (300)
# What cannot be installed is missing from the table, and said so there and at the end.
set -euo pipefail
export LC_ALL=C # numbers with a point, in every program

runs=${1:-7}
parts=${*:2}
parts=${parts:-local formulas files text mpi nodes}
if [[ ! $runs =~ ^[1-9][0-9]*$ ]] || [[ ! " $parts " =~ ^(\ (local|formulas|files|text|mpi|nodes))+\ $ ]]; then
    echo "usage: jobs/compare.sh [RUNS [local|formulas|files|text|mpi|nodes]...]" >&2
    exit 2
fi
parpy=${PARPY:+$(realpath -e "$PARPY")}
text=${TEXT:+$(realpath -e "$TEXT")}
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
out=$(realpath -m "${OUT:-$root/target/compare}")
scratch=$(realpath -e "${SCRATCH:-${TMPDIR:-/tmp}}")
limit=${LIMIT:-300}
text=${text:-$root/jobs/sample.txt}
peers=$root/jobs/peers
cd "$root"
# shellcheck disable=SC1091 # checked by itself
. jobs/setup.sh

# ---------------------------------------------------------------- parpy, a folder, and the peers

if [ -z "$parpy" ]; then
    set_up
    target=$(target_of "${MPICC:-}")
    build --release --target-dir "$target"
    parpy=$(realpath "$target/release/parpy")
fi
export MPICC=${MPICC:-mpicc}
mkdir -p "$out"
rm -f "$out"/compare.{md,tsv,svg,png}
scratch=$(mktemp -d "$scratch/parpy-compare.XXXXXX")
# The authentication of a cluster in it is to be reached by all users.
chmod 711 "$scratch"
clean_up() {
    cd /
    [ ! -e "$scratch/lab" ] || "$root/tests/cluster/cluster.sh" down "$scratch/lab"
    # Again, because ranks that are being ended may still be writing.
    rm -rf "$scratch" 2>/dev/null || { sleep 1; rm -rf "$scratch"; }
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
cd "$scratch"

bounded() { perl "$peers/bounded.pl" "$limit" "$@"; }

on2=() on3=() on4=() mpi4py=() mpirun='' python='' machine='' versions=''
# shellcheck disable=SC1091 # checked by itself
. "$peers/set_up.sh"

# ---------------------------------------------------------------- Measures: each prints seconds

# The whole process.
seconds() { bounded --seconds "$@"; }
# What the program itself prints first. By way of a file: a pipe would last as long as the last worker of a
# peer that has been stopped.
says() { bounded "$@" >said && awk 'NR == 1 { print $1 }' said; }
# reported KEY PARPY…: what parpy's report says.
reported() {
    bounded "${@:2}" --report report.json >/dev/null || return
    sed -n "s/^ *\"$1\": \([0-9.e+-]*\),\{0,1\}$/\1/p" report.json | sed -n 1p
}
per() { "${@:2}" | awk -v n="$1" '{ print $1 / n }'; }
median() { sort -g | awk '{ x[NR] = $1 } END { print (x[int((NR + 1) / 2)] + x[int(NR / 2) + 1]) / 2 }'; }
median_of() { local i; for ((i = 0; i < $1; i++)); do "${@:2}" || return; done | median; }
# afresh FILE MEASURE…: into a new file, while nothing is still on its way to the disk.
afresh() { rm -f "$1"; sync; "${@:2}"; }

# ---------------------------------------------------------------- Input

# The text, again and again, up to so many bytes.
repeated() {
    perl -0777 -e '
        my ($left, $text) = ($ARGV[0], scalar <STDIN>);
        my $piece = $text x (1 + (1 << 24) / length $text);
        for (; $left > 0; $left -= length $piece) { print substr $piece, 0, $left }' "$1" <"$text"
}
# 0, 1, 2, … as doubles in numpy's format: its head, and the bits.
doubles() {
    printf '\x93NUMPY\x01\x00\x76\x00%-117s\n' "{'descr': '<f8', 'fortran_order': False, 'shape': ($1,), }"
    perl -e 'for (my $i = 0; $i < $ARGV[0]; $i += 1e4) { print pack "d<*", $i .. $i + 9999 }' "$1"
}

# ---------------------------------------------------------------- Rows

say() { printf '%s\n' "$*" | tee -a "$out/compare.md"; }
left_out=() failed=()
# row WHAT PEER MUST NEEDS MEASURE… against MEASURE…: the peer's measure first. NEEDS: names in $here.
row() {
    local what=$1 peer=$2 must=$3 name i theirs=()
    for name in $4; do
        if [ -z "${here[$name]:-}" ]; then
            left_out+=("$name: $what")
            say "| $what | $peer | no such peer here: $name | | | $must |"
            return
        fi
    done
    shift 4
    while [ "$1" != against ]; do theirs+=("$1"); shift; done
    shift
    : >peer.s
    : >ours.s
    for ((i = 0; i < runs; i++)); do
        "${theirs[@]}" >>peer.s || { fails "$peer"; return 0; }
        "$@" >>ours.s || { fails parpy; return 0; }
    done
    paste peer.s ours.s | awk 'NF == 2 && $1 > 0 { print $2 / $1 }' >ratios
    [ "$(wc -l <ratios)" -eq "$runs" ] || { fails "no seconds from $peer or parpy"; return 0; }
    printf '%s\t%s\t%s\t%s\t%s\t%s\n' "$what" "$peer" "$(median <peer.s)" "$(median <ours.s)" \
        "$(median <ratios)" "$machine" >>"$out/compare.tsv"
    say "$(tail -n 1 "$out/compare.tsv" | awk -F '\t' -v must="$must" '
        function quantity(s) {
            if (s >= 0.9995) return sprintf("%.3g s", s)
            if (s >= 0.9995e-3) return sprintf("%.3g ms", s * 1e3)
            return s >= 0.9995e-6 ? sprintf("%.3g µs", s * 1e6) : sprintf("%.3g ns", s * 1e9)
        }
        { printf "| %s | %s | %s | %s | ", $1, $2, quantity($3), quantity($4) }
        { printf(($5 < 10 ? "%.2g" : "%.0f") " | %s |", $5, must) }')"
}
fails() {
    failed+=("$what ($1)")
    say "| $what | $peer | failed: $1 | | | $must |"
}
table() { say ''; say '| what | beside | peer | parpy | ratio | must |'; say '|---|---|---|---|---|---|'; }
# memory TITLE MUST JOB…: the most that a rank of 2 takes; a job may write ours.*.
memory() {
    local job
    if [ -z "${here[mpirun]:-}" ] || ! have /usr/bin/time; then
        say "No peak memory: it needs mpirun and GNU time."
        return
    fi
    say ''; say "| peak memory of a rank, 2 ranks$1 | MiB | must |"; say '|---|---|---|'
    for job in "${@:3}"; do
        rm -f peaks ours.*
        # shellcheck disable=SC2086 # a job is several words
        bounded "${on2[@]}" /usr/bin/time -a -o peaks -f %M "$parpy" -q $job >/dev/null ||
            failed+=("parpy $job")
        say "| $job | $(sort -g peaks | tail -n 1 | awk '{ printf "%.1f", $1 / 1024 }') | $2 |"
    done
    rm -f peaks ours.*
}

# ---------------------------------------------------------------- On what this is measured

say '# parpy beside its peers'
say ''
say "- Machine: $machine; load $(cut -d' ' -f1 /proc/loadavg) at the start"
say "- MPI: $(version 'MPI: '); HDF5: $(version 'HDF5: ')"
say "- Versions: $versions"
say "- Date: $(date -u '+%Y-%m-%d %H:%M UTC'); parts: $parts"
say "- Runs of each: $runs, peer and parpy in turn; medians, and the median of the pairs' ratios parpy / peer"
say '- must: the largest ratio that will do, in brackets what is aimed at'

# ---------------------------------------------------------------- local: values and tasks on one machine

rate() { reported total "$parpy" map -p "$1" -j 2 -o none "${@:2}"; }
if [[ " $parts " == *" local "* ]]; then
    table
    row '1 2 3 squared, whole process' 'python3 -c' 0.33 python3 \
        seconds "$python" -c 'print([v * v for v in (1, 2, 3)])' against seconds "$parpy" map 1 2 3
    row '1 2 3 squared, whole process' true '(3)' true \
        median_of 20 seconds "${here[true]}" against median_of 20 seconds "$parpy" map 1 2 3
    one_each=(against per 1000000 rate pool --range 0..1000000 --schedule 'dynamic,1')
    row 'pool of 2, one value a message, per value' 'Pool.map(chunksize=1)' '0.2 (0.05)' python3 \
        says "$python" "$peers/workers.py" Pool 20000 "${one_each[@]}"
    row 'pool of 2, one value a message, per value' ProcessPoolExecutor - python3 \
        says "$python" "$peers/workers.py" Executor 5000 "${one_each[@]}"
    row 'pool of 2, one value a message, per value' 'joblib.Parallel(batch_size=1)' - joblib \
        says "$python" "$peers/workers.py" joblib 5000 "${one_each[@]}"
    row 'pool of 2 from start to end, 1000 squares' 'multiprocessing.Pool, after the start of Python' \
        '1.0 (0.3)' python3 \
        says "$python" "$peers/pool_cell.py" squares 1000 \
        against seconds "$parpy" map --range 0..1000 -p pool -j 2
    row 'one process a value, per process' multiprocessing.Process '0.67 (0.25)' python3 \
        says "$python" "$peers/processes.py" 1000 against per 4000 rate process --range 0..4000
    process_each=(against per 1000 seconds "$parpy" map --range 0..1000 -p process -j 2)
    row 'one process a value, per process' 'xargs -P2 -n1 true' '(1.0)' xargs \
        per 1000 seconds sh -c 'seq 1000 | xargs -P2 -n1 true' "${process_each[@]}"
    row 'one process a value, per process' 'parallel -j2 true' - parallel \
        per 1000 seconds sh -c 'seq 1000 | parallel --will-cite -j2 true' "${process_each[@]}"
    repeated 5458199 >small
    row 'lines of 5.46 MB through a pool of 2' 'multiprocessing.Pool, after the start of Python' \
        '0.02 (0.005)' python3 \
        says "$python" "$peers/pool_cell.py" lines small against seconds "$parpy" read small -p pool -j 2
    row 'square 0..100 M, 2 threads, whole process' '2 threads of C, each in its cache' '1.5 (1.1)' cc \
        seconds ./square_threads 100000000 2 against \
        seconds "$parpy" -q map --range 0..100000000 -o none -p threads -j 2
    row 'square 100 M doubles, 2 threads' 'numpy, 1 core' 1.0 numpy \
        says "$python" "$peers/arrays.py" memory 100000000 \
        against rate threads --range 0..100000000 --dtype f64 --repeat 5
    simd=(--range 0..10000000 --dtype f64 --schedule 'static,2048' -o none --repeat 9)
    row 'square 10 M doubles, simd, blocks of 2048' 'parpy -p serial' 0.5 '' \
        reported map "$parpy" map -p serial "${simd[@]}" \
        against reported map "$parpy" map -p simd "${simd[@]}"
fi

# ---------------------------------------------------------------- formulas: from a file in the page cache to the answers

if [[ " $parts " == *" formulas "* ]]; then
    table
    if [ -n "${here[numpy]:-}" ]; then bounded "$python" "$peers/formulas.py" make .; fi
    theirs=(says "$python" "$peers/formulas.py")
    ours=(reported total "$parpy" map -p threads -j 2 -o none --repeat 5)
    row '2*x + 1 of 100 M doubles, 2 threads' 'numpy.load, numexpr' '0.35 (0.2)' 'numpy numexpr' \
        "${theirs[@]}" linear f100m.npy against "${ours[@]}" --from f100m.npy -f '2*x + 1'
    row 'x^2 + 3*sin(x) of 10 M doubles, 2 threads' 'numpy.load, numexpr' '1.0 (0.5)' 'numpy numexpr' \
        "${theirs[@]}" sine f10m.npy against "${ours[@]}" --from f10m.npy -f 'x^2 + 3*sin(x)'
    row 'sqrt(x^2 + y^2) of 50 M rows, 2 threads' 'numpy.load, numexpr' '0.5 (0.25)' 'numpy numexpr' \
        "${theirs[@]}" hypot f2x50m.npy against "${ours[@]}" --from f2x50m.npy -f 'sqrt(c0^2 + c1^2)'
    row 'exact sum of 100 M doubles, 2 threads' 'numpy.load, sum (not exact)' '1.0 (0.35)' numpy \
        "${theirs[@]}" sum f100m.npy against "${ours[@]}" --from f100m.npy --reduce sum
    row 'mean, std, min, max of 100 M doubles, 2 threads' 'numpy.load, four calls' '0.6 (0.25)' numpy \
        "${theirs[@]}" moments f100m.npy against "${ours[@]}" --from f100m.npy --reduce mean,std,min,max
    mean=(against "${ours[@]}" --from f.csv:x --reduce mean)
    row 'mean of a column of 1 GB of CSV, 2 threads' DuckDB '1.5 (1.0)' 'numpy duckdb' \
        "${theirs[@]}" duckdb f.csv "${mean[@]}"
    row 'mean of a column of 1 GB of CSV, 2 threads' polars '1.5 (1.0)' 'numpy polars' \
        "${theirs[@]}" polars f.csv "${mean[@]}"
    if [ -e f100m.npy ]; then
        memory ', formulas' '≤ 128 (32)' 'map --from f100m.npy -f x+1 -o ours.npy' \
            'map --from f2x50m.npy -f c0*c1 -o ours.csv' 'map --from f100m.npy --reduce mean,std,min,max' \
            'map --from f.csv:x --reduce mean'
    fi
    rm -f f100m.npy f10m.npy f2x50m.npy f.csv
fi

# ---------------------------------------------------------------- files: results in files, whole processes

if [[ " $parts " == *" files "* ]]; then
    table
    if [ -n "${here[numpy]:-}" ]; then bounded "$python" "$peers/arrays.py" make .; fi
    arrays=("$python" "$peers/arrays.py")
    to_h5=(against afresh ours.h5 seconds "$parpy" map --from 100m.npy -o ours.h5)
    row 'squares of 100 M doubles, .npy to .h5' 'h5py, the squares alone' '1.2 (0.8)' 'numpy h5py' \
        afresh peer.out seconds "${arrays[@]}" hdf5 100m.npy peer.out "${to_h5[@]}"
    row 'squares of 100 M doubles, .npy to .h5' 'h5py, values and squares, as parpy' - 'numpy h5py' \
        afresh peer.out seconds "${arrays[@]}" hdf5-both 100m.npy peer.out "${to_h5[@]}"
    rm -f ours.h5 peer.out
    row 'squares of 100 M doubles, .npy to .npy' numpy '1.1 (0.7)' numpy \
        afresh peer.npy seconds "${arrays[@]}" npy 100m.npy peer.npy \
        against afresh ours.npy seconds "$parpy" map --from 100m.npy -o ours.npy
    rm -f ours.npy peer.npy
    to_text=(against afresh ours.txt seconds "$parpy" map --from 10m.npy -o ours.txt -j 2)
    row 'squares of 10 M doubles to text, 2 threads' numpy.savetxt '0.1 (0.03)' numpy \
        afresh peer.out seconds "${arrays[@]}" text 10m.npy peer.out "${to_text[@]}"
    row 'squares of 10 M doubles to text, 2 threads' 'printf("%.17g\n") in C, 1 core' '0.7 (0.2)' 'cc numpy' \
        afresh peer.out seconds sh -c './print_squares 10m.npy >peer.out' "${to_text[@]}"
    rm -f ours.txt peer.out
    from_text=(against seconds "$parpy" map --from 10m.txt --dtype f64 -o none)
    row '10 M numbers from text' numpy.loadtxt '0.2 (0.05)' numpy \
        seconds "${arrays[@]}" loadtxt 10m.txt "${from_text[@]}"
    row '10 M numbers from text' pandas.read_csv '1.0 (0.3)' 'numpy pandas' \
        seconds "${arrays[@]}" read_csv 10m.txt "${from_text[@]}"
    if [ -e 100m.npy ]; then
        memory ', 800 MB in' '≤ 512 (128)' \
            'map --from 100m.npy -o ours.h5' 'map --from 100m.npy -o ours.npy'
    fi
    rm -f 100m.npy 10m.npy 10m.txt
fi

# ---------------------------------------------------------------- text: 2 GB counted, whole processes

if [[ " $parts " == *" text "* || " $parts " == *" mpi "* || " $parts " == *" nodes "* ]]; then
    repeated 2000000000 >text
    cat text >/dev/null
fi
if [[ " $parts " == *" text "* ]]; then
    table
    count=(against seconds "$parpy" read text --do count -p threads -j 2)
    what='lines, words, bytes of 2 GB, 2 threads'
    row "$what" 'parallel --pipepart -j2 wc -l' - 'parallel wc' \
        seconds parallel --will-cite --pipepart -a text --block -1 -j2 wc -l "${count[@]}"
    row "$what" 'wc -l' - wc seconds wc -l text "${count[@]}"
    row "$what" "rg -c ''" - rg seconds rg --no-config -a -c '' text "${count[@]}"
    # To a pipe, because grep stops at the first line when it sees that nobody will read its answer.
    row "$what" "grep -c ''" - 'grep cat' seconds sh -c "grep -a -c '' text | cat" "${count[@]}"
    if [ "$(wc -l <text)" -ne "$("$parpy" read text --do count -j 2 | awk '{ print $1 }')" ]; then
        failed+=('parpy counts other lines than wc')
    fi
fi

# ---------------------------------------------------------------- mpi: the same over ranks

if [[ " $parts " == *" mpi "* ]]; then
    table
    doubles 20000000 >values.npy
    seq 0 999999 >whole.txt
    map2=("${on2[@]}" "$parpy" -q map -o none --repeat 7)
    read2=("${on2[@]}" "$parpy" -q read text)
    row 'tiny job, 4 ranks, whole process' 'an empty MPI program in C' 1.10 'mpirun mpicc' \
        seconds "${on4[@]}" ./start_end against seconds "${on4[@]}" "$parpy" -q map 1 2 3
    c=(says "${on2[@]}" ./scatter_gather 20000000 7)
    row 'square 20 M doubles, 2 ranks' 'Scatterv, Gatherv in C' 1.0 'mpirun mpicc' \
        "${c[@]}" against reported map "${map2[@]}" --from values.npy
    row 'load and square 20 M doubles, 2 ranks' 'Scatterv, Gatherv in C, no file' - 'mpirun mpicc' \
        "${c[@]}" against reported total "${map2[@]}" --from values.npy
    row 'square 20 M doubles, 2 ranks' 'mpi4py, numpy arrays' - 'mpirun mpi4py numpy' \
        says "${on2[@]}" "${mpi4py[@]}" "$peers/mpi_values.py" buffer 20000000 7 \
        against reported map "${map2[@]}" --from values.npy
    row 'read and square 1 M whole numbers, 2 ranks' 'mpi4py, pickled lists, no file' - 'mpirun mpi4py' \
        says "${on2[@]}" "${mpi4py[@]}" "$peers/mpi_values.py" pickle 1000000 7 \
        against reported total "${map2[@]}" --from whole.txt
    futures=("${on3[@]}" "${mpi4py[@]}" -m mpi4py.futures "$peers/mpi_tasks.py")
    row 'pool of 2, one value a message, per value' 'mpi4py.futures, 3 ranks' - 'mpirun mpi4py' \
        says "${futures[@]}" 10000 1 against per 1000000 rate pool --range 0..1000000 --schedule dynamic,1
    row 'pool of 2, 100 values a message, per value' 'mpi4py.futures, 3 ranks' - 'mpirun mpi4py' \
        says "${futures[@]}" 200000 100 \
        against per 10000000 rate pool --range 0..10000000 --schedule dynamic,100
    row 'count 2 GB, 2 ranks' 'newlines alone, 2 threads in C' 1.5 'mpirun cc' \
        says ./newlines text 2 against reported map "${read2[@]}" --do count -o none
    row 'count 2 GB, 2 ranks' 'newlines alone, mpi4py' - 'mpirun mpi4py' \
        says "${on2[@]}" "${mpi4py[@]}" "$peers/mpi_lines.py" text 3 \
        against reported map "${read2[@]}" --do count -o none --repeat 3
    cat=(afresh copy seconds sh -c 'cat text >copy')
    row 'read and write 2 GB, 2 ranks, whole process' cat 2.0 'mpirun cat' \
        "${cat[@]}" against afresh copy seconds "${read2[@]}" -o copy
    row 'read and write 2 GB, 2 ranks, MPI being up' cat 2.0 'mpirun cat' \
        "${cat[@]}" against afresh copy reported total "${read2[@]}" -o copy
    if [ -n "${here[mpirun]:-}" ]; then cmp text copy || failed+=('the copy that parpy made'); fi
    rm -f copy
    memory '' '≤ 512' 'map --range 0..200000000 -o none' 'map --from values.npy -o /dev/null' \
        'read text -o none' 'read text --do count -o none'
fi

# ---------------------------------------------------------------- nodes: over TCP, between two of them

# The nodes are of one machine, with a network each: what is seen of it is what the kernel's TCP costs.
if [[ " $parts " == *" nodes "* ]]; then
    table
    [ -e values.npy ] || doubles 20000000 >values.npy
    seq 0 19999999 >values.txt
    login=("$root/tests/cluster/cluster.sh" on lab login)
    # Without SLURM, whose mpirun would take the nodes that the job has been given. Not bound, because on each of
    # the nodes the first rank would get the same CPU of the one machine that they are.
    plain=("$root/tests/cluster/cluster.sh" on lab n1 "$mpirun" --allow-run-as-root --bind-to none
        --mca plm_rsh_agent "$PWD/lab/rsh" --host)
    two=("${plain[@]}" "n1:1,n2:1")
    one=("${plain[@]}" n1:2 -n 2)
    row 'square 20 M doubles, 2 nodes, values travel' 'Scatterv, Gatherv in C' 1.1 'nodes mpicc' \
        says "${two[@]}" ./scatter_gather 20000000 7 \
        against reported map "${two[@]}" "$parpy" -q map --from values.txt --dtype f64 -o none --repeat 7
    row 'square 20 M doubles, 2 nodes, values travel' 'the same C, told to yield, as parpy tells it' - 'nodes mpicc' \
        says env OMPI_MCA_mpi_yield_when_idle=1 "${two[@]}" ./scatter_gather 20000000 7 \
        against reported map "${two[@]}" "$parpy" -q map --from values.txt --dtype f64 -o none --repeat 7
    row 'square 20 M doubles, 2 nodes, from a file' 'Scatterv, Gatherv in C' - 'nodes mpicc' \
        says "${two[@]}" ./scatter_gather 20000000 7 \
        against reported map "${two[@]}" "$parpy" -q map --from values.npy -o none --repeat 7
    row 'count 2 GB, 2 nodes with a rank each' 'parpy, 1 node with 2 ranks' 1.2 nodes \
        reported map "${one[@]}" "$parpy" -q read text --do count -o none \
        against reported map "${two[@]}" "$parpy" -q read text --do count -o none
    row 'tiny job, srun -N 2 -n 4, whole process' 'an empty MPI program in C' 1.15 'nodes mpicc' \
        seconds "${login[@]}" srun --mpi=pmix -N 2 -n 4 ./start_end \
        against seconds "${login[@]}" srun --mpi=pmix -N 2 -n 4 "$parpy" -q map 1 2 3
fi

# ---------------------------------------------------------------- The picture, and what is missing

if [ ! -s "$out/compare.tsv" ]; then
    echo "No picture: no row has been measured." >&2
elif artist=$(cd "$root" && python_with matplotlib); then
    bounded "$artist" "$peers/picture.py" "$out/compare.tsv" "$out" || failed+=(picture.py)
else
    echo "NO PICTURE: there is no python3 with matplotlib, and it could not be installed." >&2
fi
echo "Written: $(cd "$out" && echo "$out"/*)" >&2
[ ${#left_out[@]} -eq 0 ] || printf 'NO SUCH PEER HERE: %s\n' "${left_out[@]}" >&2
[ ${#failed[@]} -eq 0 ] || { printf 'FAILED: %s\n' "${failed[@]}" >&2; exit 1; }
