/** Reads a compiled artifact, and refuses what cannot run here. */
import { ArtifactError } from "./errors.js";
import type { Manifest, SampleType } from "./manifest.js";
import { parsed, type Stored } from "./safetensors.js";
import { sha256 } from "./sha256.js";

/** Where files are read: a folder, a web server, an app's assets. */
export interface Files {
  /** How messages call the place. */
  readonly name: string;
  /** The content of a file; null where there is none. */
  read(path: string): Promise<Uint8Array | null>;
  /** Where ONNX Runtime opens a file by itself; it gets the bytes where this is missing. */
  readonly at?: (path: string) => string;
}

const FORMAT = "sparcl-artifact";
const VERSION = 2;
const TARGET = "ort";
const MANIFEST = "manifest.json";
const AGAIN = "compile the model again";

export class Artifact {
  private constructor(
    private readonly files: Files,
    readonly manifest: Manifest,
    /** The checksum of the manifest, which holds those of the files. */
    readonly identity: string,
  ) {}

  /** Read the manifest; rejects with an ArtifactError where it is none, or one that cannot run here. */
  static async open(files: Files): Promise<Artifact> {
    const bytes = await files.read(MANIFEST);
    if (!bytes)
      throw new ArtifactError(
        `${files.name}: is not a compiled artifact (no ${MANIFEST}); make one with sparcl-compile MODEL.onnx --target ort`,
      );
    const where = `${files.name}/${MANIFEST}`;
    const manifest = json(where, bytes);
    if (manifest.format !== FORMAT)
      throw new ArtifactError(`${where}: is not a ${FORMAT} manifest; compile the model with sparcl-compile`);
    if (manifest.version !== VERSION)
      throw new ArtifactError(
        `${where}: has artifact version ${manifest.version}, this program reads version ${VERSION}; ${AGAIN}`,
      );
    if (manifest.target !== TARGET)
      throw new ArtifactError(
        `${where}: has operators of the training build (target ${manifest.target}); ${AGAIN} with --target ort`,
      );
    if (Object.values(manifest.graphs).some((graph) => graph.kernels))
      throw new ArtifactError(
        `${where}: needs the kernel library, which ONNX Runtime for JavaScript cannot load; compile the model without --compress (--scheme channel makes it faster here)`,
      );
    return new Artifact(files, manifest, await sha256(bytes));
  }

  /** Throw an ArtifactError where the method is for whole runs alone: its program answers no questions. */
  checkForApps(): void {
    if (this.manifest.program.blocks.predict) return;
    throw new ArtifactError(
      `${this.files.name}: its method (${this.manifest.options.method}) is for whole runs by sparcl-run, not for a learner; ${AGAIN} with another --method`,
    );
  }

  /** The first values of the state, by name. */
  async firstValues(): Promise<ReadonlyMap<string, Stored>> {
    const path = this.manifest.state_file;
    return parsed(await this.content(path)).tensors;
  }

  /** The path of a graph for raw samples of this type. */
  path(name: string, sample: SampleType): string {
    const file = this.manifest.graphs[name]?.file ?? "";
    const path = typeof file === "string" ? file : file[sample];
    if (path === undefined)
      throw new ArtifactError(
        `${this.files.name}: has no graph ${name} for ${sample} samples; give samples of ${Object.keys(file).join(" or ")}`,
      );
    return path;
  }

  /** What ONNX Runtime makes a session of, whose checksum is right: the place of a file, or its bytes. */
  async model(path: string): Promise<string | Uint8Array> {
    const bytes = await this.content(path);
    return this.files.at?.(path) ?? bytes;
  }

  /** A file, whose checksum is compared with the manifest's. */
  async content(path: string): Promise<Uint8Array> {
    const expected = this.manifest.files[path];
    const bytes = expected === undefined ? null : await this.files.read(path);
    if (!bytes) throw new ArtifactError(`${this.files.name}/${path}: is missing from the artifact; ${AGAIN}`);
    if ((await sha256(bytes)) !== expected)
      throw new ArtifactError(
        `${this.files.name}/${path}: is damaged (its checksum differs from the manifest's); ${AGAIN}`,
      );
    return bytes;
  }
}

function json(where: string, bytes: Uint8Array): Manifest {
  try {
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch (error) {
    throw new ArtifactError(`${where}: is damaged (${error}); ${AGAIN}`);
  }
}
