#!/bin/sh
# Puts the page, the driver, ONNX Runtime and two compiled models into one folder: sh examples/web/build.sh FOLDER COMPILE...
# COMPILE is the command sparcl-compile, as it is called here.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
to=$1
shift
js=$here/../../runtime/js
ort=$js/node_modules/onnxruntime-web/dist
mkdir -p "$to/ort"
cp "$here/index.html" "$here/style.css" "$to/"
cp "$ort/ort.wasm.bundle.min.mjs" "$ort/ort-wasm-simd-threaded.mjs" "$ort/ort-wasm-simd-threaded.wasm" "$to/ort/"
node "$js/node_modules/typescript/bin/tsc" -p "$here/tsconfig.json" --outDir "$to/js"
compiled() { # NAME OPTIONS...
  name=$1
  shift
  test "$to/$name.sparcl/manifest.json" -nt "$here/symbols.onnx" || "$@" "$here/symbols.onnx" -o "$to/$name.sparcl" --target ort --data-removal 0
}
compiled taught "$@" --sparsity 0.8 --replay er --replay-batches merged
compiled plain "$@" --sparsity 0 --gradient-sparsity 0 --replay none
