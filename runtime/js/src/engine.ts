/** Graphs over named state: the one place that calls ONNX Runtime. */
import type { InferenceSession, Tensor } from "onnxruntime-common";
import type { Artifact } from "./artifact.js";
import { ArtifactError, StateError } from "./errors.js";
import type { Dimension, GraphSpec, Manifest, SampleType, StateSpec } from "./manifest.js";
import type { Stored } from "./safetensors.js";
import { type DType, type Numbers, type Ort, product, zeros } from "./tensors.js";

/** The type of sums over raw samples by the samples' own. */
const SUMS = { uint8: "int64", float32: "float64" } as const;
/** First values that are the same everywhere and not 0. */
const FILLED: Readonly<Record<string, number>> = { ones: 1, nan: Number.NaN };
const COPY = "copy:";
/** The role of state that may be large, and of which a step changes a few rows. */
const BUFFER = "buffer";

/** What only a run knows: the type of the raw samples, and lengths by the names that the manifest gives them. */
export interface Sizes {
  sample: SampleType;
  readonly dimensions: Record<string, number>;
}

export class Engine {
  /** Every state tensor by name. None but the buffer is ever written to: a graph's result takes its place. */
  readonly state = new Map<string, Tensor>();
  private readonly specs: ReadonlyMap<string, StateSpec>;
  private readonly sessions = new Map<string, InferenceSession>();

  constructor(
    private readonly ort: Ort,
    private readonly artifact: Artifact,
    readonly sizes: Sizes,
    private readonly options: InferenceSession.SessionOptions,
  ) {
    this.specs = new Map(artifact.manifest.state.map((spec) => [spec.name, spec]));
  }

  get manifest(): Manifest {
    return this.artifact.manifest;
  }

  graph(name: string): GraphSpec {
    const found = this.manifest.graphs[name];
    if (!found) throw new ArtifactError(`the artifact has no graph ${name}; compile the model again`);
    return found;
  }

  /** The type of elements that the manifest's name stands for. */
  type(name: string): DType {
    if (name === "sample") return this.sizes.sample;
    return name === "sum" ? SUMS[this.sizes.sample] : (name as DType);
  }

  tensor(dtype: string, data: Numbers, dims: readonly number[]): Tensor {
    return new this.ort.Tensor(this.type(dtype), data as never, dims);
  }

  /** Put every state tensor whose lengths are known to its first value. */
  async resetAll(): Promise<void> {
    this.state.clear();
    for (const [name, { dtype, data, shape }] of await this.artifact.firstValues())
      this.state.set(name, this.tensor(dtype, data, shape));
    const known = (spec: StateSpec) =>
      spec.shape.every((length) => typeof length === "number" || length in this.sizes.dimensions);
    this.reset([...this.specs.values()].filter((spec) => known(spec) && spec.init !== "file").map((spec) => spec.name));
  }

  /** Put some state tensors to their first values, in the lengths that hold now. */
  reset(names: readonly string[]): void {
    for (const name of names) this.state.set(name, this.first(name));
  }

  private first(name: string): Tensor {
    const { init, shape, dtype } = this.spec(name);
    if (init.startsWith(COPY)) return this.held(init.slice(COPY.length));
    const lengths = shape.map((length) => this.sizes.dimensions[length] ?? Number(length));
    const data = zeros(this.type(dtype), product(lengths));
    const value = FILLED[init];
    if (value !== undefined && !(data instanceof BigInt64Array)) data.fill(value);
    return this.tensor(dtype, data, lengths);
  }

  /** Take over a tensor from a file; throws a StateError where it is not what the manifest says, but for `free` lengths. */
  restore(name: string, { dtype, shape, data }: Stored, free: readonly string[]): void {
    const spec = this.spec(name);
    const fits = (length: Dimension, axis: number) =>
      free.includes(length as string) || shape[axis] === (this.sizes.dimensions[length] ?? length);
    if (dtype !== this.type(spec.dtype) || shape.length !== spec.shape.length || !spec.shape.every(fits))
      throw new StateError(
        `the state is damaged (${name} is ${dtype} ${shape.join("x")}); give another folder as state`,
      );
    this.state.set(name, this.tensor(dtype, data, shape));
  }

  private spec(name: string): StateSpec {
    const found = this.specs.get(name);
    if (!found) throw new ArtifactError(`the artifact has no state ${name}; compile the model again`);
    return found;
  }

  /** A state tensor. */
  held(name: string): Tensor {
    const found = this.state.get(name);
    if (!found) throw new ArtifactError(`graph input ${name} is neither state nor fed; compile the model again`);
    return found;
  }

  /** The state tensors of a role, in the manifest's order. */
  names(role: string): string[] {
    return this.manifest.state.filter((spec) => spec.role === role).map((spec) => spec.name);
  }

  /**
   * Run a graph and take over the next values of its state.
   *
   * @param feeds every input that is not state
   * @param instead by input the state tensor that takes the place of the one of its name
   * @returns the results by name
   */
  async run(
    name: string,
    feeds: Readonly<Record<string, Tensor>>,
    instead: Readonly<Record<string, string>> = {},
  ): Promise<Record<string, Tensor>> {
    const { inputs, results, updates, in_place } = this.graph(name);
    const source = (input: string) => feeds[input] ?? this.held(instead[input] ?? input);
    const fed = Object.fromEntries(inputs.map((one) => [one.name, source(one.name)]));
    const place = (output: string, state: string) => [output, in_place.includes(state) ? this.place(state) : null];
    const places = Object.fromEntries(Object.entries(updates).map(([output, state]) => place(output, state)));
    const wanted = { ...Object.fromEntries(results.map((result) => [result, null])), ...places };
    const found = await (await this.session(name)).run(fed, wanted);
    const value = (output: string) => found[output] as Tensor;
    for (const [output, held] of Object.entries(updates))
      if (!places[output]) this.state.set(instead[held] ?? held, value(output));
    return Object.fromEntries(results.map((result) => [result, value(result)]));
  }

  /** Memory for a next value: that of a buffer itself, where ONNX Runtime takes it; a browser's copies all it is given. */
  private place(name: string): Tensor | null {
    return this.ort.env.versions.node && this.specs.get(name)?.role === BUFFER ? this.held(name) : null;
  }

  private async session(name: string): Promise<InferenceSession> {
    const path = this.artifact.path(name, this.sizes.sample);
    const open = this.sessions.get(path);
    if (open) return open;
    const made = await this.ort.InferenceSession.create((await this.artifact.model(path)) as string, this.options);
    this.sessions.set(path, made);
    return made;
  }

  /** Give the sessions back to ONNX Runtime. */
  async release(): Promise<void> {
    for (const session of this.sessions.values()) await session.release();
    this.sessions.clear();
  }
}
