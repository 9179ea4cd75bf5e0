/** The modules of ONNX Runtime that the tests run on. */
import type { Ort } from "../src/tensors.js";

/** Load a package by name; the browser's one computes in WebAssembly, here under Node. */
export async function loaded(name: string): Promise<Ort> {
  const module = await import(name);
  const ort: Ort = module.default ?? module;
  ort.env.logLevel = "fatal";
  ort.env.wasm.numThreads = 1;
  return ort;
}
