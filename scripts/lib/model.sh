#!/usr/bin/env bash
# The protocols under model checkers, on the code itself: each scenario under schedules that shuttle draws, and each small
# one under every schedule and order of memory accesses, up to a number of preemptions, that loom goes through. Each prints
# how many it tried.
#
# Short by default; SPLINTER_TEST_SECONDS is a scenario's time, SPLINTER_TEST_ROUNDS its number of schedules under shuttle,
# SPLINTER_TEST_SEED chooses them.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=setup.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/setup.sh"

need cargo "Rust (rustup, or Debian's package \"cargo\")"

# Plays all scenarios of one checker on the sources in a directory. Cargo does not tell one copy of them from another, so each
# directory needs a target of its own.
model() { # CHECKER DIRECTORY TARGET
  cd -- "$2/rust" && RUSTFLAGS="--cfg $1" cargo test --locked --package splinter-bus --lib \
    --target-dir "$3/$1" machine:: -- --nocapture
}

# Sourced for the function alone.
[[ ${BASH_SOURCE[0]} == "$0" ]] || return 0

for checker in shuttle loom; do
  step "Model checker: $checker"
  (model "$checker" "$root" "$CARGO_TARGET_DIR")
done
