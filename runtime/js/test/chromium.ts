/** Pages in a headless Chromium, over files that this process serves. */
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium, type Page } from "playwright-core";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const TYPES: Readonly<Record<string, string>> = {
  ".html": "text/html",
  ".js": "text/javascript",
  ".mjs": "text/javascript",
  ".css": "text/css",
  ".json": "application/json",
  ".wasm": "application/wasm",
};
/** Where Chromium is: as SPARCL_CHROMIUM says, or as Debian installs it. */
export const CHROMIUM = process.env.SPARCL_CHROMIUM ?? "/usr/bin/chromium";
/** Why nothing is browsed here; empty where it is. */
export const unready = !process.env.SPARCL_JS_ALL
  ? "takes long; `make test-js` runs it"
  : existsSync(CHROMIUM)
    ? ""
    : `${CHROMIUM}: not found; on Debian, apt install chromium, elsewhere SPARCL_CHROMIUM names it`;

/** Serve folders by the first part of the path while `use` runs. */
export async function serving<Kind>(
  folders: Readonly<Record<string, string>>,
  use: (url: string) => Promise<Kind>,
): Promise<Kind> {
  const server = createServer(async (request, response) => {
    const [first = "", ...rest] = new URL(request.url ?? "/", "http://localhost").pathname.slice(1).split("/");
    const path = join(folders[first] ?? "", ...rest);
    const content = folders[first] && !rest.includes("..") ? await readFile(path).catch(() => null) : null;
    response.writeHead(content ? 200 : 404, { "content-type": TYPES[extname(path)] ?? "application/octet-stream" });
    response.end(content ?? "");
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    return await use(`http://127.0.0.1:${(server.address() as { port: number }).port}`);
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

/** Open a page of Chromium while `use` runs; a state lies in `profile`, where one is given. */
export async function browsing<Kind>(use: (page: Page) => Promise<Kind>, profile = ""): Promise<Kind> {
  const context = await chromium.launchPersistentContext(profile, { executablePath: CHROMIUM, args: ["--no-sandbox"] });
  try {
    return await use(await context.newPage());
  } finally {
    await context.close();
  }
}

/** The folders that a page needs for the driver and for ONNX Runtime in WebAssembly. */
export const FOLDERS = {
  dist: join(ROOT, "dist"),
  ort: join(ROOT, "node_modules/onnxruntime-web/dist"),
  page: join(ROOT, "test/page"),
};

/** Learn a kit in Chromium; returns the text of its trace. */
export function traced(kits: string, name: string): Promise<string> {
  return serving({ ...FOLDERS, kits }, (url) =>
    browsing(async (page) => {
      await page.goto(`${url}/page/empty.html`);
      return page.evaluate(async (kit) => {
        const [ort, { Replay }, { served }] = await Promise.all(
          ["/ort/ort.wasm.bundle.min.mjs", "/dist/test/replay.js", "/dist/src/browser.js"].map((path) => import(path)),
        );
        ort.env.wasm.wasmPaths = "/ort/";
        ort.env.wasm.numThreads = 1;
        const told = (await (await fetch(`${kit}/trace.json`)).json()).run;
        return JSON.stringify(await (await Replay.prepared(ort, served(kit), told)).learn());
      }, `/kits/${name}`);
    }),
  );
}
