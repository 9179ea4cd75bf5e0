/** Folders of React Native, for artifacts and states, over a file system that the app brings. */
import type { Files } from "./artifact.js";
import { fromBase64, toBase64 } from "./base64.js";
import { StateError } from "./errors.js";
import type { Store } from "./store.js";

/** What is used of a file system, as `react-native-fs` and `@dr.pogodin/react-native-fs` have it. */
export interface FileSystem {
  exists(path: string): Promise<boolean>;
  readFile(path: string, encoding: "base64"): Promise<string>;
  writeFile(path: string, content: string, encoding: "base64"): Promise<void>;
  /** May refuse a target that is there, as iOS does. */
  moveFile(from: string, to: string): Promise<unknown>;
  unlink(path: string): Promise<unknown>;
  mkdir(path: string): Promise<unknown>;
  readdir(path: string): Promise<readonly string[]>;
}

/** The folders that learners of this app have open; a system has one process for an app. */
const HELD = new Set<string>();
/** A file that takes a place, or that stood there while another one took it. */
const ASIDE = /^\.(.+)\.(new|old)\.[a-z0-9]{8}$/;

/** A folder of files, without a slash at its end; as a state it is made where it is not there. */
export function folder(fs: FileSystem, path: string): Files & Store {
  const at = (name: string) => `${path}/${name}`;
  return {
    name: path,
    at,
    read: async (name) => ((await fs.exists(at(name))) ? fromBase64(await fs.readFile(at(name), "base64")) : null),
    write: (name, bytes) => replaced(fs, path, name, bytes),
    remove: (name) => removed(fs, at(name)),
    names: () => fs.readdir(path),
    hold: () => held(fs, path),
  };
}

async function removed(fs: FileSystem, path: string): Promise<void> {
  if (await fs.exists(path)) await fs.unlink(path);
}

/** Write a file beside its place, and put it there; the one before stands aside meanwhile. */
async function replaced(fs: FileSystem, path: string, name: string, bytes: Uint8Array): Promise<void> {
  const end = Math.random().toString(36).slice(2).padEnd(8, "0").slice(0, 8);
  const [place, whole, before] = [name, `.${name}.new.${end}`, `.${name}.old.${end}`].map(
    (one) => `${path}/${one}`,
  ) as [string, string, string];
  try {
    await fs.writeFile(whole, toBase64(bytes), "base64");
    const there = await fs.exists(place);
    if (there) await fs.moveFile(place, before);
    await fs.moveFile(whole, place);
    if (there) await fs.unlink(before);
  } catch (error) {
    await mended(fs, path).catch(() => {}); // what a full disk does not allow now is done at the next opening
    const reason = (error as Error).message;
    throw new StateError(`${place}: cannot be written (${reason}); free space, nothing was changed there`);
  }
}

/** Put back what stands aside while nothing is in its place, and remove all else that a kill has left. */
async function mended(fs: FileSystem, path: string): Promise<void> {
  for (const left of await fs.readdir(path)) {
    const [, name, kind] = ASIDE.exec(left) ?? [];
    if (kind === "old" && !(await fs.exists(`${path}/${name}`)))
      await fs.moveFile(`${path}/${left}`, `${path}/${name}`);
    else if (kind) await fs.unlink(`${path}/${left}`);
  }
}

async function held(fs: FileSystem, path: string): Promise<() => Promise<void>> {
  if (HELD.has(path))
    throw new StateError(
      `${path}: is in use by another learner of this app; close it, or give another folder as state`,
    );
  HELD.add(path);
  try {
    if (!(await fs.exists(path))) await fs.mkdir(path);
    await mended(fs, path);
  } catch (error) {
    HELD.delete(path);
    throw new StateError(`${path}: cannot be used (${(error as Error).message}); give another folder as state`);
  }
  return async () => {
    HELD.delete(path);
  };
}
