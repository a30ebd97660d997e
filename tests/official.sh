#!/usr/bin/env bash
# Runs the official Redis test suite against Larder.
#
#   tests/official.sh TREE [-j JOBS] [-w WORKERS] [-t] [FILE...]
#
# TREE is a source tree of Redis 7.4.1; only its tests are used, nothing of it is built. FILE is a test file without
# `.tcl` (unit/type/string); without any, the files that apply to what Larder has. -t lists the failures' details.
# -w gives the server so many workers.
# LARDER_BIN names the binary (default: a build of this tree); Debian's redis-cli and redis-benchmark stand beside it.
#
# Prints one line per file, the failed tests below it, and ends with 'N passed, N failed'. Tests left out stand in
# tests/official-exceptions.txt, each with its reason.
set -u
here=$(cd "$(dirname "$0")" && pwd)
tree=$(cd "${1:?usage: tests/official.sh TREE [-j JOBS] [-t] [FILE...]}" && pwd) || exit 2
shift
jobs=1 workers= details=no
while getopts j:w:t option; do
    case $option in
        j) jobs=$OPTARG ;;
        w) workers=$OPTARG ;;
        t) details=yes ;;
        *) exit 2 ;;
    esac
done
shift $((OPTIND - 1))

binary=${LARDER_BIN:-}
if [ -z "$binary" ]; then
    binary=$(cd "$here/.." && cargo build --profile quick --message-format=json-render-diagnostics |
        sed -n 's/.*"executable":"\([^"]*larder\)".*/\1/p' | tail -n 1)
fi
[ -x "$binary" ] || { echo "no binary to test: '$binary'" >&2; exit 2; }

files=("$@")
[ ${#files[@]} -gt 0 ] || mapfile -t files < <(sed -n 's/^file *| *\([^ |]*\).*/\1/p' "$here/official-exceptions.txt")

work=$(mktemp -d)
stop() {
    local group
    for group in "$work"/*/pid; do [ -f "$group" ] && kill -9 -- "-$(cat "$group")" 2>/dev/null; done
    rm -rf "$work"
}
trap stop EXIT
trap 'exit 130' INT TERM

# A tree of its own for each file: the suite writes into its tests/tmp.
stage() {
    mkdir -p "$1/src"
    cp -r "$tree/tests" "$1/tests"
    cp "$tree/redis.conf" "$1/" 2>/dev/null
    [ -z "$workers" ] || echo "worker-threads $workers" >>"$1/tests/assets/default.conf"
    ln -s "$(readlink -f "$binary")" "$1/src/redis-server"
    for tool in redis-cli redis-benchmark; do ln -s "$(command -v $tool)" "$1/src/$tool"; done
    awk -F' *[|] *' '$1 == "line" { print $2 }' "$here/official-exceptions.txt" | while read -r line; do
        grep -rlF --include='*.tcl' "$line" "$1/tests" | xargs -r sed -i "/^ *$line\$/d"
    done
}

# The arguments that leave out what the exceptions name for a file.
exceptions() {
    awk -F' *[|] *' -v file="$1" '
        /^#/ || NF < 3 { next }
        $1 == "tag" { tag[$2] }
        $1 == "keep" && $2 == file { keep[$3] }
        $1 == file || $1 == "*" { print "--skiptest"; print $2 }
        END {
            for (name in tag) if (!(name in keep)) tags = tags " -" name
            if (tags != "") { print "--tags"; print substr(tags, 2) }
        }' "$here/official-exceptions.txt"
}

# Runs one file; its output ends up in DIRECTORY/output.
run() {
    local file=$1 directory=$2 port=$3 arguments
    stage "$directory"
    mapfile -t arguments < <(exceptions "$file")
    cd "$directory" || return
    setsid timeout -k 5 "${OFFICIAL_TIMEOUT:-900}" tclsh tests/test_helper.tcl --single "$file" --clients 1 --durable \
        --no-latency --baseport "$port" --portcount 400 --timeout 300 "${arguments[@]}" >output 2>&1 </dev/null &
    echo $! >pid
    wait $!
    echo $? >status
    kill -9 -- "-$(cat pid)" 2>/dev/null
    rm -f pid
}

# Prints what failed, one line each, out of the suite's output; a server that could not start for a setting named in the
# exceptions is left out and printed with another mark.
failures() {
    awk -F' *[|] *' '
        function finish() {
            if (head != "" && why != "") { print "left out: " why }
            else if (head != "") { print head (note != "" ? " (" note ")" : "") }
            head = why = note = ""
        }
        FILENAME == ARGV[1] { if ($1 == "config") reason[$2] = $3; next }
        /^\[/ { finish() }
        /^\[(err|exception|timeout|TIMEOUT)\]/ { head = $0 }
        head ~ /start the Redis server/ && ($0 in reason) { why = $0 ": " reason[$0] }
        head ~ /TIMEOUT/ && /in progress|=>/ && note == "" { note = $0 }
        END { finish() }' "$here/official-exceptions.txt" "$1"
}

passed=0 failed=0
report() {
    local file=$1 directory=$2 ok err ignored
    sed -i 's/\x1b\[[0-9;]*m//g' "$directory/output"
    failures "$directory/output" >"$directory/failures"
    ok=$(grep -ac '^\[ok\]' "$directory/output")
    ignored=$(($(grep -ac '^\[ignore\]\|^\[skip\]' "$directory/output") + $(grep -ac '^left out' "$directory/failures")))
    err=$(grep -acv '^left out' "$directory/failures")
    if [ "$ok$err$ignored" = 000 ]; then err=1; fi
    printf '%-34s %4d passed %4d failed %4d left out\n' "$file" "$ok" "$err" "$ignored"
    grep -av '^left out' "$directory/failures" | sed 's/^/    /' | cut -c1-200
    [ "$ok$ignored" != 00 ] || tail -n 5 "$directory/output" | sed 's/^/    /' | cut -c1-200
    [ $details = no ] || grep -aA 12 '^\[err\]\|^\[exception\]' "$directory/output" | sed 's/^/        /'
    passed=$((passed + ok)) failed=$((failed + err))
}

base=${OFFICIAL_BASEPORT:-$((10000 + $$ % 40 * 500))}
free=$(seq -s ' ' 0 $((jobs - 1)))
declare -A slot_of name_of

# Waits for one file to end and reports it.
collect() {
    local pid
    wait -n -p pid "${!name_of[@]}"
    report "${name_of[$pid]}" "$work/${name_of[$pid]//\//-}"
    free="$free ${slot_of[$pid]}"
    unset "name_of[$pid]" "slot_of[$pid]"
}
for file in "${files[@]}"; do
    free=${free# }
    slot=${free%%[!0-9]*}
    free=${free#"$slot"}
    run "$file" "$work/${file//\//-}" $((base + slot * 450)) &
    name_of[$!]=$file slot_of[$!]=$slot
    [ -n "${free//[!0-9]/}" ] || collect
done
while [ ${#name_of[@]} -gt 0 ]; do collect; done
echo "$passed passed, $failed failed"
[ $failed = 0 ]
