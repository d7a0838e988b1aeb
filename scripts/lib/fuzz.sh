#!/usr/bin/env bash
# Looks for inputs that do harm, with libFuzzer and AddressSanitizer: each target for so many seconds (the argument, or
# SPLINTER_TEST_SECONDS, or 10). Starts from what is kept in rust/fuzz, and keeps there what does harm. Ends with 77 where the
# fuzzer cannot be had.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=setup.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/setup.sh"

seconds=${1:-${SPLINTER_TEST_SECONDS:-10}}
targets=(open neighbour operations command_line)

need cargo "Rust (rustup, or Debian's package \"cargo\")"
[[ $(uname -sm) == "Linux x86_64" ]] || skip "the damage in the middle of a call needs Linux on x86-64"
command -v c++ >/dev/null || skip "libFuzzer is C++, and there is no compiler for it (Debian's package \"g++\")"
install_cargo_tool cargo-fuzz 0.13.2

# The sanitizer is behind a flag of nightly compilers.
export RUSTC_BOOTSTRAP=1
# As quick to build as profile "quick".
export CARGO_PROFILE_RELEASE_LTO=false

cargo_fuzz() { # COMMAND [ARGUMENT]...
  local command=$1
  shift
  "$tool" "$command" --fuzz-dir "$root/rust/fuzz" --target-dir "$CARGO_TARGET_DIR/fuzz" \
    --codegen-units 16 --features libfuzzer "$@"
}

step "Building the targets"
log=$(mktemp -t splinter-fuzz.XXXXXX)
trap 'rm -f -- "$log"' EXIT
if ! cargo_fuzz build >"$log" 2>&1; then
  cat -- "$log" >&2
  die "the targets were not built"
fi

failed=0
for target in "${targets[@]}"; do
  step "Fuzzing $target for $seconds s"
  # What is new is for the next run here; "cargo fuzz cmin" picks what is worth to be committed.
  found=$CARGO_TARGET_DIR/fuzz/corpus/$target
  kept=$root/rust/fuzz/corpus/$target
  cases=$root/rust/fuzz/cases/$target
  mkdir -p -- "$found" "$cases"
  status=0
  cargo_fuzz run "$target" "$found" "$kept" "$cases" -- "-artifact_prefix=$cases/" "-max_total_time=$seconds" \
    -print_final_stats=1 -detect_leaks=0 -timeout=30 -report_slow_units=30 -rss_limit_mb=2048 -malloc_limit_mb=64 \
    -max_len=2048 >"$log" 2>&1 </dev/null || status=$?
  if ((status != 0)); then
    tail -n 60 -- "$log" >&2
    failed=1
  fi
  awk -v target="$target" '$1 == "stat::number_of_executed_units:" { n = $2 }
    END { printf "tried: %d inputs of %s\n", n, target }' "$log"
done
((failed == 0)) || die "what did harm is in rust/fuzz/cases: mend it, and keep the case"
