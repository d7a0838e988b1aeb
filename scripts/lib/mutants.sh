#!/usr/bin/env bash
# Whether the core's tests notice when its code says something else: changes one thing at a time in a copy of the sources, and
# prints the changes that no test has noticed. Fails if they are more than one in ten. Ends with 77 where cargo-mutants cannot
# be had.
# Usage: scripts/lib/mutants.sh [ARGUMENT OF CARGO-MUTANTS]...
# Some three thousand changes are possible, at ten seconds and more each: "--shard 3/100" tries a hundredth of them, "--file lock.rs"
# those of one file.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=setup.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/setup.sh"

need cargo "Rust (rustup, or Debian's package \"cargo\")"
install_cargo_tool cargo-mutants 27.1.0

copy=$(mktemp -d -t splinter-mutants.XXXXXX)
trap 'rm -rf -- "$copy"' EXIT
copy_sources "$copy"

# Each change is a build of the core and of its tests, which take longer to be optimised than to run.
export CARGO_PROFILE_QUICK_OPT_LEVEL=1 CARGO_INCREMENTAL=1
export SPLINTER_TEST_ROUNDS=${SPLINTER_TEST_ROUNDS:-2}
status=0
(cd -- "$copy/rust" && PATH=$(dirname -- "$tool"):$PATH CARGO_TARGET_DIR=$CARGO_TARGET_DIR/mutants \
  cargo mutants --in-place --package splinter-bus --output "$copy" "$@") || status=$?
# 2: some were not noticed; 3: some took for ever, which is noticed.
((status == 0 || status == 2 || status == 3)) || die "cargo-mutants failed: do the tests pass without a change?"

count() { # OUTCOME
  wc -l <"$copy/mutants.out/$1.txt"
}
noticed=$(($(count caught) + $(count timeout)))
missed=$(count missed)
printf 'not noticed: %s\n' "$missed"
sed 's/^/  /' "$copy/mutants.out/missed.txt"
printf 'tried: %s changes of the core\n' $((noticed + missed))
((10 * missed <= noticed + missed)) || die "less than nine of ten were noticed"
