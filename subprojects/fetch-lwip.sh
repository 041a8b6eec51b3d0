#!/bin/sh
# Put lwIP 2.2.1's sources at subprojects/lwip, unless they are there already.
#
# Debian's source package first (suite trixie, its security patches applied), through a temporary list
# of sources derived from this machine's own apt configuration; nothing is written to /etc. Where apt has
# no such sources, meson's wrap (lwip.wrap) is the other way: the build then downloads them.
# Both must give the same src/core: packagefiles/lwip/lwip.sha256 lists what this project was built and
# tested with, lwip-debian.sha256 the few files that Debian's patches touch (security fixes: kept applied).
set -eu

here=$(cd "$(dirname "$0")" && pwd)
target=$here/lwip
suite=trixie
orig_sha256=83729c274c499d3348e9fbbe043a3113f3fa8953e7efddc7c21c7fcbb1f2b7b1

say() { printf 'lwip: %s\n' "$*" >&2; }

install_tree() { # from an unpacked source directory
    rm -rf "$target.new"
    mkdir "$target.new"
    cp -R "$1/src" "$target.new/src"
    cp "$1/COPYING" "$target.new/" 2>/dev/null || true
    cp "$here/packagefiles/lwip/meson.build" "$target.new/"
    for list in lwip.sha256 lwip-debian.sha256; do
        (cd "$target.new" && sha256sum --quiet --strict -c "$here/packagefiles/lwip/$list") || {
            say "the sources differ from packagefiles/lwip/$list; refusing them"
            exit 1
        }
    done
    rm -rf "$target"
    mv "$target.new" "$target"
}

# One-line and deb822 lists alike: the archive's base address of the first entry that carries Debian's main.
archive_address() {
    cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources 2>/dev/null |
        awk '
            /^[ \t]*#/ { next }
            /^deb / { for (i = 2; i <= NF; i++) if ($i ~ /^(https?|file|mirror|cdrom):/) {
                          if ($(i + 2) == "main" && $i ~ /debian\/?$/) { print $i; exit } break } }
            /^URIs:/ { uri = $2 }
            /^Components:/ { if ($2 == "main" && uri ~ /debian\/?$/) { print uri; exit } }'
}

from_debian() {
    address=$(archive_address)
    [ -n "$address" ] || { say "apt has no Debian archive configured"; return 1; }
    keyring=/usr/share/keyrings/debian-archive-keyring.gpg
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    # apt drops privileges to _apt for downloads: it must be able to enter and write here.
    mkdir -p "$work/lists/partial" "$work/archives/partial" "$work/source"
    chmod 755 "$work"
    chown -R _apt "$work/lists" "$work/archives" "$work/source" 2>/dev/null || true
    printf 'Types: deb-src\nURIs: %s\nSuites: %s\nComponents: main\nSigned-By: %s\n' \
        "$address" "$suite" "$keyring" >"$work/trixie.sources"
    set -- -o Dir::Etc::sourcelist="$work/trixie.sources" -o Dir::Etc::sourceparts=- \
        -o Dir::State::lists="$work/lists" -o Dir::Cache::archives="$work/archives" \
        -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= -o APT::Get::List-Cleanup=0
    apt-get "$@" -qq update || return 1
    (cd "$work/source" && apt-get "$@" -qq source --only-source lwip >&2) || return 1
    echo "$orig_sha256  $(ls "$work"/source/lwip_2.2.1+dfsg1.orig.tar.*)" | sha256sum --quiet -c - || {
        say "the upstream tarball is not the one expected; refusing it"
        exit 1
    }
    install_tree "$work"/source/lwip-2.2.1+dfsg1
}

if [ -f "$target/src/core/tcp.c" ]; then
    exit 0
fi
if from_debian; then
    say "2.2.1 from Debian's source package"
else
    say "Debian's source package cannot be had here; meson will use lwip.wrap"
fi
