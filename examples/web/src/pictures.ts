/** Pictures as the network takes them, each with others that are slightly turned, moved and scaled. */
import type { Pictures } from "./messages.js";

const SIZE = 32;
/** Pixels of a copy half-way, since a picture that shrinks at once loses lines. */
const HALF = 128;
/** Angle in radians, scale, and shifts in shares of the picture. */
const VARIANTS = [
  [0, 1, 0, 0],
  [0.18, 0.95, 0.05, -0.03],
  [-0.18, 1.05, -0.05, 0.04],
  [0.08, 0.85, -0.06, -0.05],
  [-0.1, 0.9, 0.06, 0.06],
  [0.02, 1.12, 0.02, -0.06],
] as const;

export type Source = CanvasImageSource;

/** A picture of the square in the middle of a source, whose lengths are given. */
export function picture(source: Source, width: number, height: number): Pictures {
  return { data: pixels(source, width, height, VARIANTS[0]), count: 1 };
}

/** The pictures of a source and its variants. */
export function variants(source: Source, width: number, height: number): Pictures {
  return joined(VARIANTS.map((variant) => ({ data: pixels(source, width, height, variant), count: 1 })));
}

export function joined(all: readonly Pictures[]): Pictures {
  const data = new Uint8Array(all.reduce((length, one) => length + one.data.length, 0));
  let place = 0;
  for (const one of all) {
    data.set(one.data, place);
    place += one.data.length;
  }
  return { data, count: all.reduce((sum, { count }) => sum + count, 0) };
}

function pixels(
  source: Source,
  width: number,
  height: number,
  variant: readonly [number, number, number, number],
): Uint8Array {
  const [angle, scale, right, down] = variant;
  const large = canvas(HALF);
  large.translate(HALF * (0.5 + right), HALF * (0.5 + down));
  large.rotate(angle);
  large.scale(scale, scale);
  const side = Math.min(width, height);
  large.drawImage(source, (width - side) / 2, (height - side) / 2, side, side, -HALF / 2, -HALF / 2, HALF, HALF);
  const small = canvas(SIZE);
  small.drawImage(large.canvas, 0, 0, SIZE, SIZE);
  const { data } = small.getImageData(0, 0, SIZE, SIZE);
  return Uint8Array.from({ length: 3 * SIZE * SIZE }, (_, place) => {
    const channel = Math.floor(place / (SIZE * SIZE));
    return data[4 * (place % (SIZE * SIZE)) + channel] ?? 0;
  });
}

function canvas(size: number): CanvasRenderingContext2D {
  const made = document.createElement("canvas");
  made.width = made.height = size;
  const context = made.getContext("2d", { willReadFrequently: true }) as CanvasRenderingContext2D;
  Object.assign(context, { fillStyle: "#fff", imageSmoothingQuality: "high" });
  context.fillRect(0, 0, size, size);
  return context;
}
