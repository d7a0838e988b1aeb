/**
 * The native functions as Bun's FFI wants them declared.
 *
 * @module
 */
import type { FFIFunction } from "bun:ffi";
import type { Native } from "../native.ts";

/** One entry for each function that {@linkcode Native} has. */
export const symbols = {
  spl_abi: { args: [], returns: "u32" },
  spl_open: { args: ["u32", "buffer", "u32", "buffer", "buffer"], returns: "ptr" },
  spl_close: { args: ["ptr"], returns: "i32" },
  spl_remove: { args: ["u32", "buffer", "u32", "buffer"], returns: "i32" },
  spl_path: { args: ["ptr", "buffer", "u32"], returns: "i32" },
  spl_header_snapshot: { args: ["ptr", "buffer"], returns: "i32" },
  spl_auto_vacuum: { args: ["ptr"], returns: "i32" },
  spl_set_auto_vacuum: { args: ["ptr", "u32"], returns: "i32" },
  spl_sync: { args: ["ptr", "buffer"], returns: "i32" },
  spl_backup: { args: ["ptr", "buffer", "u32", "buffer"], returns: "i32" },
  spl_scan: { args: ["ptr", "buffer", "buffer", "u32", "buffer", "u32"], returns: "i32" },
  spl_handle_id: { args: ["ptr"], returns: "i32" },
  spl_selector: { args: ["ptr", "buffer"], returns: "i32" },
  spl_watch: { args: ["ptr", "u32", "buffer", "u32", "u32", "buffer", "buffer"], returns: "i32" },
  spl_changes: { args: ["ptr", "u32", "buffer", "buffer"], returns: "i32" },
  spl_unwatch: { args: ["ptr", "u32"], returns: "i32" },
  spl_ready: { args: ["ptr", "buffer", "u32"], returns: "i32" },
  spl_next: { args: ["ptr", "u32", "buffer", "u32"], returns: "i32" },
  spl_scratch: { args: ["ptr", "buffer", "u32"], returns: "i32" },
  spl_scratch_get: { args: ["ptr", "u32"], returns: "i32" },
  spl_scratch_get_into: { args: ["ptr", "u32", "buffer", "u32"], returns: "i32" },
  spl_scratch_set: { args: ["ptr", "u32", "u32"], returns: "i32" },
  spl_scratch_try_set: { args: ["ptr", "u32", "u32"], returns: "i32" },
  spl_scratch_set_from: { args: ["ptr", "u32", "buffer", "u32"], returns: "i32" },
  spl_scratch_try_set_from: { args: ["ptr", "u32", "buffer", "u32"], returns: "i32" },
  spl_scratch_unset: { args: ["ptr", "u32"], returns: "i32" },
  spl_scratch_try_unset: { args: ["ptr", "u32"], returns: "i32" },
  spl_scratch_contains: { args: ["ptr", "u32"], returns: "i32" },
  spl_scratch_epoch: { args: ["ptr", "u32"], returns: "i32" },
  spl_scratch_slot_snapshot: { args: ["ptr", "u32"], returns: "i32" },
  spl_scratch_poll: { args: ["ptr", "u32", "u32"], returns: "i32" },
} as const satisfies Record<keyof Native, FFIFunction>;
