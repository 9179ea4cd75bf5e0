/** What is known, as pictures: a bar for each class, lines over the steps, a layer's mask. */
import type { Mask, Point } from "./messages.js";

const SVG = "http://www.w3.org/2000/svg";
const HEIGHT = 180;
const PERCENT = [0, 50, 100];

/** The colour of a class, from the page's style. */
export const colour = (place: number) => `var(--class-${place % 10})`;

function element(name: string, attributes: Readonly<Record<string, string | number>>, text = ""): SVGElement {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, String(value));
  made.textContent = text;
  return made;
}

/** The accuracy of each class now, as a list. */
export function bars(list: HTMLElement, classes: readonly string[], point: Point | undefined): void {
  list.replaceChildren(
    ...classes.map((name, place) => {
      const accuracy = point?.byClass[name];
      const row = document.createElement("li");
      const label = document.createElement("span");
      const meter = document.createElement("span");
      const number = document.createElement("span");
      row.dataset.class = name;
      label.textContent = name;
      number.textContent = accuracy === undefined || Number.isNaN(accuracy) ? "–" : `${Math.round(accuracy)} %`;
      [label.className, meter.className, number.className] = ["label", "meter", "number"];
      meter.style.setProperty("--share", `${accuracy || 0}%`);
      meter.style.setProperty("--colour", colour(place));
      row.append(label, meter, number);
      return row;
    }),
  );
}

/** A line for each class over the steps; a dotted one where a class was new. */
export function lines(svg: SVGElement, classes: readonly string[], points: readonly Point[]): void {
  const width = svg.clientWidth || 600;
  const steps = Math.max(1, points.at(-1)?.step ?? 1);
  const x = (step: number) => 34 + ((width - 44) * step) / steps;
  const y = (accuracy: number) => 10 + ((HEIGHT - 30) * (100 - accuracy)) / 100;
  const grid = PERCENT.flatMap((percent) => [
    element("line", { x1: 34, x2: width - 10, y1: y(percent), y2: y(percent), class: "grid" }),
    element("text", { x: 28, y: y(percent) + 4, class: "axis", "text-anchor": "end" }, String(percent)),
  ]);
  const begins = points
    .filter((point) => point.begins)
    .map(({ step }) => element("line", { x1: x(step), x2: x(step), y1: y(100), y2: y(0), class: "begins" }));
  const paths = classes.map((name, place) => {
    const known = points.filter(({ byClass }) => !Number.isNaN(byClass[name] ?? Number.NaN));
    const d = known.map(
      ({ step, byClass }, at) => `${at ? "L" : "M"}${x(step).toFixed(1)} ${y(byClass[name] ?? 0).toFixed(1)}`,
    );
    return element("path", { d: d.join("") || "M0 0", class: "line", style: `stroke:${colour(place)}` });
  });
  const caption = element(
    "text",
    { x: width - 10, y: HEIGHT - 4, class: "axis", "text-anchor": "end" },
    `${steps} steps`,
  );
  svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
  svg.replaceChildren(...grid, ...begins, ...paths, caption);
}

/** A mask: kernels as tiles, input channels down and output channels across; what grew since the last look in another colour. */
export function mask(canvas: HTMLCanvasElement, { shape, kept }: Mask, before: Uint8Array | undefined): void {
  const [outs = 1, ins = 1, rows = 1, columns = 1] = shape;
  canvas.width = outs * (columns + 1) + 1;
  canvas.height = ins * (rows + 1) + 1;
  const context = canvas.getContext("2d") as CanvasRenderingContext2D;
  const [none, own, grown] = ["none", "kept", "grown"].map((name) => {
    canvas.style.color = `var(--mask-${name})`;
    return getComputedStyle(canvas).color;
  });
  for (let place = 0; place < kept.length; place++) {
    const [column, row] = [place % columns, Math.floor(place / columns) % rows];
    const [into, out] = [Math.floor(place / (columns * rows)) % ins, Math.floor(place / (columns * rows * ins))];
    const fresh = before !== undefined && !before[place];
    context.fillStyle = (kept[place] ? (fresh ? grown : own) : none) ?? "#000";
    context.fillRect(1 + out * (columns + 1) + column, 1 + into * (rows + 1) + row, 1, 1);
  }
}

/** How far the classes before the last one have fallen from their best, in points. */
export function forgetting(classes: readonly string[], points: readonly Point[]): number | null {
  const earlier = classes.slice(0, -1);
  const last = points.at(-1);
  if (!earlier.length || !last) return null;
  const falls = earlier.map((name) => {
    const all = points.map(({ byClass }) => byClass[name] ?? Number.NaN).filter((one) => !Number.isNaN(one));
    return Math.max(...all) - (last.byClass[name] ?? 0);
  });
  return falls.reduce((one, other) => one + other) / falls.length;
}
