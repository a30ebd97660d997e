#!/usr/bin/env bash
# All checks of the project, in one command: format, lints, unit and integration tests, the differential tests against
# the real redis-server, and real clients. Installs what it needs by package name. Ends with 'N passed, N failed'.
#
#   tests/check.sh            everything
#   tests/check.sh rust       without the clients
#   tests/check.sh clients    only the clients
set -u
cd "$(dirname "$0")/.." || exit 2
part=${1:-all}
export CARGO_TERM_COLOR=never RUST_BACKTRACE=0
passed=0 failed=0 broken=()

say() { printf '\n== %s\n' "$*"; }

# Installs Debian packages when a program or header is missing.
need() {
    local probe=$1
    shift
    eval "$probe" >/dev/null 2>&1 && return
    say "installing $*"
    local root=()
    [ "$(id -u)" = 0 ] || root=(sudo)
    "${root[@]}" apt-get update -q >/dev/null
    DEBIAN_FRONTEND=noninteractive "${root[@]}" apt-get install -qy --no-install-recommends "$@" >/dev/null
    eval "$probe" >/dev/null 2>&1 || { echo "cannot install $*" >&2; exit 2; }
}

# A check that passes or fails as a whole.
check() {
    local name=$1
    shift
    say "$name"
    if "$@"; then passed=$((passed + 1)); else failed=$((failed + 1)) broken+=("$name"); fi
}

# Adds the counts that the test programs printed; without any, the step itself counts as failed.
count() {
    local name=$1 output=$2 status=$3 line good bad lines=0
    while read -r line; do
        read -r good bad <<<"$(sed -E 's/.* ([0-9]+) passed[;,] ([0-9]+) failed.*/\1 \2/' <<<"$line")"
        passed=$((passed + good)) failed=$((failed + bad)) lines=$((lines + 1))
        [ "$bad" = 0 ] || broken+=("$name: $bad")
    done < <(grep -aE '(^test result:|^clients:).* [0-9]+ passed[;,] [0-9]+ failed' "$output")
    if [ "$lines" = 0 ] || { [ "$status" != 0 ] && ! grep -aqE ' [1-9][0-9]* failed' "$output"; }; then
        failed=$((failed + 1)) broken+=("$name: did not run to its end")
    fi
}

# Runs a program that prints counts, and shows what it prints.
counted() {
    local name=$1 output status
    shift
    say "$name"
    output=$(mktemp)
    "$@" 2>&1 | tee "$output"
    status=${PIPESTATUS[0]}
    count "$name" "$output" "$status"
    rm -f "$output"
}

# Client libraries, in directories of their own outside the tree.
clients() {
    local cache=${LARDER_CHECK_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/larder-check} binary
    mkdir -p "$cache/node"
    [ -x "$cache/venv/bin/python" ] || python3 -m venv "$cache/venv" || return 1
    "$cache/venv/bin/pip" install -q --disable-pip-version-check -r tests/clients/requirements.txt || return 1
    cp tests/clients/package.json "$cache/node/"
    npm install --prefix "$cache/node" --no-audit --no-fund --silent || return 1
    binary=$(cargo build --message-format=json-render-diagnostics | sed -n 's/.*"executable":"\([^"]*\/larder\)".*/\1/p' | tail -n 1)
    LARDER_BIN=${LARDER_BIN:-$binary} NODE_MODULES=$cache/node/node_modules PYTHONDONTWRITEBYTECODE=1 \
        "$cache/venv/bin/python" tests/clients/run.py
}

need 'command -v redis-server && command -v redis-cli && command -v redis-benchmark' redis-server redis-tools
need 'command -v cc && command -v make' build-essential
if ! command -v cargo >/dev/null; then
    echo 'cargo is missing: install Rust from https://rustup.rs' >&2
    exit 2
fi

if [ "$part" != clients ]; then
    check 'cargo fmt --check' cargo fmt --check
    check 'cargo clippy --all-targets -- -D warnings' cargo clippy --quiet --all-targets -- -D warnings
    counted 'cargo test' cargo test --quiet --no-fail-fast
    counted 'models' cargo test --quiet --manifest-path tests/model/Cargo.toml
fi
if [ "$part" != rust ]; then
    need 'python3 -c "import venv, ensurepip"' python3 python3-venv
    need 'command -v node && command -v npm' nodejs npm
    need 'command -v sidekiq' ruby-sidekiq
    need 'php -m | grep -qx redis' php-cli php-redis
    counted 'clients' clients
fi

if [ ${#broken[@]} -gt 0 ]; then
    printf '\nfailed:\n'
    printf '  %s\n' "${broken[@]}"
fi
printf '\n%d passed, %d failed\n' "$passed" "$failed"
[ "$failed" = 0 ]
