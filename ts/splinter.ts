/**
 * The ways to open a store, made for one runtime.
 *
 * @module
 */
import * as check from "./arguments.ts";
import { ERROR_NUMBERS, InvalidArgumentError } from "./errors.ts";
import { explained } from "./failures.ts";
import { fileEngine, openFile } from "./file/engine.ts";
import { ERROR_BYTES, How, Kind } from "./layout.ts";
import { Libraries } from "./library.ts";
import type { Runtime } from "./native.ts";
import { encode } from "./scratch.ts";
import { OpenStore } from "./open_store.ts";
import type { Store } from "./store.ts";
import type { AnonymousOptions, RemoveOptions, SplinterOptions } from "./types.ts";

/** Where named shared memory can be seen, and is opened from. */
const SHARED_MEMORY = "/dev/shm/";

/** What the ways to open a store do, by their numbers. */
const VERBS = ["open", "create", "open or create", "create or open"];

const NO_STORE = -ERROR_NUMBERS.NO_STORE;

/**
 * The ways to open a store. `Splinter` is the one object that has them.
 *
 * In all of them a store is a file, and its name a path, unless the option `memory` says otherwise. Options may be
 * passed in place of the numbers.
 *
 * @example Usage
 * ```ts
 * import { Splinter } from "@splinter/ffi";
 *
 * const path = `/tmp/${crypto.randomUUID()}.splinter`;
 * using store = Splinter.create(path, 64, 1024);
 * store.set("greeting", "hello");
 * Splinter.remove(path);
 * ```
 */
export interface SplinterConstructor extends Function {
  /** What every open store inherits from, so that it is an `instanceof Splinter`. */
  readonly prototype: Store;

  /**
   * Makes a new store.
   *
   * @param nameOrPath The path or `file:` URL, or the name of shared memory.
   * @param slots How many keys fit, or all the options.
   * @param maxValueSize The largest value in bytes.
   * @returns The store, empty.
   * @throws {ExistsError} If there is something already. It stays as it is.
   * @throws {NoSpaceError} If the disk or the shared memory is full.
   * @throws {PermissionError} If the runtime or the system forbids it.
   * @throws {LibraryError} If there is no native library.
   *
   * @example Usage
   * ```ts
   * import { Splinter } from "@splinter/ffi";
   *
   * const path = `/tmp/${crypto.randomUUID()}.splinter`;
   * using store = Splinter.create(path, { slots: 64, mode: 0o640 });
   * Splinter.remove(path);
   * ```
   */
  create(nameOrPath: string | URL, slots?: number | SplinterOptions, maxValueSize?: number): Store;

  /**
   * Opens a store that is there.
   *
   * @param nameOrPath The path or `file:` URL, or the name of shared memory.
   * @param slots How many keys are expected to fit, or all the options.
   * @param maxValueSize The largest value in bytes that is expected.
   * @returns The store.
   * @throws {NoStoreError} If it is not there.
   * @throws {IncompatibleError} If it has another shape than expected, or another format version.
   * @throws {NotAStoreError} If it is something else.
   * @throws {CorruptError} If it contradicts itself.
   * @throws {BusyError} If somebody writes it by the engine `"file"`, or does so in any way and this is that engine.
   * @throws {PermissionError} If the runtime or the system forbids it.
   * @throws {LibraryError} If there is no native library.
   *
   * @example Usage
   * ```ts
   * import { Splinter } from "@splinter/ffi";
   *
   * const path = `/tmp/${crypto.randomUUID()}.splinter`;
   * using writer = Splinter.create(path);
   * writer.set("greeting", "hello");
   * using reader = Splinter.open(path, { readOnly: true });
   * console.log(reader.getString("greeting")); // hello
   * Splinter.remove(path);
   * ```
   */
  open(nameOrPath: string | URL, slots?: number | SplinterOptions, maxValueSize?: number): Store;

  /**
   * Opens a store, making it if it is not there. Processes that do so at once end with the same store.
   *
   * @param nameOrPath The path or `file:` URL, or the name of shared memory.
   * @param slots How many keys fit, or all the options.
   * @param maxValueSize The largest value in bytes.
   * @returns The store.
   * @throws {SplinterError} As {@linkcode SplinterConstructor.open} and {@linkcode SplinterConstructor.create} do, but
   * for their complaints that it is not there and that it is.
   *
   * @example Usage
   * ```ts
   * import { Splinter } from "@splinter/ffi";
   *
   * const path = `/tmp/${crypto.randomUUID()}.splinter`;
   * using store = Splinter.openOrCreate(path);
   * Splinter.remove(path);
   * ```
   */
  openOrCreate(nameOrPath: string | URL, slots?: number | SplinterOptions, maxValueSize?: number): Store;

  /**
   * Makes a store, opening it if it is there: the same outcome as that of {@linkcode SplinterConstructor.openOrCreate},
   * quicker for a new store.
   *
   * @param nameOrPath The path or `file:` URL, or the name of shared memory.
   * @param slots How many keys fit, or all the options.
   * @param maxValueSize The largest value in bytes.
   * @returns The store.
   * @throws {SplinterError} As {@linkcode SplinterConstructor.openOrCreate} does.
   */
  createOrOpen(nameOrPath: string | URL, slots?: number | SplinterOptions, maxValueSize?: number): Store;

  /**
   * Opens shared memory by its name, making it if it is not there.
   *
   * @param name The name, without a slash but perhaps one in front.
   * @param options The options.
   * @returns The store.
   *
   * @example Usage
   * ```ts
   * import { Splinter } from "@splinter/ffi";
   *
   * const name = `example-${crypto.randomUUID()}`;
   * using store = Splinter.memory(name);
   * store.set("greeting", "hello");
   * Splinter.remove(name, { memory: true });
   * ```
   */
  memory(name: string, options?: SplinterOptions): Store;

  /**
   * Makes a store without a name, which is gone when nobody has it open. Others open it by its {@linkcode Store.path}.
   *
   * @param options The options.
   * @returns The store, empty.
   *
   * @example Usage
   * ```ts
   * import { Splinter } from "@splinter/ffi";
   *
   * using store = Splinter.anonymous({ slots: 64 });
   * using other = Splinter.open(store.path);
   * other.set("greeting", "hello");
   * console.log(store.getString("greeting")); // hello
   * ```
   */
  anonymous(options?: AnonymousOptions): Store;

  /**
   * Removes a store by its name. Those who have it open keep what they have.
   *
   * @param nameOrPath The path or `file:` URL, or the name of shared memory.
   * @param options The options.
   * @returns Whether there was one.
   * @throws {NotAStoreError} If that is something else. It stays.
   * @throws {PermissionError} If the runtime or the system forbids it.
   *
   * @example Usage
   * ```ts
   * import { Splinter } from "@splinter/ffi";
   *
   * const path = `/tmp/${crypto.randomUUID()}.splinter`;
   * Splinter.create(path).close();
   * console.log(Splinter.remove(path)); // true
   * console.log(Splinter.remove(path)); // false
   * ```
   */
  remove(nameOrPath: string | URL, options?: RemoveOptions): boolean;
}

/**
 * Makes the `Splinter` of a runtime. The native library is loaded by the first call that needs it.
 *
 * @param runtime The runtime.
 * @returns Its `Splinter`.
 *
 * @internal
 */
export function splinterFor(runtime: Runtime): SplinterConstructor {
  const libraries = new Libraries(runtime);

  function open(how: number, place: Place, options: SplinterOptions): Splinter {
    const nativeOptions = check.nativeOptions(place.kind, options);
    const settings = check.settings(options);
    const engine = check.engine(options);
    const native = engine === "native" ? libraries.get(options.libPath) : null;
    if (place.path !== null) {
      runtime.permit(place.path, "read");
      if (!options.readOnly) runtime.permit(place.path, "write");
    }
    if (native === null) {
      const handle = openFile(runtime, how, place, nativeOptions, `${VERBS[how]} ${place.shown}`);
      return new Splinter(runtime, fileEngine, handle, settings);
    }
    const error = new Uint8Array(ERROR_BYTES);
    const handle = native.spl_open(how, place.name, place.name.length, nativeOptions, error);
    if (handle === null) throw explained(error, `${VERBS[how]} ${place.shown}`);
    return new Splinter(runtime, native, handle, settings);
  }

  class Splinter extends OpenStore {
    static create(nameOrPath: string | URL, slots?: number | SplinterOptions, maxValueSize?: number): Store {
      const options = check.optionsOf(slots, maxValueSize);
      return open(How.create, placeOf(nameOrPath, options), options);
    }

    static open(nameOrPath: string | URL, slots?: number | SplinterOptions, maxValueSize?: number): Store {
      const options = check.optionsOf(slots, maxValueSize);
      return open(How.open, placeOf(nameOrPath, options), options);
    }

    static openOrCreate(nameOrPath: string | URL, slots?: number | SplinterOptions, maxValueSize?: number): Store {
      const options = check.optionsOf(slots, maxValueSize);
      return open(How.openOrCreate, placeOf(nameOrPath, options), options);
    }

    static createOrOpen(nameOrPath: string | URL, slots?: number | SplinterOptions, maxValueSize?: number): Store {
      const options = check.optionsOf(slots, maxValueSize);
      return open(How.createOrOpen, placeOf(nameOrPath, options), options);
    }

    static memory(name: string, options: SplinterOptions = {}): Store {
      const place = placeOf(name, { memory: true });
      return open(How.openOrCreate, place, options);
    }

    static anonymous(options: AnonymousOptions = {}): Store {
      return open(How.create, NOWHERE, options);
    }

    static remove(nameOrPath: string | URL, options: RemoveOptions = {}): boolean {
      const { kind, name, path, shown } = placeOf(nameOrPath, options);
      const native = libraries.get(options.libPath);
      if (path !== null) runtime.permit(path, "write");
      const error = new Uint8Array(ERROR_BYTES);
      const result = native.spl_remove(kind, name, name.length, error);
      if (result === NO_STORE) return false;
      if (result < 0) throw explained(error, `remove ${shown}`);
      return true;
    }
  }

  return Splinter;
}

/** Where a store is. */
interface Place {
  readonly kind: number;
  /** What the native library calls it. */
  readonly name: Uint8Array;
  /** The path that it takes permission to touch, if any. */
  readonly path: string | null;
  /** What a message calls it. */
  readonly shown: string;
}

const NOWHERE: Place = {
  kind: Kind.anonymous,
  name: new Uint8Array(),
  path: null,
  shown: "an anonymous store",
};

function placeOf(nameOrPath: string | URL, options: RemoveOptions): Place {
  if (!options.memory) {
    const path = check.path("nameOrPath", nameOrPath);
    return { kind: Kind.file, name: encode(path), path, shown: `"${path}"` };
  }
  if (typeof nameOrPath !== "string") {
    throw new InvalidArgumentError("The name of shared memory must be a string");
  }
  const name = check.path("nameOrPath", nameOrPath);
  const path = SHARED_MEMORY + name.replace(/^\//, "");
  return { kind: Kind.memory, name: encode(name), path, shown: `shared memory "${name}"` };
}
