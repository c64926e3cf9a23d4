#!/usr/bin/env bash
# The speed and memory of parpy beside its peers: run in turn, in the same minutes, medians and ratios.
#   jobs/bench.sh [RUNS [local|files|mpi]]  7 runs and all parts by default
# Needs the peers' sources (PEERS, ../shared/peers by default), a text to repeat (TEXT), GNU time, a python3
# with numpy, h5py and pandas (PYTHON), and 6 GB in a scratch folder (SCRATCH, /tmp by default). MPICC chooses
# the MPI, as everywhere.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. jobs/setup.sh

runs=${1:-7}
part=${2:-local files mpi}
peers=${PEERS:-../shared/peers}
text=${TEXT:-../shared/data/shakespeare.txt}
[ -r "$peers/squares.c" ] || { echo "No peers in $peers: set PEERS to the folder with squares.c" >&2; exit 2; }
peers=$(cd "$peers" && pwd)
text=$(realpath "$text")

set_up
target=$(target_of "${MPICC:-}")
cargo build --release --quiet --target-dir "$target"
export MPICC=${MPICC:-mpicc}
parpy=$(realpath "$target/release/parpy")
mpirun=$(mpirun_of "$MPICC")

scratch=$(mktemp -d "${SCRATCH:-/tmp}/parpy-bench.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"
python=$(command -v "${PYTHON:-python3}")
part() { [[ " $part " == *" $1 "* ]]; }
"$MPICC" -O3 -march=native "$peers/squares.c" -o squares
"$MPICC" -O2 "$peers/launch_floor.c" -o launch_floor
cc -O3 -march=native "$peers/read_limit.c" -o read_limit -lpthread
ranks() {
    local n=$1 options
    shift
    mapfile -t options < <(mpirun_options "$mpirun" "$n")
    "$mpirun" "${options[@]}" -n "$n" "$@"
}
wall() {
    local begin=$EPOCHREALTIME
    "$@" >/dev/null
    awk -v a="$begin" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.6f\n", b - a }'
}
# The same for one program, started by a small process: a large one, such as this shell, takes a millisecond
# more to start another.
alone() {
    perl -MTime::HiRes=time -e 'open my $out, ">&", STDOUT; open STDOUT, ">", "/dev/null"; my $t = time;
        system { $ARGV[0] } @ARGV; printf $out "%.6f\n", time - $t' "$@"
}
# The seconds that a report names.
reported() {
    local key=$1
    shift
    "$@" --report report.json >/dev/null
    sed -n "s/^ *\"$key\": \([0-9.e-]*\),\{0,1\}$/\1/p" report.json | head -1
}
median() { sort -g | awk '{ x[NR] = $1 } END { print NR % 2 ? x[(NR + 1) / 2] : (x[NR / 2] + x[NR / 2 + 1]) / 2 }'; }
# row NAME LIMIT 'PEER' 'PARPY': both print seconds; run in turn.
row() {
    local name=$1 limit=$2 peer=$3 ours=$4 i
    : >peer.s; : >ours.s
    for ((i = 0; i < runs; i++)); do
        eval "$peer" >>peer.s
        eval "$ours" >>ours.s
    done
    paste ours.s peer.s | awk '{ print $1 / $2 }' | median >ratio.s
    printf '| %-52s | %9.3g | %9.3g | %7.3g | %s |\n' \
        "$name" "$(median <peer.s)" "$(median <ours.s)" "$(cat ratio.s)" "$limit"
}
copy() { rm -f copy; sync; "$@"; }

# Of several commands in one row, the time of them all.
many() { local i; for ((i = 0; i < $1; i++)); do "${@:2}"; done; }

echo "$("$parpy" --version | sed -n 2p), $(nproc) cores, $runs runs each, medians; the ratio is the median of pairs"
echo '| what                                                 |    peer s |   parpy s | ratio | must |'
echo '|---|---|---|---|---|'
if part local; then
    # The teaching page's own file: 5.46 MB.
    for i in 1 2 3 4; do cat "$text"; done >seed
    truncate -s 5458199 seed
    cat >tasks.py <<'END'
import sys, time
from multiprocessing import Pool
def square(value): return value * value
if __name__ == "__main__":
    with Pool(2) as pool:
        pool.map(square, range(100))
        began = time.perf_counter()
        pool.map(square, range(int(sys.argv[1])), chunksize=1)
        print((time.perf_counter() - began) / int(sys.argv[1]))
END
    cat >processes.py <<'END'
import sys, time
from multiprocessing import Process
def square(value): value * value
if __name__ == "__main__":
    count = int(sys.argv[1])
    began = time.perf_counter()
    for first in range(0, count, 2):
        pair = [Process(target=square, args=(first + i,)) for i in range(2)]
        for process in pair: process.start()
        for process in pair: process.join()
    print((time.perf_counter() - began) / count)
END
    cat >multiply.py <<'END'
import sys, timeit
import numpy as np
a = np.arange(float(sys.argv[1])); o = np.empty_like(a)
print(min(timeit.repeat(lambda: np.multiply(a, a, out=o), number=1, repeat=5)))
END
    each() { awk -v n="$1" '{ print $1 / n }'; }
    row 'parpy map 1 2 3, whole process / python3' '0.33' \
        'alone "$python" -c "print([v*v for v in (1,2,3)])"' 'alone "$parpy" map 1 2 3'
    row 'the same / /bin/true' '(3)' 'many 20 alone /bin/true | median' 'many 20 alone "$parpy" map 1 2 3 | median'
    row 'pool, seconds a task of one value / Pool.map' '0.2 (0.05)' \
        '"$python" tasks.py 20000' \
        'reported total "$parpy" map --range 0..1000000 -p pool -j 2 --schedule dynamic,1 -o none | each 1000000'
    row 'pool of 2, 1000 squares, whole process / the cell' '1.0 (0.3)' \
        '"$python" "$peers/pool_squares.py" 2 1000' 'alone "$parpy" map --range 0..1000 -p pool -j 2'
    row 'one process a value, seconds each / Process' '0.67 (0.25)' \
        '"$python" processes.py 1000' \
        'reported total "$parpy" map --range 0..4000 -p process -j 2 -o none | each 4000'
    row 'the same / xargs -P2 -n1 true' '(1.0)' \
        'wall sh -c "seq 1000 | xargs -P2 -n1 true" | each 1000' \
        'alone "$parpy" map --range 0..1000 -p process -j 2 | each 1000'
    row 'file of 5.46 MB, pool of 2, whole process / the cell' '0.02 (0.005)' \
        '"$python" "$peers/pool_read.py" 2 seed' 'alone "$parpy" read seed -p pool -j 2'
    row 'square 100 M doubles, 2 threads / numpy, 1 core' '1.0' \
        '"$python" multiply.py 100000000' \
        'reported total "$parpy" map --range 0..100000000 --dtype f64 -p threads -j 2 -o none --repeat 5'
    row 'square 10 M doubles, simd / serial, blocks of 2048' '0.5' \
        'reported map "$parpy" map --range 0..10000000 --dtype f64 -p serial --schedule static,2048 -o none --repeat 9' \
        'reported map "$parpy" map --range 0..10000000 --dtype f64 -p simd --schedule static,2048 -o none --repeat 9'
fi

# Results in files: whole processes, each writing a new file.
fresh() { rm -f "$1"; wall "${@:2}"; }
if part files; then
    "$python" - <<'END'
import numpy as np
a = np.random.default_rng(1).standard_normal(100_000_000)
np.save('v100.npy', a)
np.save('v10.npy', a[:10_000_000])
np.savetxt('n10.txt', a[:10_000_000])
END
    cat >h5.py <<'END'
import sys, h5py, numpy as np
a = np.load('v100.npy'); b = a * a
with h5py.File('peer.out', 'w') as h:
    h['output'] = b
    if 'both' in sys.argv: h['input'] = a
END
    cat >save.py <<'END'
import numpy as np
a = np.load('v100.npy'); np.save('peer.npy', a * a)
END
    cat >savetxt.py <<'END'
import numpy as np
a = np.load('v10.npy'); np.savetxt('peer.out', a * a)
END
    cat >loadtxt.py <<'END'
import numpy as np
a = np.loadtxt('n10.txt'); a * a
END
    cat >readcsv.py <<'END'
import pandas as pd
a = pd.read_csv('n10.txt', header=None)[0].to_numpy(); a * a
END
    cat >printf.c <<'END'
#include <stdio.h>
#include <stdlib.h>
int main(void) {
    FILE *in = fopen("v10.npy", "rb"), *out = fopen("peer.out", "w");
    double *a = malloc(80000000);
    fseek(in, 128, SEEK_SET);
    for (size_t i = 0, n = fread(a, 8, 10000000, in); i < n; i++) fprintf(out, "%.17g\n", a[i] * a[i]);
    return fclose(out);
}
END
    cc -O3 -march=native printf.c -o printf
    sync
    row 'squares of 100 M doubles to .h5 / h5py, output' '1.2 (0.8)' \
        'fresh peer.out "$python" h5.py' 'fresh ours.h5 "$parpy" map --from v100.npy -o ours.h5'
    row 'the same / h5py, input and output, as parpy' '-' \
        'fresh peer.out "$python" h5.py both' 'fresh ours.h5 "$parpy" map --from v100.npy -o ours.h5'
    rm -f ours.h5 peer.out
    row 'the same to .npy / numpy' '1.1 (0.7)' \
        'fresh peer.npy "$python" save.py' 'fresh ours.npy "$parpy" map --from v100.npy -o ours.npy'
    rm -f ours.npy peer.npy
    row '10 M doubles to text, 2 threads / numpy.savetxt' '0.1 (0.03)' \
        'fresh peer.out "$python" savetxt.py' 'fresh ours.txt "$parpy" map --from v10.npy -o ours.txt -j 2'
    row 'the same / printf("%.17g\n"), 1 core' '0.7 (0.2)' \
        'fresh peer.out ./printf' 'fresh ours.txt "$parpy" map --from v10.npy -o ours.txt -j 2'
    rm -f ours.txt peer.out
    row '10 M numbers from text / numpy.loadtxt' '0.2 (0.05)' \
        'wall "$python" loadtxt.py' 'wall "$parpy" map --from n10.txt --dtype f64 -o none'
    row 'the same / pandas.read_csv' '1.0 (0.3)' \
        'wall "$python" readcsv.py' 'wall "$parpy" map --from n10.txt --dtype f64 -o none'
    if have /usr/bin/time; then
        echo
        echo '| peak memory of a rank, 2 ranks, 800 MB in | MiB (must be ≤ 512, aim 128) |'
        echo '|---|---|'
        for output in ours.h5 ours.npy; do
            ranks 2 /usr/bin/time -a -o memory -f %M "$parpy" -q map --from v100.npy -o "$output"
            printf '| %-40s | %6.1f |\n' "$output" "$(sort -g memory | tail -1 | awk '{ print $1 / 1024 }')"
            rm -f memory "$output"
        done
    fi
    rm -f v100.npy v10.npy n10.txt
fi

part mpi || exit 0
copies=$((2000000000 / $(stat -c %s "$text") + 1))
for ((i = 0; i < copies; i++)); do cat "$text"; done >text
# 20 million doubles: the .npy header by its own rules, and the bits of 0, 1, 2, …
{
    dict="{'descr': '<f8', 'fortran_order': False, 'shape': (20000000,), }"
    printf '\x93NUMPY\x01\x00\x76\x00%-117s\n' "$dict"
    perl -e 'for (my $i = 0; $i < 20000000; $i += 10000) { print pack("d<*", $i .. $i + 9999) }'
} >values.npy

cat text values.npy >/dev/null
row 'tiny job, 4 ranks, whole process / empty C program' '1.10' \
    'wall ranks 4 ./launch_floor' 'wall ranks 4 "$parpy" -q map 1 2 3'
row 'map 20 M doubles, 2 ranks, seconds.map / squares.c' '1.0' \
    'ranks 2 ./squares 20000000 7' \
    'reported map ranks 2 "$parpy" -q map --from values.npy -o none --repeat 7'
row 'the same, seconds.total (with load) / squares.c' '-' \
    'ranks 2 ./squares 20000000 7' \
    'reported total ranks 2 "$parpy" -q map --from values.npy -o none --repeat 7'
row 'count 2 GB, 2 ranks, seconds.map / read_limit' '1.5' \
    './read_limit text 2 | cut -d" " -f3' \
    'reported map ranks 2 "$parpy" -q read text --do count -o none'
row 'read 2 GB to a file, 2 ranks, whole / cat' '2.0' \
    'copy wall sh -c "cat text >copy"' \
    'copy wall ranks 2 "$parpy" -q read text -o copy'
row 'read 2 GB to a file, 2 ranks, seconds.total / cat' '2.0' \
    'copy wall sh -c "cat text >copy"' \
    'copy reported total ranks 2 "$parpy" -q read text -o copy'
cmp text copy
rm copy

if have /usr/bin/time; then
    echo
    echo '| peak memory of a rank, 2 ranks | MiB (must be ≤ 512) |'
    echo '|---|---|'
    for job in 'map --range 0..200000000 -o none' 'map --from values.npy -o /dev/null' 'read text -o none' \
        'read text --do count -o none'; do
        # shellcheck disable=SC2086
        ranks 2 /usr/bin/time -a -o memory -f %M "$parpy" -q $job
        printf '| %-40s | %6.1f |\n' "$job" "$(sort -g memory | tail -1 | awk '{ print $1 / 1024 }')"
        rm memory
    done
fi
