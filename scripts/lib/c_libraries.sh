#!/usr/bin/env bash
# Makes the C libraries, with headers and pkg-config files, as they are installed.
# Usage: scripts/lib/c_libraries.sh DIRECTORY [PREFIX]
# PREFIX is where it will be found, if that is not DIRECTORY.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=setup.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/setup.sh"

(($# == 1 || $# == 2)) || die "usage: scripts/lib/c_libraries.sh DIRECTORY [PREFIX]"
mkdir -p -- "$1" "$CARGO_TARGET_DIR"
to=$(cd -- "$1" && pwd)
prefix=${2:-$to}
headers=("$root/rust/libsplinter/splinter.h" "$root/rust/ffi/splinter_bus.h")

# The number that programs are linked with. It is counted up when a function or a structure changes so that they would have
# to be built anew, and only then: functions that are added do not count.
abi=0
version=$(crate_version)

need ld "the linker (Debian's package \"binutils\")"
need objcopy "objcopy (Debian's package \"binutils\")"
work=$(mktemp -d -t splinter-c.XXXXXX)
trap 'rm -rf -- "$work"' EXIT

# What the headers declare is what the libraries show, and nothing else.
sed -nE 's/^[a-z].*[ *]((spl|splinter)_[a-z0-9_]+)\(.*/\1/p' "${headers[@]}" | LC_ALL=C sort >"$work/functions"
[[ -s $work/functions ]] || die "the headers declare nothing"
{
  printf 'SPLINTER_%s {\nglobal:\n' "$abi"
  sed 's/$/;/' "$work/functions"
  printf 'local: *;\n};\n'
} >"$work/versions"

compile() { # NAME FEATURES
  # Both are made under one name there, so only one at a time may make them.
  (
    exec {lock}>"$CARGO_TARGET_DIR/.c_libraries.lock" &&
      flock "$lock" &&
      cd -- "$root/rust" &&
      cargo rustc --release --locked --quiet --package libsplinter --lib --features "$2" --crate-type staticlib &&
      cp -- "$CARGO_TARGET_DIR/release/libsplinter_c.a" "$work/$1.rust.a"
  ) || die "the Rust build failed"
}

library() { # NAME FEATURES WHAT-NAMES-ARE
  local name=$1 file=lib$1.so.$version
  local -a roots
  compile "$name" "$2"
  # One object of all that these functions need, and no more.
  mapfile -t roots < <(sed 's/^/--undefined=/' "$work/functions")
  ld -r --gc-sections --force-group-allocation "${roots[@]}" -o "$work/$name.all.o" "$work/$name.rust.a"
  # Shared: bound at the start, so that no table of functions can be written to later, and never unloaded, because handlers for
  # signals and forks are in it.
  cc -shared -o "$work/$file" "$work/$name.all.o" "-Wl,-soname,lib$name.so.$abi" "-Wl,--version-script=$work/versions" \
    -Wl,--gc-sections,--no-undefined,--strip-debug -Wl,-z,now,-z,relro,-z,noexecstack,-z,nodelete
  # Static: the names of Rust's runtime are made local, so that it may be there twice in a program. Its bitcode, which a build
  # without LTO leaves in, is of no use in one object, and some versions of ar fail on it.
  objcopy --strip-debug --remove-section=.llvmbc --remove-section=.llvmcmd \
    "--keep-global-symbols=$work/functions" "$work/$name.all.o" "$work/$name.o"
  rm -f -- "$work/lib$name.a"
  ar rcD "$work/lib$name.a" "$work/$name.o"

  install -D -m 644 -- "$work/$file" "$to/lib/$file"
  ln -sf -- "$file" "$to/lib/lib$name.so.$abi"
  ln -sf -- "lib$name.so.$abi" "$to/lib/lib$name.so"
  install -D -m 644 -- "$work/lib$name.a" "$to/lib/lib$name.a"
  mkdir -p -- "$to/lib/pkgconfig"
  # Spaces separate flags, even those of a path, unless they are escaped.
  cat >"$to/lib/pkgconfig/$name.pc" <<EOF
prefix=${prefix// /\\ }
libdir=\${prefix}/lib
includedir=\${prefix}/include

Name: $name
Description: Message bus and key-value store in shared memory; names are $3
Version: $version
Cflags: -I\${includedir}
Libs: -L\${libdir} -l$name
Libs.private: -pthread -ldl
EOF
}

library splinter "" "of shared memory"
library splinter_p persistent "paths of files"
for header in "${headers[@]}"; do
  install -D -m 644 -- "$header" "$to/include/${header##*/}"
done
