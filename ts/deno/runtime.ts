/**
 * What the class needs from Deno.
 *
 * @module
 */
import { existsSync } from "node:fs";
import { Socket } from "node:net";
import { PermissionError } from "../errors.ts";
import type { Native, Runtime } from "../native.ts";
import { Slab } from "./slab.ts";
import { symbols } from "./symbols.ts";

const slab = new Slab();

/** Whether memory may be shown, which costs more to ask than to do. */
let mayLook = false;

/** Deno. */
export const runtime: Runtime = {
  load(path: string): Native {
    // Where we may look, a file that is not there needs no permission.
    const mayLook = isGranted({ name: "read", path });
    if (mayLook && !existsSync(path)) throw new Error("there is no such file");
    // Nobody is asked about files that may not be there.
    if (mayLook ? !isAllowed({ name: "ffi", path }) : !isGranted({ name: "ffi", path })) {
      throw denied("load", "ffi", path);
    }
    return Deno.dlopen(path, symbols).symbols;
  },

  env(name: string): string | undefined {
    if (!isGranted({ name: "env", variable: name })) throw denied("read", "env", name);
    return Deno.env.get(name);
  },

  permit(path: string, access: "read" | "write"): void {
    if (!isAllowed({ name: access, path })) throw denied(access, access, path);
  },

  copyOut: (memory, at, length) => slab.copyOut(memory, at, length),

  lookAt(address, length) {
    // It would ask the user otherwise, and a copy does as well. What is allowed for a path only does not suffice.
    mayLook ||= isGranted({ name: "ffi" });
    if (!mayLook) return null;
    const pointer = Deno.UnsafePointer.create(address);
    return pointer === null ? null : new Uint8Array(Deno.UnsafePointerView.getArrayBuffer(pointer, length));
  },

  lockFile(path) {
    const file = Deno.openSync(path, { read: true, write: true });
    if (!file.tryLockSync(true)) {
      file.close();
      return null;
    }
    const { dev, ino } = file.statSync();
    return { inode: `${dev}:${ino}`, [Symbol.dispose]: () => file.close() };
  },

  adopt: (fd) => new Socket({ fd }),
};

function isGranted(permission: Deno.PermissionDescriptor): boolean {
  return Deno.permissions.querySync(permission).state === "granted";
}

/** Asks the user if need be; without a terminal the answer is no. */
function isAllowed(permission: Deno.PermissionDescriptor): boolean {
  return Deno.permissions.requestSync(permission).state === "granted";
}

function denied(verb: string, flag: string, what: string): PermissionError {
  return new PermissionError(`No permission to ${verb} "${what}", run again with --allow-${flag}=${what}`);
}
