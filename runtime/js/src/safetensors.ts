/** The files of a state (docs/learner.md): texts and tensors, with a checksum of the whole file inside. */
import { sha256 } from "./sha256.js";
import { fromBytes, type Numbers } from "./tensors.js";

/** A tensor in a file. */
export interface Stored {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly data: Numbers;
}

export interface Content {
  readonly tensors: ReadonlyMap<string, Stored>;
  readonly texts: Readonly<Record<string, string>>;
}

interface Entry {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly data_offsets: readonly [number, number];
}

const TYPES = { F32: "float32", F64: "float64", I32: "int32", I64: "int64", U8: "uint8", BOOL: "bool" };
const NAMES = Object.fromEntries(Object.entries(TYPES).map(([short, long]) => [long, short]));
const TEXTS = "__metadata__";
/** The header's length, a little-endian integer of so many bytes; the header with it is a multiple of it long. */
const LENGTH = 8;
const SUM = '"sha256":"';
const UNKNOWN = "0".repeat(64);

/** The tensors and texts of a file; throws where it is damaged. */
export function parsed(bytes: Uint8Array): Content {
  const begin = LENGTH + Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
  const { [TEXTS]: texts, ...entries } = JSON.parse(new TextDecoder().decode(bytes.subarray(LENGTH, begin)));
  const tensors = new Map<string, Stored>();
  for (const [name, { dtype, shape, data_offsets }] of Object.entries(entries as Record<string, Entry>)) {
    const type = TYPES[dtype as keyof typeof TYPES];
    const data = fromBytes(type, bytes.subarray(begin + data_offsets[0], begin + data_offsets[1]));
    if (data.length !== shape.reduce((one, other) => one * other, 1)) throw new RangeError(`${name} is not whole`);
    tensors.set(name, { dtype: type, shape, data });
  }
  return { tensors, texts: texts ?? {} };
}

/** The bytes of a file with these tensors and texts, and the checksum among them. */
export async function sealed({ tensors, texts }: Content): Promise<Uint8Array> {
  const header: Record<string, unknown> = { [TEXTS]: { ...texts, sha256: UNKNOWN } };
  let end = 0;
  for (const [name, { dtype, shape, data }] of tensors) {
    header[name] = { dtype: NAMES[dtype], shape, data_offsets: [end, end + data.byteLength] };
    end += data.byteLength;
  }
  const text = new TextEncoder().encode(JSON.stringify(header));
  const begin = LENGTH + Math.ceil(text.length / LENGTH) * LENGTH;
  const bytes = new Uint8Array(begin + end).fill(0x20, LENGTH, begin);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(begin - LENGTH), true);
  bytes.set(text, LENGTH);
  let place = begin;
  for (const { data } of tensors.values()) {
    bytes.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), place);
    place += data.byteLength;
  }
  bytes.set(new TextEncoder().encode(await sha256(bytes)), sumOf(bytes));
  return bytes;
}

/** The content of a sealed file; throws where it is damaged. */
export async function opened(bytes: Uint8Array): Promise<Content> {
  const content = parsed(bytes);
  const blank = new Uint8Array(bytes);
  blank.fill(0x30, sumOf(blank), sumOf(blank) + UNKNOWN.length);
  if ((await sha256(blank)) !== content.texts.sha256) throw new RangeError("its checksum differs");
  return content;
}

/** Where the digits of the checksum begin. */
function sumOf(bytes: Uint8Array): number {
  const header = new TextDecoder("latin1").decode(
    bytes.subarray(0, LENGTH + Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true))),
  );
  return header.indexOf(SUM) + SUM.length;
}
