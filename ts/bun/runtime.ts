/**
 * What the class needs from Bun.
 *
 * @module
 */
import { dlopen, type Pointer, toArrayBuffer } from "bun:ffi";
import { existsSync } from "node:fs";
import { connect, type NetConnectOpts } from "node:net";
import type { Native, Runtime } from "../native.ts";
import { symbols } from "./symbols.ts";

/** Up to this length a loop beats the built-in copy. */
const SHORT_COPY = 32;

/** Bun. */
export const runtime: Runtime = {
  load(path: string): Native {
    if (!existsSync(path)) throw new Error("there is no such file");
    return dlopen(path, symbols).symbols;
  },

  env: (name) => process.env[name],

  // Bun leaves permissions to the system.
  permit() {},

  copyOut({ bytes }, at, length) {
    if (length > SHORT_COPY) return bytes.slice(at, at + length);
    const copy = new Uint8Array(length);
    for (let i = 0; i < length; i++) copy[i] = bytes[at + i];
    return copy;
  },

  lookAt: (address, length) => new Uint8Array(toArrayBuffer(Number(address) as Pointer, 0, length)),

  // Its types do not tell that it takes a descriptor.
  adopt: (fd) => connect({ fd } as unknown as NetConnectOpts),
};
