// Opens a page in Chromium, waits until its graphs are laid out, and prints the document: node drawn.mjs CHROMIUM URL
import { createRequire } from "node:module";

const { chromium } = createRequire(new URL("../../runtime/js/package.json", import.meta.url))("playwright-core");
const [executablePath, url] = process.argv.slice(2);
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
const page = await browser.newPage({ viewport: { width: 390, height: 844 } });
const faults = [];
page.on("pageerror", (error) => faults.push(error.message));
page.on("console", (line) => line.type() === "error" && faults.push(line.text()));
page.on("request", (request) => /^(file|data|blob):/.test(request.url()) || faults.push(request.url()));
await page.goto(url);
await page.waitForFunction(() => [...document.querySelectorAll(".message")].every((one) => !one.textContent));
const wider = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
if (wider > 0) faults.push(`the page is ${wider} pixels wider than a phone`);
console.log(await page.evaluate(() => document.getElementById("page").outerHTML));
await browser.close();
if (faults.length) {
  console.error(faults.join("\n"));
  process.exit(1);
}
