#!/usr/bin/env bash
# Which lines of the core its own tests run: prints how many of each file, and those that none runs. Ends with 77 where the
# tools cannot be had.
# Usage: scripts/lib/coverage.sh [TEST]...
# Counts what these tests of rust/core/tests run, or all of them but "wakes", and the unit tests. "wakes" has the counting stepped
# through too, which takes long and finds nothing.
#
# The counters lie in a file that all processes of a test map, so that nothing is lost where one is killed or traced.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=setup.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/setup.sh"

need cargo "Rust (rustup, or Debian's package \"cargo\")"
tools=$(rustc --print target-libdir)/../bin
[[ -x $tools/llvm-profdata && -x $tools/llvm-cov ]] || skip "rustup component add llvm-tools"

if (($# == 0)); then
  for path in "$root"/rust/core/tests/*.rs; do
    [[ $path == */wakes.rs ]] || set -- "$@" "$(basename -- "$path" .rs)"
  done
fi
tests=(--lib)
for name in "$@"; do
  tests+=(--test "$name")
done

work=$(mktemp -d -t splinter-coverage.XXXXXX)
trap 'rm -rf -- "$work"' EXIT
export RUSTFLAGS="-C instrument-coverage -C llvm-args=-runtime-counter-relocation"
core_tests() { # ARGUMENT...
  (cd -- "$root/rust" &&
    cargo test --locked --package splinter-bus --target-dir "$CARGO_TARGET_DIR/coverage" "${tests[@]}" "$@")
}

step "Building the tests"
core_tests --quiet --no-run --message-format=json |
  sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' >"$work/programs"
[[ -s $work/programs ]] || die "the tests were not built"

step "Running them"
status=0
LLVM_PROFILE_FILE=$work/%m%c.profraw core_tests --no-fail-fast || status=$?

"$tools/llvm-profdata" merge --sparse --output="$work/profile" "$work"/*.profraw
mapfile -t programs < <(sed 's/^/--object=/' "$work/programs")
"$tools/llvm-cov" export --format=lcov --instr-profile="$work/profile" "${programs[@]}" \
  --sources "$root/rust/core/src" >"$work/lcov"

step "Lines of the core that tests run"
# Unit tests stand behind the code of their file, and are no part of it.
awk -v "sources=$root/rust/core/src/" '
  /^SF:/ {
    path = substr($0, 4)
    end = 0
    for (number = 1; (getline line < path) > 0; number++) {
      if (line == "#[cfg(test)]" && !end) end = number
    }
    close(path)
    run = all = 0
    missed = ""
    first = last = 0
  }
  function note() {
    if (first) missed = missed " " first (last > first ? "-" last : "")
    first = 0
  }
  /^DA:/ {
    split(substr($0, 4), cell, ",")
    if (end && cell[1] > end) next
    all++
    if (cell[2] > 0) {
      run++
      note()
    } else {
      if (!first) first = cell[1]
      last = cell[1]
    }
  }
  /^end_of_record/ {
    note()
    if (!all) next
    printf "%-22s %5d of %5d %6.1f%% %s\n", substr(path, length(sources) + 1), run, all, 100 * run / all,
      missed ? "not:" missed : "" | "sort"
    runs += run
    alls += all
  }
  END {
    close("sort")
    printf "%-22s %5d of %5d %6.1f%%\n", "in all", runs, alls, 100 * runs / alls
    printf "tried: %d lines of the core that tests run, of %d\n", runs, alls
  }' "$work/lcov"
exit "$status"
