#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Brings a bare Debian or Ubuntu to where gdzoo runs. The Makefile calls it; each call is harmless to repeat.
#
#   scripts/setup.sh packages [EXTRA]   .venv with the exact versions of constraints.txt (and of an extra, e.g. test),
#                                       by uv, which checks the hashes too, or by pip where uv cannot
#   scripts/setup.sh chromium           Chromium, which the browser tests drive
#   scripts/setup.sh postgres           PostgreSQL, on which the tests of a team's store run
#   scripts/setup.sh data               the files of Fashion-MNIST, as Debian ships them
#   scripts/setup.sh constraints        constraints.txt anew, from the lower bounds of pyproject.toml
#
# Exit codes: 0 done, 1 an installation failed, 2 something is missing that only you can give.
set -eu
cd "$(dirname "$0")/.."

OLDEST_PYTHON='(3, 11)'
unset PYTHONPATH PYTHONHOME # they would let foreign packages into .venv

say() { printf '%s\n' "$*"; }

stop() {
    printf 'error: %s\n' "$1" >&2
    exit "${2:-2}"
}

# Runs apt-get install as root, or with sudo, or says what to type.
install_system_packages() {
    reason=$1
    shift
    command -v apt-get >/dev/null 2>&1 ||
        stop "for $reason, $* must be there; this is not Debian or Ubuntu, so install that in your system's way and say make again"
    if [ "$(id -u)" -eq 0 ]; then
        root=
    elif command -v sudo >/dev/null 2>&1; then
        root=sudo
    else
        stop "for $reason, $* must be there; as root, say: apt-get update && apt-get install -y $*"
    fi
    say "Installing for $reason, with ${root:+sudo }apt-get: $* (this can take a minute or two)"
    $root apt-get update -qq || say "apt-get update failed; going on with the lists that are here"
    $root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null ||
        stop "apt-get could not install $*; as root, say: apt-get update && apt-get install -y $*"
}

new_enough() { "$1" -c "import sys; sys.exit(sys.version_info < $OLDEST_PYTHON)" >/dev/null 2>&1; }

# Prints the interpreter that makes .venv: PYTHON, else the first that is new enough.
find_python() {
    if [ -n "${PYTHON:-}" ]; then
        command -v "$PYTHON" >/dev/null 2>&1 || stop "PYTHON=$PYTHON is not there"
        new_enough "$PYTHON" || stop "PYTHON=$PYTHON is older than Python 3.11 (or does not start)"
        say "$PYTHON"
        return
    fi
    for name in python3 python3.14 python3.13 python3.12 python3.11; do
        if command -v "$name" >/dev/null 2>&1 && new_enough "$name"; then
            say "$name"
            return
        fi
    done
    found=$(python3 --version 2>/dev/null) || found='no python3'
    stop "gdzoo needs Python 3.11 or newer; found: $found. Install one (as root: apt-get install -y python3.11), or name it: make PYTHON=/path/to/python3"
}

# Makes the virtual environment $1 with the interpreter $2, and Debian's part of venv first where that is missing.
make_venv() {
    if ! "$2" -c 'import ensurepip, venv' >/dev/null 2>&1; then
        version=$("$2" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
        install_system_packages ".venv (python -m venv)" "python$version-venv"
    fi
    "$2" -m venv --clear "$1" || stop "$2 -m venv failed" 1
}

# Makes .venv where there is none that works; one that works is kept.
ready_venv() {
    if [ -x .venv/bin/python ] && new_enough .venv/bin/python && .venv/bin/python -m pip --version >/dev/null 2>&1; then
        return
    fi
    python=$(find_python)
    [ ! -e .venv ] || say "The .venv that is here does not work (no Python 3.11 or newer with pip in it); making it anew."
    say "Making .venv with $($python --version)"
    make_venv .venv "$python"
}

# Prints where uv is: on PATH, or in the environment $1, into which pip brings the uv of constraints.txt, hash checked.
find_uv() {
    command -v uv && return
    sed -n '/^uv==/,/[^\\]$/p' constraints.txt >"$1/uv.txt"
    "$1/bin/python" -m pip install --quiet --no-input --disable-pip-version-check \
        --no-deps --require-hashes --requirement "$1/uv.txt" >"$1/uv.log" 2>&1 || return
    [ -x "$1/bin/uv" ] && say "$1/bin/uv"
}

# Tells uv what the pip of the environment $1 is told (indexes, folders of wheels, certificates, a proxy): uv reads
# neither pip's files nor PIP_*. Where uv has indexes of its own, and for each variable that is set, nothing is told.
tell_uv_what_pip_is_told() {
    ! env | grep -q '^UV_[A-Z_]*INDEX' || return 0
    told=$("$1/bin/python" -m pip config list 2>/dev/null) || return 0
    while read -r option variable; do
        for section in :env: install global; do # pip's order: its variables, its own section, that of all commands
            value=$(say "$told" | sed -n "s/^$section\.$option=['\"]\(.*\)['\"]\$/\1/p" | sed 's/\\n/ /g; s/^ *//')
            [ -z "$value" ] || break
        done
        [ "$variable" != UV_FIND_LINKS ] || value=$(say "$value" | tr -s ' ' ,)
        eval "mine=\${$variable:-}"
        if [ -n "$value" ] && [ -z "$mine" ]; then export "$variable=$value"; fi
    done <<END
index.url UV_DEFAULT_INDEX
extra.index.url UV_INDEX
no.index UV_NO_INDEX
find.links UV_FIND_LINKS
trusted.host UV_INSECURE_HOST
cert SSL_CERT_FILE
proxy HTTPS_PROXY
END
}

# Runs a command that installs, with its output in the log $1, and says how far it is: a line that renews itself, or
# one every 15 seconds. Returns what the command returned.
watched() {
    log=$1
    shift
    total=$(grep -c == constraints.txt)
    "$@" >"$log" 2>&1 &
    installer=$!
    trap 'kill "$installer" 2>/dev/null; exit 130' INT TERM
    seconds=0
    while kill -0 "$installer" 2>/dev/null; do
        sleep 1
        seconds=$((seconds + 1))
        line="  $(count_found "$log") packages found, $(count_installed) of about $total installed, $seconds s"
        if [ -t 1 ]; then
            printf '\r\033[K%s' "$line"
        elif [ $((seconds % 15)) -eq 0 ]; then
            say "$line"
        fi
    done
    [ ! -t 1 ] || printf '\r\033[K'
    trap - INT TERM
    wait "$installer" || return
    say "Installed: $(count_installed) packages in .venv, $seconds s"
}

# uv says all it found in one line, pip each package as it comes.
count_found() { awk '/^ *(Collecting|Processing) / { found++ } /^Resolved / { found = $2 } END { print found + 0 }' "$1"; }

count_installed() { find .venv/lib -maxdepth 3 -name '*.dist-info' | wc -l | tr -d ' '; }

bring_packages() {
    ready_venv
    say "Installing gdzoo${1:+ and what its ${1}s need} into .venv, in the exact versions of constraints.txt"
    if install_by_uv ".${1:+[$1]}"; then
        compile_packages
    else
        install_by_pip ".${1:+[$1]}"
    fi
    touch .venv/.installed ${1:+".venv/.installed-$1"}
}

# Fails, with a line that says so, where uv cannot be had or cannot install. All indexes are asked for the best match,
# as pip does; if that fails and there are extra ones, each package comes from the first that has it, so that
# an index that does not answer is not asked for what the others have. Files with a wrong hash are refused for good.
install_by_uv() {
    uv=$(find_uv .venv) || {
        say "uv is not here and pip cannot bring it (.venv/uv.log says why): pip installs, which is slower and checks no hashes"
        return 1
    }
    tell_uv_what_pip_is_told .venv
    for strategy in ${UV_INDEX_STRATEGY:-unsafe-best-match ${UV_INDEX:+first-index}}; do
        export UV_INDEX_STRATEGY="$strategy"
        watched .venv/uv.log "$uv" pip install --python .venv/bin/python \
            --constraint constraints.txt --build-constraint constraints.txt --editable "$1" && return
        ! grep -q 'Hash mismatch' .venv/uv.log ||
            stop "$(sed -n 's/.*\(Hash mismatch\)/\1/p' .venv/uv.log): this is not the file that constraints.txt means (.venv/uv.log). If you trust the index that gave it, say: UV_NO_VERIFY_HASHES=1 make" 1
    done
    say "uv could not ($(sed -n '/^error: /{s///p;q;}' .venv/uv.log); more in .venv/uv.log): pip installs, which is slower and checks no hashes"
    return 1
}

# Python compiles what it imports and keeps that for the next process, unless it is told not to, as in many containers:
# then every process would compile anew, for seconds. pip compiles all by itself, uv nothing.
compile_packages() {
    [ -n "${PYTHONDONTWRITEBYTECODE:-}" ] || return 0
    say "Compiling the packages: PYTHONDONTWRITEBYTECODE keeps Python from doing so when it first imports them"
    # A file for another version of Python is no error.
    .venv/bin/python -m compileall -q -j 0 -x '/tests?/' .venv/lib >.venv/compile.log 2>&1 || :
}

# pip takes no hashes beside an editable install. The first variable constrains the packages, and the build in older
# pips; the second the build in newer ones.
install_by_pip() {
    sed -n 's/^\([^ #]*==[^ ]*\).*/\1/p' constraints.txt >.venv/constraints.txt
    export PIP_CONSTRAINT=.venv/constraints.txt PIP_BUILD_CONSTRAINT=.venv/constraints.txt PIP_DISABLE_PIP_VERSION_CHECK=1
    watched .venv/install.log .venv/bin/python -m pip install --no-input --progress-bar off --editable "$1" || {
        tail -n 20 .venv/install.log >&2
        stop "pip failed; all it said is in .venv/install.log. Correct that and say make again" 1
    }
}

# No function may be called chromium: command -v would find it. The driver of Playwright needs libatomic1.
bring_chromium() {
    missing=
    command -v chromium >/dev/null 2>&1 || missing='chromium fonts-dejavu'
    if command -v dpkg >/dev/null 2>&1 && ! dpkg -s libatomic1 >/dev/null 2>&1; then
        missing="$missing libatomic1"
    fi
    [ -n "$missing" ] || return 0
    # shellcheck disable=SC2086 # these are several words
    install_system_packages "the browser tests" $missing
    command -v chromium >/dev/null 2>&1 ||
        stop "apt-get gave no program named chromium; put one on PATH and say make test again"
}

# Elsewhere than on Debian and Ubuntu nothing is installed: gdzoo works without these files, and tests of them are skipped.
bring_data() {
    if ! command -v dpkg >/dev/null 2>&1; then
        say "This is not Debian or Ubuntu, whose package brings the files of Fashion-MNIST. From the network (30 MiB), say:"
        say "  .venv/bin/gdzoo data prepare fashion_mnist"
    elif ! dpkg -s dataset-fashion-mnist >/dev/null 2>&1; then
        install_system_packages "the images of Fashion-MNIST" dataset-fashion-mnist
    fi
}

# Elsewhere than on Debian and Ubuntu nothing is installed, and the tests that need a server are skipped.
bring_postgres() {
    command -v dpkg >/dev/null 2>&1 || return 0
    [ -n "$(find /usr/lib/postgresql -name initdb 2>/dev/null)" ] || install_system_packages "a team's store" postgresql
}

# Versions and hashes come from the main index alone: an extra one may hold the files of one platform only.
renew_constraints() {
    python=$(find_python)
    fresh=$(mktemp -d)
    trap 'rm -rf "$fresh"' EXIT
    say "Resolving the lower bounds of pyproject.toml for Python 3.11 on Linux"
    make_venv "$fresh" "$python"
    uv=$(find_uv "$fresh") || stop "uv is not here and pip cannot bring it; make constraints needs it" 1
    tell_uv_what_pip_is_told "$fresh"
    unset UV_INDEX UV_FIND_LINKS
    # Beside what gdzoo declares: setuptools, which builds it, and uv, which installs it.
    printf 'setuptools>=77\nuv\n' | "$uv" pip compile --quiet --python "$fresh/bin/python" --python-version 3.11 \
        --python-platform linux --extra test --extra ray --generate-hashes --no-header --no-annotate \
        --output-file "$fresh/constraints.txt" pyproject.toml - >/dev/null || stop "uv found no versions that fit together" 1
    {
        echo "# Each package's version, and the SHA-256 of each of its files, for every platform it is published for."
        echo "# make constraints writes this file; uv checks the hashes as it installs, pip takes the versions alone."
        cat "$fresh/constraints.txt"
    } >constraints.txt.new
    mv constraints.txt.new constraints.txt
    say "constraints.txt: $(grep -c == constraints.txt) exact versions; say make test next"
}

case ${1:-} in
packages) bring_packages "${2:-}" ;;
chromium) bring_chromium ;;
postgres) bring_postgres ;;
data) bring_data ;;
constraints) renew_constraints ;;
*) stop "say: scripts/setup.sh packages [EXTRA] | chromium | postgres | data | constraints" ;;
esac
