/** SHA-256, by the platform where it has it: pages without a secure context and React Native have none. */

/** The checksum in hexadecimal. */
export async function sha256(bytes: Uint8Array): Promise<string> {
  const subtle = globalThis.crypto?.subtle;
  const digest = subtle ? new Uint8Array(await subtle.digest("SHA-256", bytes as BufferSource)) : computed(bytes);
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** The fractional bits of the roots of the first primes (FIPS 180-4, 4.2.2 and 5.3.3). */
function fraction(root: number): number {
  return ((root - Math.floor(root)) * 2 ** 32) | 0;
}

const PRIMES = Array.from({ length: 312 }, (_, number) => number).filter(
  (number) =>
    number > 1 && !Array.from({ length: number }, (_, one) => one).some((one) => one > 1 && number % one === 0),
);
const ROUNDS = PRIMES.map((prime) => fraction(Math.cbrt(prime)));
const rotated = (word: number, by: number) => (word >>> by) | (word << (32 - by));

/** The digest as FIPS 180-4, 6.2 computes it. */
export function computed(bytes: Uint8Array): Uint8Array {
  const padded = new Uint8Array(Math.ceil((bytes.length + 9) / 64) * 64);
  padded.set(bytes);
  padded[bytes.length] = 0x80;
  const view = new DataView(padded.buffer);
  view.setBigUint64(padded.length - 8, BigInt(bytes.length) * 8n);
  const sums = Int32Array.from(PRIMES.slice(0, 8), (prime) => fraction(Math.sqrt(prime)));
  const words = new Int32Array(64);
  for (let block = 0; block < padded.length; block += 64) round(view, block, words, sums);
  const digest = new DataView(new ArrayBuffer(32));
  sums.forEach((sum, place) => {
    digest.setInt32(place * 4, sum);
  });
  return new Uint8Array(digest.buffer);
}

function round(view: DataView, block: number, words: Int32Array, sums: Int32Array): void {
  for (let t = 0; t < 64; t++) words[t] = t < 16 ? view.getInt32(block + t * 4) : next(words, t);
  let [a, b, c, d, e, f, g, h] = sums as unknown as [number, number, number, number, number, number, number, number];
  for (let t = 0; t < 64; t++) {
    const one =
      (h +
        (rotated(e, 6) ^ rotated(e, 11) ^ rotated(e, 25)) +
        ((e & f) ^ (~e & g)) +
        (ROUNDS[t] ?? 0) +
        (words[t] ?? 0)) |
      0;
    const two = ((rotated(a, 2) ^ rotated(a, 13) ^ rotated(a, 22)) + ((a & b) ^ (a & c) ^ (b & c))) | 0;
    [h, g, f, e, d, c, b, a] = [g, f, e, (d + one) | 0, c, b, a, (one + two) | 0];
  }
  [a, b, c, d, e, f, g, h].forEach((word, place) => {
    sums[place] = (sums[place] ?? 0) + word;
  });
}

function next(words: Int32Array, t: number): number {
  const [late, early] = [words[t - 2] ?? 0, words[t - 15] ?? 0];
  const one = rotated(late, 17) ^ rotated(late, 19) ^ (late >>> 10);
  const two = rotated(early, 7) ^ rotated(early, 18) ^ (early >>> 3);
  return (one + (words[t - 7] ?? 0) + two + (words[t - 16] ?? 0)) | 0;
}
