/** Folders of Node, for artifacts and states. */
import { randomBytes } from "node:crypto";
import { link, mkdir, open, readdir, readFile, rename, rm } from "node:fs/promises";
import { hostname } from "node:os";
import { join, resolve } from "node:path";
import type { Files } from "./artifact.js";
import { StateError } from "./errors.js";
import { inUse, LOCK, type Store } from "./store.js";

/** The folders that this process holds: a lock of its own number may be an earlier process's. */
const HELD = new Set<string>();

/** A folder of files; as a state it is made where it is not there. */
export function folder(path: string): Files & Store {
  return {
    name: path,
    read: (name) => readFile(join(path, name)).catch(absent),
    write: (name, bytes) => replaced(path, name, bytes),
    remove: (name) => rm(join(path, name), { force: true }),
    names: () => readdir(path),
    hold: () => held(path),
  };
}

function absent(error: NodeJS.ErrnoException): null {
  if (error.code === "ENOENT" || error.code === "ENOTDIR") return null;
  throw error;
}

/** Write a file beside its place, flush it to the disk and rename it. */
async function replaced(path: string, name: string, bytes: Uint8Array): Promise<void> {
  const whole = beside(path, name);
  try {
    await flushed(whole, "wx", bytes);
    await rename(whole, join(path, name));
    await flushed(path, "r");
  } catch (error) {
    await rm(whole, { force: true });
    throw unwritable(join(path, name), error);
  }
}

/** The name of a file that is not whole yet. */
function beside(path: string, name: string): string {
  return join(path, `.${name}.new.${randomBytes(4).toString("hex")}`);
}

function unwritable(path: string, error: unknown): StateError {
  return new StateError(
    `${path}: cannot be written (${(error as Error).message}); free space or choose another place, nothing was changed there`,
  );
}

async function flushed(path: string, flags: string, bytes?: Uint8Array): Promise<void> {
  const file = await open(path, flags, 0o644);
  try {
    if (bytes) await file.writeFile(bytes);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Take the lock of a folder, by a name for a file that is whole; that of a process that has ended is taken over. */
async function held(path: string): Promise<() => Promise<void>> {
  const lock = join(path, LOCK);
  const since = new Date().toISOString().slice(0, 19);
  const own = beside(path, LOCK);
  try {
    await mkdir(path, { recursive: true });
    await flushed(
      own,
      "wx",
      new TextEncoder().encode(`${process.pid} ${hostname()} ${since} node ${process.argv[1] ?? ""}\n`),
    );
    while (!(await linked(own, lock))) await takenOver(path, lock);
  } catch (error) {
    throw error instanceof StateError ? error : unwritable(lock, error);
  } finally {
    await rm(own, { force: true });
  }
  HELD.add(resolve(path));
  return async () => {
    HELD.delete(resolve(path));
    await rm(lock, { force: true });
  };
}

/** Remove the lock of a process that has ended; another one that takes it over meanwhile keeps its own. */
async function takenOver(path: string, lock: string): Promise<void> {
  const refuse = (line: string) => {
    if (HELD.has(resolve(path)) || lives(line)) throw new StateError(inUse(path, line));
  };
  refuse(await readFile(lock, "utf8").catch(() => ""));
  const aside = beside(path, LOCK);
  if (
    !(await rename(lock, aside).then(
      () => true,
      () => false,
    ))
  )
    return;
  try {
    const line = await readFile(aside, "utf8");
    if (lives(line)) await linked(aside, lock);
    refuse(line);
  } finally {
    await rm(aside, { force: true });
  }
}

async function linked(own: string, lock: string): Promise<boolean> {
  try {
    await link(own, lock);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  }
}

/** Whether the process that a lock names may be there. */
function lives(line: string): boolean {
  const [pid, host] = line.split(" ");
  if (!/^\d+$/.test(pid ?? "") || host === undefined) return false;
  if (host !== hostname()) return true;
  if (Number(pid) === process.pid) return false;
  try {
    return process.kill(Number(pid), 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
