#!/bin/sh
# Looks for new inputs with Clang's libFuzzer, and keeps what it finds in build-fuzz/found/.
# usage: tests/fuzz/run.sh [TARGET] (a format such as yaml; all without it), SECONDS_EACH=60
set -eu
cd "$(dirname "$0")/../.."
seconds=${SECONDS_EACH:-60}
build=build-fuzz
command -v clang >/dev/null || { echo 'make fuzz needs clang' >&2; exit 1; }

make --no-print-directory -j"$(nproc)" CC=clang BUILD=$build SAN=fuzzer-no-link,address,undefined \
	CFLAGS='-O1 -g' $build/libaviary.a
flags="-std=gnu17 -D_GNU_SOURCE -I. -O1 -g -fsanitize=fuzzer,address,undefined"
libraries='libgit2 libmicrohttpd libcurl libcjson libsodium libcrypto libssh2 yaml-0.1'

fuzz() {
	program=$build/fuzz_$1
	found=$build/found/$1
	mkdir -p "$found"
	# shellcheck disable=SC2046,SC2086 # words are flags
	clang $flags $(pkg-config --cflags $libraries) -o "$program" "tests/fuzz/fuzz_$1.c" \
		$build/libaviary.a $(pkg-config --libs $libraries) -lz -lpthread -lm
	echo "fuzz_$1: $seconds s"
	"$program" -max_total_time="$seconds" -print_final_stats=1 -artifact_prefix="$found/" \
		"$found" "tests/fuzz/corpus/$1" 2>&1 | grep -E 'stat::|ERROR|SUMMARY|Test unit' || true
	if ls "$found"/crash-* "$found"/leak-* "$found"/timeout-* "$found"/oom-* >/dev/null 2>&1; then
		echo "fuzz_$1: see $found" >&2
		exit 1
	fi
}

if [ $# -gt 0 ]; then
	[ -f "tests/fuzz/fuzz_$1.c" ] || { echo "there is no tests/fuzz/fuzz_$1.c" >&2; exit 2; }
	fuzz "$1"
else
	for source in tests/fuzz/fuzz_*.c; do
		name=${source#tests/fuzz/fuzz_}
		fuzz "${name%.c}"
	done
fi
