/** Interprets a program: its operations over named values. It knows no method. */
import type { Tensor } from "onnxruntime-common";
import type { Engine } from "./engine.js";
import { TrainingError } from "./errors.js";
import type { InputSpec } from "./manifest.js";
import type { Block, Condition, Operations, Program, Source, TableName, Verb } from "./program.js";
import type { Table, Tables } from "./tables.js";
import { elements, type Numbers, numbers, product } from "./tensors.js";

/** A named value; an integer may be a tensor of one element. */
export type Value = Tensor | number | readonly number[];

/** Called after each graph with its name. */
export type Watch = (graph: string, results: Readonly<Record<string, Tensor>>) => void;

type Verbs = { readonly [V in Verb]: (operation: Operations[V]) => void | Promise<void> };

export class Interpreter {
  readonly values = new Map<string, Value>();
  /** How many events of each kind have run in this task. */
  fired: Record<string, number> = {};
  watch: Watch | undefined;
  private readonly columns: Readonly<Record<string, Readonly<Record<string, string>>>>;

  /** How each verb is run; a test that injects a fault replaces one. */
  readonly verbs: { -readonly [V in Verb]: Verbs[V] } = {
    run: (op) => this.run(op),
    when: (op) => this.block((op.any.some((one) => this.holds(one)) ? op.then : op.otherwise) ?? []),
    each: (op) => this.each(op),
    rows: (op) => this.rows(op),
    slice: (op) => this.slice(op),
    gather: (op) => this.give(op.give, this.table("train").gather(numbers(this.tensor(op.rows)))),
    reset: (op) => this.engine.reset(op.state),
    set: (op) => void this.values.set(op.name, typeof op.to === "string" ? this.integer(op.to) : op.to),
    count: (op) => this.count(op),
    due: (op) => this.due(op),
    fail: (op) => this.fail(op),
    call: (op) => this.call(op.block),
  };

  constructor(
    private readonly engine: Engine,
    private readonly program: Program,
    private readonly tables: Tables,
  ) {
    for (const given of [program.counters, program.vectors]) this.set(given);
    this.forget();
    const column = (to: "g1" | "g2") =>
      Object.fromEntries(engine.manifest.weights.map((weight) => [weight.accumulator, weight[to]]));
    this.columns = { g1: column("g1"), g2: column("g2") };
  }

  /** Forget which events have run: a task begins. */
  forget(): void {
    this.fired = Object.fromEntries(Object.keys(this.program.events).map((kind) => [kind, 0]));
  }

  set(values: Readonly<Record<string, Value>>): void {
    for (const [name, value] of Object.entries(values)) this.values.set(name, value);
  }

  /** Run a block by its name; rejects with a TrainingError where the program fails. */
  call(name: string): Promise<void> {
    const block = this.program.blocks[name];
    if (!block) throw new TrainingError(`the program has no block ${name}; compile the model again`);
    return this.block(block);
  }

  value(name: string): Value {
    const found = this.values.get(name);
    if (found === undefined) throw new TrainingError(`nothing gives '${name}'; compile the model again`);
    return found;
  }

  /** The value of this name as a list of numbers. */
  vector(name: string): readonly number[] {
    const value = this.value(name);
    if (typeof value === "number") return [value];
    return "data" in value ? numbers(value) : value;
  }

  /** The value of this name as a number. */
  integer(name: string): number {
    return this.vector(name)[0] ?? Number.NaN;
  }

  /** The value of this name as a tensor, an integer and a vector of int64. */
  tensor(name: string): Tensor {
    const value = this.value(name);
    return typeof value === "object" && "data" in value ? value : this.made(value, { dtype: "int64", shape: [] });
  }

  private made(value: number | readonly number[], spec: Pick<InputSpec, "dtype" | "shape">): Tensor {
    if (typeof value !== "number")
      return this.engine.tensor(spec.dtype, elements(this.engine.type(spec.dtype), value), [value.length]);
    const lengths = spec.shape.filter((length) => typeof length === "number");
    const filled = new Array<number>(product(lengths)).fill(value);
    return this.engine.tensor(spec.dtype, elements(this.engine.type(spec.dtype), filled), lengths);
  }

  private async block(block: Block): Promise<void> {
    for (const operation of block) {
      const verb = this.verbs[operation.do] as (one: typeof operation) => void | Promise<void>;
      await verb(operation);
    }
  }

  private async run({
    graph,
    take = "",
    feeds = {},
    give = "",
    results = {},
    into = "",
  }: Operations["run"]): Promise<void> {
    const fed: Record<string, Tensor> = {};
    for (const input of this.engine.graph(graph).inputs) {
      const source = feeds[input.name] ?? `${take}.${input.name}`;
      if (input.name in feeds || this.values.has(source as string)) fed[input.name] = this.source(source, input);
    }
    const found = await this.engine.run(graph, fed, this.columns[into]);
    for (const [name, value] of Object.entries(found))
      this.values.set(results[name] ?? (give ? `${give}.${name}` : name), value);
    this.watch?.(graph, found);
  }

  /** The value of a source in the type of the input; a constant without a shape takes the input's. */
  private source(source: Source, input: InputSpec): Tensor {
    const value = typeof source === "string" ? this.value(source) : source;
    if (typeof value === "number") return this.made(value, input);
    if ("data" in value) return value;
    return this.made(
      value.map((part) => (typeof part === "string" ? this.integer(part) : part)),
      input,
    );
  }

  private holds({ value, at_least, every }: Condition): boolean {
    const integer = this.integer(value);
    if (at_least != null) return integer >= at_least;
    return every ? integer % every === 0 : integer !== 0;
  }

  private async each({ name, last, block }: Operations["each"]): Promise<void> {
    for (let number = 0; number <= this.integer(last); number++) {
      this.values.set(name, number);
      await this.block(block);
    }
  }

  private async rows({ table, at_most, give, block }: Operations["rows"]): Promise<void> {
    for (const chunk of this.table(table).chunks(at_most)) {
      this.give(give, chunk);
      await this.block(block);
    }
  }

  private table(name: TableName): Table {
    const found = this.tables[name](name === "data" ? 0 : this.integer(name === "train" ? "task" : "of"));
    if (!found) throw new TrainingError(`there are no samples for the table ${name}`);
    return found;
  }

  private give(prefix: string, fields: Readonly<Record<string, Tensor>>): void {
    for (const [name, value] of Object.entries(fields)) this.values.set(`${prefix}.${name}`, value);
  }

  private slice({ vector, position, count, end, give }: Operations["slice"]): void {
    const start = this.integer(position);
    const stop = Math.min(start + this.integer(count), this.integer(end));
    const data = (this.tensor(vector).data as Numbers).slice(start, stop);
    this.values.set(give, this.engine.tensor("int64", data, [data.length]));
    this.values.set(position, stop);
  }

  private count({ name, add = 1, rows = "" }: Operations["count"]): void {
    const more = rows ? (this.tensor(rows).dims[0] ?? 0) : typeof add === "string" ? this.integer(add) : add;
    this.values.set(name, this.integer(name) + more);
  }

  private async due({ events: kind, block }: Operations["due"]): Promise<void> {
    const when = this.integer("task") === 0 ? "first" : "later";
    const events = (this.program.events[kind] ?? []).filter(({ tasks }) => tasks === when || tasks === "all");
    const [epoch, epochs, done, total] = ["epoch", "epochs", "done", "total"].map((name) => this.integer(name)) as [
      number,
      number,
      number,
      number,
    ];
    for (const event of events.slice(this.fired[kind])) {
      const [numerator, denominator] = event.at;
      if ((epoch * total + done) * denominator < numerator * total * epochs) return;
      this.fired[kind] = (this.fired[kind] ?? 0) + 1;
      for (const [name, fed] of Object.entries(event.feeds))
        this.values.set(`event.${name}`, typeof fed === "string" ? this.value(fed) : fed);
      await this.block(block);
    }
  }

  private fail({ message, of, names = [] }: Operations["fail"]): never {
    const number = this.integer(of);
    throw new TrainingError(message.replace("{}", String(names[number] ?? number)));
  }
}
