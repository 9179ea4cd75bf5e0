/** Bytes as text, for file systems that know no others: not every runtime of React Native has `btoa`. */

const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const VALUES: ReadonlyMap<string, number> = new Map(Array.from(LETTERS, (letter, value) => [letter, value]));

export function toBase64(bytes: Uint8Array): string {
  const parts: string[] = [];
  for (let at = 0; at < bytes.length; at += 3) {
    const [one = 0, two = 0, three = 0] = bytes.subarray(at, at + 3);
    const word = (one << 16) | (two << 8) | three;
    const letters = [18, 12, 6, 0].map((shift) => LETTERS.charAt((word >> shift) & 63)).join("");
    const given = Math.min(3, bytes.length - at) + 1;
    parts.push(letters.slice(0, given).padEnd(4, "="));
  }
  return parts.join("");
}

/** The bytes in memory of their own; line breaks may stand between the letters. */
export function fromBase64(text: string): Uint8Array {
  const letters = text.replace(/[\s=]/g, "");
  const made = new Uint8Array(Math.floor((letters.length * 3) / 4));
  let [word, bits, at] = [0, 0, 0];
  for (const letter of letters) {
    const value = VALUES.get(letter);
    if (value === undefined) throw new Error(`${letter} is no letter of base64`);
    word = ((word << 6) | value) & 0xffff;
    bits += 6;
    if (bits < 8) continue;
    bits -= 8;
    made[at++] = (word >> bits) & 255;
  }
  return made;
}
