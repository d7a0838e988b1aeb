/**
 * Splinter for Bun: a message bus and key-value store in shared memory or in a file, which any number of processes have
 * open at once.
 *
 * @example Usage
 * ```ts
 * import { Splinter } from "splinter-bus";
 *
 * using store = Splinter.anonymous();
 * store.set("cpu", { user: 12, idle: 88 });
 * console.log(store.getJSON("cpu")); // { user: 12, idle: 88 }
 * ```
 *
 * @module
 */
import { type SplinterConstructor, splinterFor } from "../splinter.ts";
import type { Store } from "../store.ts";
import { runtime } from "./runtime.ts";

export * from "../errors.ts";
export * from "../types.ts";
export type { SplinterConstructor, Store };

/**
 * The ways to open a store.
 *
 * @example Usage
 * ```ts
 * import { Splinter } from "splinter-bus";
 *
 * using store = Splinter.anonymous();
 * store.set("greeting", "hello");
 * console.log(store.getString("greeting")); // hello
 * ```
 */
export const Splinter: SplinterConstructor = splinterFor(runtime);

/**
 * An open store.
 *
 * @example Usage
 * ```ts
 * import { Splinter } from "splinter-bus";
 *
 * const greet = (store: Splinter) => store.set("greeting", "hello");
 * using store = Splinter.anonymous();
 * greet(store);
 * ```
 */
export type Splinter = Store;
