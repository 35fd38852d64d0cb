#!/bin/sh
# Writes the man pages of a build into BUILD/man and, where mandoc is installed, checks them.
# usage: tests/lib/man.sh BUILD
set -eu

build=$1
mkdir -p "$build/man"
for page in aviary.1 aviary-secrets.1 aviary.yaml.5 fleet.yaml.5; do
	"$build/aviary" man "${page%.*}" >"$build/man/$page"
	if command -v mandoc >/dev/null; then
		# Ours refer to each other and are not installed yet.
		problems=$(mandoc -Tlint "$build/man/$page" | grep -v 'referenced manual not found' || true)
		if [ -n "$problems" ]; then
			printf '%s\n' "$problems" >&2
			exit 1
		fi
	fi
done
