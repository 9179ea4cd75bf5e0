/** Artifacts from a web server, and states in a browser's database. */
import type { Files } from "./artifact.js";
import { ArtifactError, StateError } from "./errors.js";
import { inUse, LOCK, type Store } from "./store.js";

/** The files below an address. */
export function served(url: string): Files {
  return {
    name: url,
    read: async (path) => {
      const answer = await fetch(`${url}/${path}`);
      if (answer.status === 404) return null;
      if (!answer.ok) throw new ArtifactError(`${url}/${path}: cannot be read (${answer.status}); look at the server`);
      return new Uint8Array(await answer.arrayBuffer());
    },
  };
}

const FILES = "files";

/** A state in IndexedDB, a key for each file; every change of it is on the disk or was not made. */
export async function database(name: string): Promise<Store> {
  const opening = indexedDB.open(`sparcl:${name}`, 1);
  opening.onupgradeneeded = () => void opening.result.createObjectStore(FILES);
  const opened = await done(opening);
  const ask = async <Kind>(mode: IDBTransactionMode, request: (files: IDBObjectStore) => IDBRequest<Kind>) => {
    const transaction = opened.transaction(FILES, mode, { durability: "strict" });
    const made = request(transaction.objectStore(FILES));
    await new Promise<void>((resolve, reject) => {
      transaction.oncomplete = () => resolve();
      transaction.onabort = () => reject(failed(name, transaction.error));
    });
    return made.result;
  };
  const store: Omit<Store, "hold"> = {
    name,
    read: async (file) => (await ask("readonly", (files) => files.get(file))) ?? null,
    write: async (file, bytes) => void (await ask("readwrite", (files) => files.put(bytes, file))),
    remove: async (file) => void (await ask("readwrite", (files) => files.delete(file))),
    names: async () => (await ask("readonly", (files) => files.getAllKeys())).map(String),
  };
  return { ...store, hold: () => held(store) };
}

function done<Kind>(request: IDBRequest<Kind>): Promise<Kind> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

function failed(name: string, error: DOMException | null): StateError {
  return new StateError(
    `${name}: cannot be written (${error?.message ?? "the browser gives no reason"}); free space, nothing was changed there`,
  );
}

/** Take the lock of a state; pages without a secure context have no locks. */
function held(store: Omit<Store, "hold">): Promise<() => Promise<void>> {
  if (!navigator.locks) return Promise.resolve(async () => {});
  return new Promise((resolve, reject) => {
    const holding = navigator.locks.request(`sparcl:${store.name}`, { ifAvailable: true }, async (lock) => {
      if (!lock) throw new StateError(inUse(store.name, text(await store.read(LOCK))));
      const since = new Date().toISOString().slice(0, 19);
      const line = `${Math.random().toString(36).slice(2, 8)} ${location.host} ${since} ${location.pathname}\n`;
      await store.write(LOCK, new TextEncoder().encode(line));
      await new Promise<void>((free) => resolve(() => given(store, free, holding)));
    });
    holding.catch(reject);
  });
}

async function given(store: Omit<Store, "hold">, free: () => void, holding: Promise<unknown>): Promise<void> {
  await store.remove(LOCK);
  free();
  await holding;
}

function text(bytes: Uint8Array | null): string {
  return new TextDecoder().decode(bytes ?? new Uint8Array());
}
