#!/bin/bash -eu
#
# What OSS-Fuzz and ClusterFuzzLite run, with $CC, $CFLAGS, $CXX, $CXXFLAGS,
# $LIB_FUZZING_ENGINE and $OUT set; fuzz/build knows these.  Left out are "empty",
# which only measures an engine, and the targets on our own driver, whose libraries
# cannot all be linked statically.

cd "$(dirname "$0")/.."
[ -x fuzz/build ] || cd "${SRC:?}/smtpdtest"

daemon=${FUZZ_TARGET:-src:$SRC/opensmtpd}
names=
for name in $(fuzz/build --list --target "$daemon"); do
	[ "$name" != empty ] || continue
	! grep -q '^ \* fuzz-harness:' "fuzz/$name.c" || continue
	names="$names $name"
done
fuzz/build --target "$daemon" $names
