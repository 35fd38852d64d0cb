#!/bin/sh
# Installs the Debian packages that are missing for the kinds named: build, test, dev, fuzz.
# Does nothing and needs no network when all is there.
set -eu
build='build-essential pkg-config libgit2-dev libmicrohttpd-dev libcurl4-openssl-dev libcjson-dev
libsodium-dev libssl-dev libssh2-1-dev libyaml-dev zlib1g-dev git python3 openssl'
test='libcmocka-dev python3-pytest python3-yaml openssh-server openssh-client nginx-light fcgiwrap
age ansible-core gnupg gpgv curl iproute2 procps faketime'
fuzz='clang libclang-rt-dev'
dev='clang clang-format shellcheck wrk webhook mandoc'
wanted=''
for kind in "$@"; do
	eval "wanted=\"\$wanted \$$kind\""
done
missing=''
for package in $wanted; do
	state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
	[ "$state" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
sudo=''
[ "$(id -u)" = 0 ] || sudo=sudo
echo "installing:$missing"
export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086 # words are package names
$sudo apt-get update -qq
# shellcheck disable=SC2086
$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
