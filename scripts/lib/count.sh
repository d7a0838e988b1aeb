# shellcheck shell=bash
# Sourced by the scripts that run tests: what the runners have counted.

# Prints how many tests passed and how many failed, from the closing lines of a log: "test result: ok. 3 passed; 0
# failed; ..." (cargo), "ok | 3 passed (9 steps) | 0 failed (1s)" (deno), " 3 pass" and " 0 fail" (bun).
count_results() { # LOG
  awk '
    /^test result: |^(ok|FAILED) \| |^ *[0-9]+ (pass|fail)$/ {
      for (i = 2; i <= NF; i++) {
        if ($i ~ /^pass(ed)?;?$/) passed += $(i - 1)
        if ($i ~ /^fail(ed)?;?$/) failed += $(i - 1)
      }
    }
    END { print passed + 0, failed + 0 }' "$1"
}

# Prints what the lines "tried: 100 power cuts" of a log come to, a kind a line, the first met first.
count_tries() { # LOG
  awk '
    match($0, /tried: [0-9]+ /) {
      line = substr($0, RSTART + 7)
      count = line + 0
      sub(/^[0-9]+ /, "", line)
      if (!(line in sums)) kinds[++n] = line
      sums[line] += count
    }
    END { for (i = 1; i <= n; i++) printf "%d %s\n", sums[kinds[i]], kinds[i] }' "$1"
}
