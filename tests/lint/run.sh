#!/bin/sh
# Everything that `make lint` counts. One line per finding, `file:line: what`; exit status 1 if any.
set -u
cd "$(dirname "$0")/../.." || exit 1
failed=0

# Debian's version decides; another one breaks lines at other places.
check_format() {
	command -v clang-format >/dev/null || { echo 'skipped: clang-format is not installed'; return; }
	version=$(clang-format --version | sed 's/.*version \([0-9]*\).*/\1/')
	[ "$version" = 14 ] || { echo "skipped: clang-format $version, the format is that of 14"; return; }
	git ls-files -z '*.c' '*.h' | xargs -0 clang-format --dry-run --Werror 2>&1 |
		sed -n 's/^\([^:]*:[0-9]*\):[0-9]*: error: .*/\1: not formatted, see `make format`/p' | sort -u -t: -k1,2
}

# A script that breaks must not look like one that found nothing.
run_check() {
	check=$1
	shift
	python3 "tests/lint/$check.py" "$@" || [ $? = 3 ] || echo "tests/lint/$check.py:1: broke"
}

report() {
	[ -z "$2" ] || printf '%s\n' "$2"
	case $2 in '' | skipped:*) return ;; esac
	failed=1
	printf '%s: %s\n' "$1" "$(printf '%s\n' "$2" | wc -l) found" >&2
}

flags=$(pkg-config --cflags libgit2 libmicrohttpd libcurl libcjson libsodium libcrypto libssh2 yaml-0.1 cmocka)
report format "$(check_format)"
for check in layers banned sizes words; do
	report "$check" "$(run_check "$check")"
done
# shellcheck disable=SC2086 # words are flags
report headers "$(run_check headers $flags)"
[ "$failed" = 0 ] && echo 'lint: nothing found'
exit "$failed"
