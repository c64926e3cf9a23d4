#!/usr/bin/env bash
# Bare machines: makes roots of Debian with Rust and nothing else added, or with a little that misleads, and runs
# jobs/demo.sh in each as a newcomer would. It must run through, or end with its one sentence.
#   tests/fresh/run.sh [--tests] [VARIANT…]     all variants by default; --tests: tests/all.sh too, in each of them
# Needs Linux and root. Shared with this machine are the toolchain and the crates that it has fetched before, and no
# packages. PARPY_FRESH (target/fresh) keeps the bare roots as archives, and what was said in each variant.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck disable=SC1091 # checked by itself
. jobs/setup.sh

# name  suite  user  expected (demo, or a part of the sentence)  packages that are there before
variants() {
    cat <<'TABLE'
bare              bookworm  root    demo
llvm-runtime      bookworm  root    demo        libclang-cpp14
libclang-runtime  bookworm  root    demo        libclang1-14 gcc libc6-dev
mpich             bookworm  root    demo        mpich libmpich-dev
openmpi           bookworm  root    demo        openmpi-bin libopenmpi-dev
mpi-runtime       bookworm  root    demo        openmpi-bin
hdf5-runtime      bookworm  root    demo        libhdf5-103-1 gcc libc6-dev
no-headers        bookworm  root    demo        gcc
user              bookworm  user    needs_root
user-sudo         bookworm  sudoer  demo        sudo
debian13          trixie    root    demo
debian13-mpich    trixie    root    demo        mpich libmpich-dev
TABLE
}

if [ "$(uname)" != Linux ] || [ "$(id -u)" -ne 0 ]; then
    fail "tests/fresh/run.sh makes roots, which takes Linux and root."
    exit 1
fi
with_tests=
[ "${1:-}" != --tests ] || { with_tests=yes; shift; }
wanted=" $* "
keep=${PARPY_FRESH:-$PWD/target/fresh}
mirror=${PARPY_FRESH_MIRROR:-http://deb.debian.org/debian}
mkdir -p "$keep"
has_cargo
ensure mmdebstrap
toolchain=$(rustc --print sysroot)
work=$(mktemp -d "$keep/work.XXXXXX")
trap 'rm -rf --one-file-system "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# archive SUITE: a root of that suite with what a download of Rust needs.
archive() {
    [ -e "$keep/$1.tar" ] ||
        { mmdebstrap --quiet --variant=minbase --include=ca-certificates "$1" "$keep/$1.part.tar" "$mirror" >&2 &&
            mv "$keep/$1.part.tar" "$keep/$1.tar"; }
}

# within ROOT USER SCRIPT: runs bash in the root, in namespaces of its own that end with it.
within() {
    # Compiled for speed of compiling: what is tried is the set-up.
    local quick='CARGO_PROFILE_RELEASE_OPT_LEVEL=0 CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=64'
    # shellcheck disable=SC2016 # expanded within
    timeout -k 10 3600 unshare --mount --pid --fork --kill-child --propagation private bash -ec '
        root=$1
        mount -t proc proc "$root/proc"
        mount --rbind /dev "$root/dev"
        mount -t tmpfs shm "$root/dev/shm"
        mount -t sysfs sysfs "$root/sys"
        mount --bind -o ro "$2" "$root/opt/rust"
        user=$3
        home=$(chroot "$root" sh -c "echo ~$user")
        quick=$5
        # shellcheck disable=SC2086 # several words
        exec chroot "$root" setpriv --reuid "$user" --regid "$user" --init-groups \
            env -i $quick HOME="$home" USER="$user" PATH=/opt/rust/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin \
            LC_ALL=C.UTF-8 bash -c "cd && $4"' within "$1" "$toolchain" "$2" "$3" "$quick" </dev/null
}

failed=()
while read -r name suite user expected packages <&3; do
    [ -z "${wanted// /}" ] || [[ "$wanted" == *" $name "* ]] || continue
    began=$SECONDS
    root=$work/$name
    archive "$suite"
    mkdir "$root"
    tar -xf "$keep/$suite.tar" -C "$root"
    cp -L /etc/resolv.conf /etc/hosts "$root/etc/"
    cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
    mkdir -p "$root/opt/rust"
    if [ "$packages" ]; then
        within "$root" root "apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
            --no-install-recommends $packages" >"$keep/$name.before" 2>&1 ||
            { echo "$name: its packages could not be installed: $keep/$name.before" >&2; failed+=("$name"); continue; }
    fi
    if [ "$user" != root ]; then chroot "$root" useradd --create-home "$user"; fi
    if [ "$user" = sudoer ]; then echo 'sudoer ALL=(ALL) NOPASSWD: ALL' >"$root/etc/sudoers.d/sudoer"; fi
    home=$root$(chroot "$root" sh -c "echo ~$user")
    mkdir -p "$home/parpy" "$home/.cargo/registry"
    git ls-files -z | tar --null -T - -c | tar -x -C "$home/parpy"
    cp -a "${CARGO_HOME:-$HOME/.cargo}"/registry/{cache,index} "$home/.cargo/registry/"
    chroot "$root" chown -R "$user:$user" "${home#"$root"}"

    code=0
    within "$root" "$user" "cd parpy && ./jobs/demo.sh" >"$keep/$name.out" 2>"$keep/$name.err" || code=$?
    case $expected in
    demo) [ $code -eq 0 ] && grep -q 'gathered in order: 345 lines' "$keep/$name.out" && outcome='the demo ran' ;;
    needs_root) [ $code -ne 0 ] && grep -q '^parpy set-up: installing .* needs root' "$keep/$name.err" &&
        [ "$(wc -l <"$keep/$name.err")" -eq 1 ] && outcome=$(tail -n 1 "$keep/$name.err") ;;
    esac || { outcome="exit code $code, not as expected: $keep/$name.err"; failed+=("$name"); tail -n 5 "$keep/$name.err" >&2; }
    if [ "$with_tests" ] && [ $code -eq 0 ]; then
        since=$SECONDS
        within "$root" "$user" "cd parpy && ./tests/all.sh" >"$keep/$name.tests" 2>&1 || failed+=("$name, tests/all.sh")
        outcome+="; tests/all.sh: $(tail -n 1 "$keep/$name.tests") ($((SECONDS - since)) s)"
    fi
    rm -rf --one-file-system "$root"
    printf '%-18s %4d s  %s\n' "$name" $((SECONDS - began)) "$outcome"
done 3< <(variants)
[ ${#failed[@]} -eq 0 ] || { printf 'FAILED: %s\n' "${failed[@]}" >&2; exit 1; }
