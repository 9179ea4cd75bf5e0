/** Drives the page of examples/web as a user does. */
import type { Page } from "playwright-core";

type Point = readonly [number, number];
type Line = readonly Point[];

const around = (corners: number, turned: number): Line =>
  Array.from({ length: corners + 1 }, (_, corner) => {
    const angle = (2 * Math.PI * corner) / corners + turned;
    return [Math.cos(angle), Math.sin(angle)];
  });

/** Lines in a square from -1 to 1. */
export const SYMBOLS: Readonly<Record<string, readonly Line[]>> = {
  circle: [around(24, 0)],
  cross: [
    [
      [-1, -1],
      [1, 1],
    ],
    [
      [-1, 1],
      [1, -1],
    ],
  ],
  triangle: [around(3, -Math.PI / 2)],
  bars: [
    [
      [-0.7, -1],
      [-0.7, 1],
    ],
    [
      [0.7, -1],
      [0.7, 1],
    ],
  ],
  zigzag: [
    [
      [-1, 0.5],
      [-0.5, -0.5],
      [0, 0.5],
      [0.5, -0.5],
      [1, 0.5],
    ],
  ],
};

/** Scale, shift and slant of the drawings of one symbol. */
const HANDS = [
  [1, 0, 0, 0],
  [0.85, 0.1, -0.05, 0.1],
  [0.9, -0.1, 0.1, -0.1],
  [0.95, 0.05, 0.05, 0.15],
] as const;

/** Draw a symbol with the mouse, in one of several hands. */
export async function draw(page: Page, name: string, hand = 0): Promise<void> {
  await page.locator("#pad").scrollIntoViewIfNeeded();
  const box = await page.locator("#pad").boundingBox();
  if (!box) throw new Error("there is no pad");
  const [scale, right, down, slant] = HANDS[hand % HANDS.length] ?? HANDS[0];
  const at = ([x, y]: Point): Point => [
    box.x + box.width * (0.5 + 0.32 * scale * (x + slant * y) + 0.5 * right),
    box.y + box.height * (0.5 + 0.32 * scale * y + 0.5 * down),
  ];
  for (const [first, ...rest] of SYMBOLS[name] ?? []) {
    await page.mouse.move(...at(first as Point));
    await page.mouse.down();
    for (const point of rest) await page.mouse.move(...at(point), { steps: 3 });
    await page.mouse.up();
  }
}

/** Wait until nothing is learnt any more. */
export async function idle(page: Page): Promise<void> {
  await page.locator("body[data-busy=false]").waitFor({ timeout: 120_000 });
}

/** Show a symbol four times, name it, and have it learnt. */
export async function teach(page: Page, name: string): Promise<void> {
  for (let hand = 0; hand < HANDS.length; hand++) {
    await draw(page, name, hand);
    await page.locator("#keep").click();
  }
  await page.locator("#name").fill(name);
  await page.locator("#learn").click();
  await idle(page);
}

/** The accuracies that the page shows, in percent by class. */
export async function shown(page: Page): Promise<Record<string, number>> {
  const rows = await page.locator("#bars li").all();
  const pairs = rows.map(async (row) => [
    await row.getAttribute("data-class"),
    Number.parseInt((await row.locator(".number").textContent()) ?? "", 10),
  ]);
  return Object.fromEntries(await Promise.all(pairs));
}
