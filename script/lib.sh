# What script/test, script/demo, script/bench and .ci/run share: saying what is done, packages, the build.
# Sourced by bash. REPO is set; every function says its own trouble and the cure.

REPO=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PYTHONDONTWRITEBYTECODE=1 PYTHONPATH="$REPO/test/lib"
export PGVIGIL_BUILD="${PGVIGIL_BUILD:-$REPO/build}"
PYTHON=/usr/bin/python3 # the one that Debian's psycopg2 and pytest belong to

# Everything that building and testing needs on a bare Debian 12 (bookworm).
PACKAGES="gcc meson ninja-build pkg-config clang-format
  libuv1-dev libmicrohttpd-dev libcurl4-gnutls-dev libjansson-dev libinih-dev libgnutls28-dev libpq-dev libsystemd-dev
  libcmocka-dev postgresql-15 postgresql-server-dev-15 python3 python3-pytest python3-pytest-xdist python3-psycopg2 iproute2 nftables util-linux procps curl jq
  haproxy pgbouncer keepalived systemd wrk prometheus openssl mandoc python3-aiosmtpd pgpool2 postgresql-15-repmgr"
# What script/bench peers compares with.
PEER_PACKAGES="patroni etcd-server etcd-client"

if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then BOLD=$'\e[1m'; RED=$'\e[31m'; PLAIN=$'\e[0m'; else BOLD= RED= PLAIN=; fi

say() { printf '%s== %s%s\n' "$BOLD" "$*" "$PLAIN"; }
die() { printf '%s%s: %s%s\n' "$RED" "$(basename "$0")" "$*" "$PLAIN" >&2; exit 2; }

need_root() {
    [ "$(id -u)" = 0 ] || die "has to run as root: it makes network namespaces and starts PostgreSQL as its own user. Try: sudo $0"
}

# Installs those of the named packages that are missing.
need_packages() {
    local missing=
    for package in "$@"; do
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing="$missing $package"
    done
    [ -n "$missing" ] || return 0
    command -v apt-get >/dev/null || die "missing:$missing. Install them; this script can do it on Debian only"
    say "installing packages:$missing"
    # Debian's PostgreSQL would make and start a server of its own: not wanted here.
    local conf=/etc/postgresql-common/createcluster.d/00-no-main-cluster.conf made=
    if [ ! -e "$conf" ] && [ ! -d /etc/postgresql ]; then
        mkdir -p "$(dirname "$conf")" && echo "create_main_cluster = false" >"$conf" && made=1
    fi
    # Nor is any service wanted that comes with a package, such as HAProxy's.
    local policy=/usr/sbin/policy-rc.d policy_made=
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod 755 "$policy" && policy_made=1
    fi
    export DEBIAN_FRONTEND=noninteractive
    local log; log=$(mktemp)
    # shellcheck disable=SC2086
    if ! { apt-get update -q && apt-get install -q -y --no-install-recommends $missing; } >"$log" 2>&1; then
        tail -20 "$log" >&2; rm -f "$log"; [ -z "$made" ] || rm -f "$conf"; [ -z "$policy_made" ] || rm -f "$policy"
        die "apt-get could not install them (see above)"
    fi
    rm -f "$log"; [ -z "$made" ] || rm -f "$conf"; [ -z "$policy_made" ] || rm -f "$policy"
}

# build FOLDER [meson options]: sets up once, then builds.
build() {
    local folder=$1 log; shift
    log=$(mktemp)
    say "building in ${folder#"$REPO"/}"
    if ! { [ -f "$folder/build.ninja" ] || meson setup "$folder" "$REPO" "$@"; } >"$log" 2>&1 ||
       ! ninja -C "$folder" >>"$log" 2>&1; then
        tail -40 "$log" >&2; rm -f "$log"
        return 1
    fi
    ! grep -B1 -A8 'warning:' "$log" >&2 || true
    rm -f "$log"
}
