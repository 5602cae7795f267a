#!/bin/sh
# Writes src/generated/tflite_generated.rs from tflite.fbs.
#
# Usage: schema/regenerate.sh [path of flatc]
#
# The compiler must be flatc 25.12.19, the version of the `flatbuffers` crate this workspace pins.
# Without a path it is built in a temporary folder from the C++ sources inside the crate `flatc-fork`,
# fetched from crates.io; that needs cargo and a C++17 compiler (CXX, g++ by default), and JOBS (2) at a time.
# No build script of the workspace runs this: the binding is committed.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
version=25.12.19
crate_version=0.6.0
flatc=${1:-}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

if [ -z "$flatc" ]; then
    mkdir -p "$work/fetch/src" "$work/obj"
    : >"$work/fetch/src/lib.rs"
    cat >"$work/fetch/Cargo.toml" <<EOF
[package]
name = "fetch-flatc"
version = "0.0.0"
edition = "2021"
[dependencies]
flatc-fork = "=$crate_version"
[workspace]
EOF
    (cd "$work/fetch" && cargo vendor -q --versioned-dirs vendor >/dev/null)
    sources=$(ls -d "$work"/fetch/vendor/flatc-fork-*/flatbuffers)
    # Every source but the stand-alone hash tool makes up the compiler.
    find "$sources/src" "$sources/grpc/src/compiler" "$sources/include/codegen" -name '*.cpp' -o -name '*.cc' |
        grep -v '/flathash.cpp$' |
        xargs -P "${JOBS:-2}" -I{} sh -c \
            '"${CXX:-g++}" -std=c++17 -O1 -w -I"$1/include" -I"$1/grpc" -I"$1" -c "$2" -o "$3/$(basename "$2").o"' \
            sh "$sources" {} "$work/obj"
    flatc=$work/flatc
    "${CXX:-g++}" "$work"/obj/*.o -o "$flatc"
fi

found=$("$flatc" --version)
[ "$found" = "flatc version $version" ] || {
    echo "regenerate.sh: need flatc $version, got: $found" >&2
    exit 1
}

mkdir -p "$here/src/generated"
"$flatc" --rust --gen-object-api -o "$here/src/generated" "$here/tflite.fbs"

# flatc marks its owned structs and enums non_exhaustive, which would forbid struct literals and full matches in the
# crates of this workspace; the workspace pins the binding, so the mark only stands in the way.
output=$here/src/generated/tflite_generated.rs
sed '/^#\[non_exhaustive\]$/d' "$output" >"$work/binding.rs"
cp "$work/binding.rs" "$output"
