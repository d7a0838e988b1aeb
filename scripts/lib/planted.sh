#!/usr/bin/env bash
# Whether the model checkers find what they are there to find: plants each bug of rust/core/tests/planted in a copy of the
# sources, and expects the scenarios to fail. Plants all of them, or those that are named.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=model.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/model.sh"

need patch "the program \"patch\" (Debian's package \"patch\")"

copy=$(mktemp -d -t splinter-planted.XXXXXX)
trap 'rm -rf -- "$copy"' EXIT
# One place for all, so that only the patched crate is built anew.
copy_sources "$copy"

patches=("$root"/rust/core/tests/planted/*.patch)
if (($# > 0)); then
  patches=("${@/#/$root/rust/core/tests/planted/}")
  patches=("${patches[@]/%/.patch}")
fi

found=0
for patch in "${patches[@]}"; do
  name=$(basename -- "$patch" .patch)
  checker=$(sed -n 's/^Found by: //p' "$patch")
  log=$copy/log
  patch --quiet --strip=1 --directory="$copy" <"$patch" || die "the bug \"$name\" cannot be planted any more: mend its patch"
  if (model "$checker" "$copy" "$CARGO_TARGET_DIR/planted") >"$log" 2>&1; then
    printf 'missed: %s\n' "$name"
  elif grep -q '^test result: FAILED' "$log"; then
    found=$((found + 1))
    printf 'found: %s, by %s\n' "$name" \
      "$(sed -n 's/^    machine::\([a-z_:]*\)$/\1/p' "$log" | sort -u | paste -sd' ')"
  else
    tail -n 20 -- "$log"
    die "the bug \"$name\" ended the run itself"
  fi
  patch --quiet --strip=1 --reverse --directory="$copy" <"$patch"
done

printf 'tried: %s planted bugs\n' "${#patches[@]}"
((found == ${#patches[@]})) || die "$((${#patches[@]} - found)) of them were missed"
