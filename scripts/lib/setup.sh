# shellcheck shell=bash
# Sourced by the scripts beside it: finds the repository, and installs and builds what they need.

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd)

# The clients look for the library here, so a target directory from the caller's environment must not move it.
export CARGO_TARGET_DIR=$root/rust/target
export PATH=$root/node_modules/.bin:$PATH
export DENO_NO_UPDATE_CHECK=1 DENO_NO_PROMPT=1 DO_NOT_TRACK=1

# Read by the scripts that source this file.
# shellcheck disable=SC2034
library=$CARGO_TARGET_DIR/release/libsplinter_bus.so
# Where build_c puts the libraries for C, as scripts/install would.
# shellcheck disable=SC2034
c_libraries=$CARGO_TARGET_DIR/release/c

die() {
  printf '%s: %s\n' "$(basename -- "$0")" "$*" >&2
  exit 1
}

# For what cannot be had here, and need not be: ends with a status of its own.
skip() {
  printf '%s: skipped: %s\n' "$(basename -- "$0")" "$*" >&2
  exit 77
}

step() {
  printf '\n-- %s\n' "$*"
}

need() { # COMMAND WHERE-IT-COMES-FROM
  command -v "$1" >/dev/null || die "\"$1\" is missing: install $2 first"
}

# The version that package.json pins for a package.
pinned() {
  node -p 'require(process.argv[1]).devDependencies[process.argv[2]]' "$root/package.json" "$1"
}

# The version of all that this repository publishes.
crate_version() {
  local version
  version=$(sed -nE 's/^version = "(.*)"$/\1/p' "$root/rust/Cargo.toml")
  [[ $version =~ ^[0-9]+\.[0-9]+\.[0-9]+ ]] || die "rust/Cargo.toml has no version"
  printf '%s\n' "$version"
}

# Deno, Bun and the rest of the development tools, as package-lock.json names them.
install_tools() {
  local installed=$root/node_modules/.installed-lock.json name
  # A copy of the lockfile, made last: it is missing after an install that was cut short, and differs after a checkout.
  if cmp -s "$root/package-lock.json" "$installed"; then
    return
  fi
  step "Installing the tools that package-lock.json names"
  (cd "$root" && npm ci --no-audit --no-fund --loglevel=error)
  # Both programs are put in place by an install script, which some npm settings switch off.
  for name in deno bun; do
    [[ $("$name" --version 2>&1) == *"$(pinned "$name")"* ]] ||
      die "the npm package \"$name\" did not install its program: does npm's configuration say \"ignore-scripts\"?"
  done
  cp -- "$root/package-lock.json" "$installed"
}

build_rust() {
  # Where nothing changed this takes some 50 ms and prints nothing.
  (cd "$root/rust" && cargo build --release --locked --quiet "$@") || die "the Rust build failed"
}

# Installs what is missing of Debian's packages, where that takes nobody's leave.
install_packages() { # COMMAND:PACKAGES...
  local missing=() pair
  for pair in "$@"; do
    # Words that are separated by spaces.
    # shellcheck disable=SC2206
    command -v "${pair%%:*}" >/dev/null || missing+=(${pair#*:})
  done
  if ((${#missing[@]} > 0)) && ((EUID == 0)) && command -v apt-get >/dev/null; then
    step "Installing ${missing[*]}"
    apt-get update --quiet=2 || die "apt-get update failed"
    DEBIAN_FRONTEND=noninteractive apt-get install --quiet=2 --yes --no-install-recommends "${missing[@]}" ||
      die "the Debian packages ${missing[*]} could not be installed"
    missing=()
  fi
  ((${#missing[@]} == 0)) || die "these Debian packages are missing: install them first: ${missing[*]}"
}

# What the tests of the C libraries and the examples need besides.
install_c_tools() {
  # Valgrind recognises the C library's functions by its symbols.
  install_packages c++:g++ pkg-config:pkg-config python3:python3 "valgrind:valgrind libc6-dbg"
}

# A program for the work on this repository alone: sets "tool" to where it is.
install_cargo_tool() { # PACKAGE VERSION
  tool=$CARGO_TARGET_DIR/$1-$2/bin/$1
  if [[ ! -x $tool ]]; then
    step "Installing $1 $2"
    cargo install --quiet --locked --root "$CARGO_TARGET_DIR/$1-$2" "$1@$2" || skip "$1 $2 could not be installed"
  fi
}

# A copy of what is needed to build and test the Rust part, for those who change it.
copy_sources() { # DIRECTORY
  (cd -- "$root" && git ls-files -z rust bench examples tests | xargs -0 cp --parents -t "$1")
}

# What the tests of all runtimes on one store run.
build_peers() {
  local release=$CARGO_TARGET_DIR/release
  build_rust --package splinter-bus --example interop_peer
  build_rust --package splinter-bus-cli
  cc -std=c17 -O2 -Wall -Wextra -I "$root/rust/ffi" -o "$release/interop_peer_c" \
    "$root/tests/interop/peer.c" "$library" "-Wl,-rpath,$release" || die "the peer in C was not built"
}

build_c() {
  install_c_tools
  "$root/scripts/lib/c_libraries.sh" "$c_libraries" || die "the C libraries were not built"
}

setup() {
  [[ $(uname -s) == Linux ]] || die "Splinter needs Linux"
  need cargo "Rust (rustup, or Debian's package \"cargo\")"
  need cc "a C compiler (Debian's package \"gcc\")"
  need node "Node.js 20 or later (Debian's packages \"nodejs\" and \"npm\")"
  need npm "npm (Debian's package \"npm\")"
  install_tools
  if [[ ! -e $library ]]; then
    step "Building the library"
  fi
  build_rust --workspace
}
