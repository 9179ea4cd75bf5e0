/** Where a learner's state lies: names and bytes, in a folder or in a browser's database. */

export interface Store {
  /** How messages call the place. */
  readonly name: string;
  /** The content of a file; null where there is none. */
  read(name: string): Promise<Uint8Array | null>;
  /** Put a file in its place, whole and on the disk, or not at all. */
  write(name: string, bytes: Uint8Array): Promise<void>;
  remove(name: string): Promise<void>;
  /** The names of all files. */
  names(): Promise<readonly string[]>;
  /** Take the lock; returns what gives it back. Rejects with a StateError that names the holder. */
  hold(): Promise<() => Promise<void>>;
}

/** The file that says who holds a state. */
export const LOCK = ".lock";

/** The message about a state that somebody else holds, whose line in the lock is `PID HOST SINCE PROGRAM`. */
export function inUse(place: string, line: string): string {
  const [, pid, host, since, program] = /^(\S+) (\S+) (\S+) (.+)/.exec(line) ?? [];
  const holder = program ? `${program} (process ${pid} on ${host}, since ${since})` : "another process";
  return `${place}: is in use by ${holder}; wait for its end, or give another folder as state, or remove ${place}/${LOCK} where that is no learner`;
}
