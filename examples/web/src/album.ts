/** The pictures of every class and the accuracies so far, kept in the browser. */
import { opened, type Stored, sealed } from "../../../runtime/js/src/safetensors.js";
import type { Store } from "../../../runtime/js/src/store.js";
import type { Mode, Pictures, Point } from "./messages.js";

const FILE = "album.safetensors";

export interface Page {
  readonly name: string;
  readonly train: Pictures;
  readonly test: Pictures;
}

export class Album {
  readonly pages: Page[] = [];
  readonly points: Record<Mode, Point[]> = { taught: [], plain: [] };

  private constructor(private readonly store: Store) {}

  static async open(store: Store): Promise<Album> {
    const album = new Album(store);
    const bytes = await store.read(FILE);
    if (!bytes) return album;
    const { tensors, texts } = await opened(bytes);
    const pictures = (name: string): Pictures => {
      const { data, shape } = tensors.get(name) as Stored;
      return { data: data as Uint8Array, count: shape[0] ?? 0 };
    };
    for (const name of JSON.parse(texts.names ?? "[]"))
      album.pages.push({ name, train: pictures(`train.${name}`), test: pictures(`test.${name}`) });
    Object.assign(album.points, JSON.parse(texts.points ?? "{}"));
    return album;
  }

  async save(): Promise<void> {
    const stored = ({ data, count }: Pictures): Stored => ({ dtype: "uint8", shape: [count, 3, 32, 32], data });
    const tensors = this.pages.flatMap(({ name, train, test }): [string, Stored][] => [
      [`train.${name}`, stored(train)],
      [`test.${name}`, stored(test)],
    ]);
    const texts = { names: JSON.stringify(this.pages.map(({ name }) => name)), points: JSON.stringify(this.points) };
    await this.store.write(FILE, await sealed({ tensors: new Map(tensors), texts }));
  }
}
