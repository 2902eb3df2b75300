# PostgreSQL of other versions than the one that Debian installs, for `script/test versions`.
# Sourced by script/test, after lib.sh. Everything stays in build/postgresql/.

VERSIONS_DEFAULT="13 17 18"
# Where Debian has source packages of them; Debian 12 itself has 15. The newest minor version is often in the archive of
# security updates first, or only there.
VERSIONS_SUITES="bullseye trixie sid"
VERSIONS_SECURITY_SUITES="bullseye-security trixie-security"
VERSIONS_PACKAGES="gcc make bison flex perl dpkg-dev debian-archive-keyring"

# postgresql_for VERSION: sets PG_BIN to the programs of that version, installed or built before or built now.
postgresql_for() {
    local cache=$REPO/build/postgresql
    export PG_BIN
    for PG_BIN in "/usr/lib/postgresql/$1/bin" "/usr/pgsql-$1/bin" "$cache/$1/bin"; do
        [ ! -x "$PG_BIN/pg_rewind" ] || { versions_can_run "$1"; return; }
    done
    # shellcheck disable=SC2086
    need_packages $VERSIONS_PACKAGES
    say "building PostgreSQL $1 in ${cache#"$REPO"/}/$1 (some minutes)"
    mkdir -p "$cache"
    if ! (versions_fetch "$1" "$cache" && versions_build "$1" "$cache") >"$cache/$1.log" 2>&1; then
        tail -20 "$cache/$1.log" >&2
        echo "PostgreSQL $1 could not be built (all of the log: $cache/$1.log). Debian has sources of" \
            "$VERSIONS_DEFAULT; any other version has to be installed, in /usr/lib/postgresql/$1 or /usr/pgsql-$1" >&2
        unset PG_BIN
        return 1
    fi
    versions_can_run "$1"
}

# versions_can_run VERSION: with its headers, since tests of the modules would be skipped without.
versions_can_run() {
    if ! setpriv --reuid=postgres --regid=postgres --init-groups test -x "$PG_BIN/postgres"; then
        echo "the user postgres cannot reach $PG_BIN: the project has to be in a folder that this user may enter" >&2
        return 1
    fi
    [ ! -f "$("$PG_BIN/pg_config" --includedir-server)/postgres.h" ] || return 0
    echo "PostgreSQL $1 of $PG_BIN has no server headers, which the modules are built with: install" \
        "postgresql-server-dev-$1" >&2
    return 1
}

# Debian's source package, by apt-get with lists of its own: the machine's are left as they are.
versions_fetch() {
    local apt=$2/apt
    mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial"
    {
        versions_archive "" "$VERSIONS_SUITES"
        versions_archive -security "$VERSIONS_SECURITY_SUITES"
    } >"$apt/sources.list"
    [ -s "$apt/sources.list" ] || { echo "apt-get of this machine knows no Debian archive"; return 1; }
    set -- "$1" "$2" -q -o APT::Sandbox::User=root -o Dir::Etc::SourceList="$apt/sources.list" \
        -o Dir::Etc::SourceParts=- -o Dir::State::Lists="$apt/lists" -o Dir::Cache="$apt/cache"
    apt-get "${@:3}" update || return 1
    rm -rf "$2/source-$1"
    mkdir "$2/source-$1"
    (cd "$2/source-$1" && apt-get "${@:3}" source "postgresql-$1")
}

# versions_archive ENDING SUITES: lines of sources.list, for where this machine has its own suite of that ending from.
versions_archive() {
    local uri suite
    # shellcheck disable=SC1091,SC2016 # apt-get fills in the name
    uri=$(. /etc/os-release; apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' \
        "Codename: $VERSION_CODENAME$1" | head -1)
    for suite in $2; do
        [ -z "$uri" ] || echo "deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $uri $suite main"
    done
}

# Servers and programs only; what is made appears under its name when it is whole.
versions_build() {
    local source made
    source=$(echo "$2/source-$1"/postgresql-*/)
    made=$2/$1.new
    rm -rf "$made"
    cd "$source" || return 1
    ./configure -q --prefix="$2/$1" --without-readline --without-zlib --without-icu CFLAGS="-O2 -g0" &&
        nice make -s -j"$(nproc)" && nice make -s install DESTDIR="$made" || return 1
    cd "$2" || return 1
    rm -rf "${2:?}/$1"
    mv "$made$2/$1" "$2/$1" && rm -rf "$made" "$2/source-$1"
}
