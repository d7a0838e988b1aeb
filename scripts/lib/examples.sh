#!/usr/bin/env bash
# Runs the examples as a reader of the README would, and checks that each sees what the one before it left.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=setup.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/setup.sh"

build_rust --package splinter-bus --example hello
build_c
directory=$(mktemp -d -t splinter-examples.XXXXXX)
trap 'rm -rf -- "$directory"' EXIT
cd -- "$directory"

passed=0
failed=0
check() { # WHAT WANTED COMMAND...
  local what=$1 wanted=$2 output
  shift 2
  if output=$("$@" 2>&1) && [[ $output == *"$wanted"* ]]; then
    printf 'ok      %s\n' "$what"
    passed=$((passed + 1))
  else
    printf 'FAILED  %s: "%s" is not in its output:\n%s\n' "$what" "$wanted" "$output"
    failed=$((failed + 1))
  fi
}

permissions=("--allow-ffi=$library" "--allow-read=$directory" "--allow-write=$directory")
check "hello.rs" 'rust found ""' "$CARGO_TARGET_DIR/release/examples/hello"
check "hello.deno.ts" 'deno found "hello from Rust"' \
  deno run --quiet "${permissions[@]}" "$root/examples/hello.deno.ts"
check "hello.bun.ts" 'bun found "hello from Deno"' bun "$root/examples/hello.bun.ts"
check "hello.rs again" 'rust found "hello from Bun"' "$CARGO_TARGET_DIR/release/examples/hello"
# Spaces in a path are escaped.
# shellcheck disable=SC2162
read -a flags < <(PKG_CONFIG_PATH=$c_libraries/lib/pkgconfig pkg-config --cflags --libs splinter_p)
cc -Wall -Wextra -Werror "$root/examples/c/hello.c" "${flags[@]}" -o hello-c
check "hello.c" 'c found "hello from Rust"' env "LD_LIBRARY_PATH=$c_libraries/lib" ./hello-c
check "hello.py" 'python found "hello from C"' \
  env "LD_LIBRARY_PATH=$c_libraries/lib" python3 "$root/examples/python/hello.py"
check "hello.bun.ts again" 'bun found "hello from Python"' bun "$root/examples/hello.bun.ts"
check "scripts/demo" "write to wake" "$root/scripts/demo" 1

printf '%s pass\n%s fail\n' "$passed" "$failed"
((failed == 0))
