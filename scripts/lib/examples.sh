#!/usr/bin/env bash
# Builds and installs what the examples need, and runs them as a reader would: see tests/examples.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=setup.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/setup.sh"

setup
install_packages chromium:chromium ip:iproute2 tc:iproute2
build_rust --package splinter-bus --example hello --example llm_reader --example proc_publisher
build_rust --package splinter-bus-cli
build_c
cd -- "$root"
bun test tests/examples
