/** The page of examples/web in Chromium, as a user has it; `make web` puts it into build/web. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { Page } from "playwright-core";
import { browsing, serving, unready } from "./chromium.js";
import { KITS } from "./support.js";
import { draw, idle, shown, teach } from "./teaching.js";

const SITE = process.env.SPARCL_SITE ?? join(KITS, "../../web");
const missing = unready || (existsSync(join(SITE, "index.html")) ? false : `${SITE} is not built; make web does it`);

/** The page in a browser; every request goes to its own server, and nothing fails in it. */
async function visiting(use: (page: Page) => Promise<void>): Promise<void> {
  const strange: string[] = [];
  await serving({ site: SITE }, (url) =>
    browsing(async (page) => {
      page.on("request", (request) => {
        if (!request.url().startsWith(url) && !request.url().startsWith("data:")) strange.push(request.url());
      });
      page.on("pageerror", (error) => strange.push(String(error)));
      await page.goto(`${url}/site/index.html`);
      await idle(page);
      await use(page);
      assert.equal(await page.locator("#failure").textContent(), "");
    }),
  );
  assert.deepEqual(strange, []);
}

/** Draw a symbol, and wait until the page takes it for this one; each of its lines asks again. */
async function recognised(page: Page, name: string): Promise<void> {
  await page.locator("#clear").click();
  await draw(page, name, 1);
  await page.locator("#guess", { hasText: `Looks like ${name} ` }).waitFor();
}

test(
  "three symbols are learnt over a reload, none is forgotten, and plain fine-tuning forgets",
  { skip: missing },
  () =>
    visiting(async (page) => {
      await teach(page, "circle");
      await teach(page, "cross");
      const before = await shown(page);
      assert.deepEqual(Object.keys(before), ["circle", "cross"]);
      await page.reload();
      await idle(page);
      assert.deepEqual(await shown(page), before);
      await teach(page, "zigzag");
      const after = await shown(page);
      assert.deepEqual(Object.keys(after), ["circle", "cross", "zigzag"]);
      for (const [name, accuracy] of Object.entries(after)) assert.ok(accuracy >= 66, `${name} ${accuracy}`);
      for (const name of ["circle", "cross", "zigzag"]) await recognised(page, name);
      assert.equal(await page.locator("#sparsity").textContent(), "80 %");
      assert.match((await page.locator("#flops").textContent()) ?? "", /^\d+\.\d of \d+\.\d GFLOP$/);
      assert.match((await page.locator("#legend").textContent()) ?? "", /^922 of 4608 weights are kept/);
      await page.locator("#plain").click();
      await page.locator("#way", { hasText: "Plain" }).waitFor();
      await idle(page);
      assert.deepEqual(await shown(page), { circle: 0, cross: 0, zigzag: 100 });
      assert.equal(await page.locator("#forgetting").textContent(), "100 points");
    }),
);

test("the page goes on while it learns, and learning can be stopped and taken up again", { skip: missing }, () =>
  visiting(async (page) => {
    await teach(page, "circle");
    await page.evaluate(() => {
      const seen = { frames: 0 };
      Object.assign(window, { seen });
      const frame = () => {
        if (!document.querySelector("#learning")?.hasAttribute("hidden")) seen.frames += 1;
        requestAnimationFrame(frame);
      };
      frame();
    });
    for (let hand = 0; hand < 4; hand++) {
      await draw(page, "cross", hand);
      await page.locator("#keep").click();
    }
    await page.locator("#name").fill("cross");
    await page.locator("#name").press("Enter");
    await page.locator("#learning").waitFor();
    await page.locator("#stop").click();
    await idle(page);
    const frames = await page.evaluate(() => (window as unknown as { seen: { frames: number } }).seen.frames);
    assert.ok(frames > 5, `${frames} frames while it learnt`);
    await page.reload();
    await idle(page);
    assert.deepEqual(await shown(page), { circle: 100, cross: 100 });
  }),
);

test(
  "a symbol is drawn, kept, named and learnt by keyboard alone, and everything can be forgotten",
  { skip: missing },
  () =>
    visiting(async (page) => {
      const press = async (...keys: readonly string[]) => {
        for (const key of keys) await page.keyboard.press(key);
      };
      const walk = (key: string, times: number) => press(...new Array<string>(times).fill(key));
      await page.locator("#pad").focus();
      for (const side of [6, 7, 8]) {
        await press(" ");
        for (const arrow of ["ArrowRight", "ArrowDown", "ArrowLeft", "ArrowUp"]) await walk(arrow, side);
        await press(" ", "Enter");
      }
      assert.equal(await page.locator("#kept li").count(), 3);
      await press("Tab", "Tab", "Tab", "Tab", "Tab", "Tab");
      await page.keyboard.type("box");
      await press("Enter");
      await page.locator("#bars li").waitFor();
      await idle(page);
      assert.deepEqual(await shown(page), { box: 100 });
      await page.locator("#forget").focus();
      await press("Enter", "Tab", "Enter");
      await page.locator("#bars li").waitFor({ state: "detached" });
      await page.reload();
      await idle(page);
      assert.deepEqual(await shown(page), {});
    }),
);
