#!/usr/bin/env bash
# The speed and memory of parpy beside its peers: run in turn, in the same minutes, medians and ratios.
#   jobs/bench.sh [RUNS]        7 by default
# Needs the peers' sources (PEERS, ../shared/peers by default), a text to repeat (TEXT), GNU time, and 5 GB in
# a scratch folder (SCRATCH, /tmp by default). MPICC chooses the MPI, as everywhere.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. jobs/setup.sh

runs=${1:-7}
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
"$MPICC" -O3 -march=native "$peers/squares.c" -o squares
"$MPICC" -O2 "$peers/launch_floor.c" -o launch_floor
cc -O3 -march=native "$peers/read_limit.c" -o read_limit -lpthread
copies=$((2000000000 / $(stat -c %s "$text") + 1))
for ((i = 0; i < copies; i++)); do cat "$text"; done >text
# 20 million doubles: the .npy header by its own rules, and the bits of 0, 1, 2, …
{
    dict="{'descr': '<f8', 'fortran_order': False, 'shape': (20000000,), }"
    printf '\x93NUMPY\x01\x00\x76\x00%-117s\n' "$dict"
    perl -e 'for (my $i = 0; $i < 20000000; $i += 10000) { print pack("d<*", $i .. $i + 9999) }'
} >values.npy

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
    printf '| %-52s | %9.4f | %9.4f | %5.2f | %s |\n' \
        "$name" "$(median <peer.s)" "$(median <ours.s)" "$(cat ratio.s)" "$limit"
}
copy() { rm -f copy; sync; "$@"; }

cat text values.npy >/dev/null
echo "$("$parpy" --version | tail -1), $(nproc) cores, $runs runs each, medians; the ratio is the median of pairs"
echo '| what                                                 |    peer s |   parpy s | ratio | must |'
echo '|---|---|---|---|---|'
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
