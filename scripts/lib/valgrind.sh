#!/usr/bin/env bash
# Memcheck over the tests of the Rust core, and over the command line with every command that ends by itself.
# Usage: scripts/lib/valgrind.sh
#
# Left out are the tests that trace or kill their children, which Valgrind does not bear, and those that only count to millions.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=setup.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/setup.sh"

setup
install_c_tools

# Leaks are no concern of processes that fork, whose children end where they are.
forking=(cut damage hostile lifecycle power)
others=(churn hygiene model operations store watch)
# A signal handler of ours gives an access its page: all registers must be what they are by then.
memcheck="valgrind --quiet --error-exitcode=99 --fair-sched=yes --vex-iropt-register-updates=allregs-at-mem-access"
leaks="--leak-check=full --show-leak-kinds=definite --errors-for-leak-kinds=definite"

core_tests() { # RUNNER TEST...
  local runner=$1 name
  shift
  local tests=()
  for name in "$@"; do
    tests+=(--test "$name")
  done
  (cd -- "$root/rust" &&
    CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER=$runner SPLINTER_TEST_SECONDS=${SPLINTER_TEST_SECONDS:-1} \
      SPLINTER_TEST_ROUNDS=2 SPLINTER_TEST_KILLS=20 SPLINTER_TEST_CHURN=20000 \
      cargo test --profile quick --locked --no-fail-fast --package splinter-bus "${tests[@]}")
}

# All in one process, as the interactive mode reads them from a pipe. What fails goes on, so that errors are looked at too.
command_line() {
  local place status=0
  place=$(mktemp -d -t splinter-valgrind.XXXXXX)
  (
    cd -- "$place"
    ln -s "$CARGO_TARGET_DIR/release/splinterctl" splinterp_cli
    # shellcheck disable=SC2086
    $memcheck $leaks ./splinterp_cli
  ) <"$root/tests/valgrind/commands.txt" >"$place/out" 2>"$place/err" || status=$?
  # The status of the last command, or Valgrind's, or that of a signal.
  if ((status < 99)) && ! grep --quiet '^==' "$place/err"; then
    status=0
  else
    cat -- "$place/err"
    status=1
  fi
  rm -rf -- "$place"
  printf 'tried: %s commands of the command line under Valgrind\n' "$(grep --count . "$root/tests/valgrind/commands.txt")"
  return "$status"
}

status=0
core_tests "$memcheck --leak-check=no" "${forking[@]}" || status=1
core_tests "$memcheck $leaks" "${others[@]}" || status=1
command_line || status=1
exit "$status"
