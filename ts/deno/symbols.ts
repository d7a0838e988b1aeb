/**
 * The native functions as Deno's FFI wants them declared.
 *
 * @module
 */

/** One entry for each function that {@linkcode Native} has. */
export const symbols = {
  spl_abi: { parameters: [], result: "u32" },
  spl_open: { parameters: ["u32", "buffer", "u32", "buffer", "buffer"], result: "pointer" },
  spl_close: { parameters: ["pointer"], result: "i32" },
  spl_remove: { parameters: ["u32", "buffer", "u32", "buffer"], result: "i32" },
  spl_path: { parameters: ["pointer", "buffer", "u32"], result: "i32" },
  spl_header_snapshot: { parameters: ["pointer", "buffer"], result: "i32" },
  spl_auto_vacuum: { parameters: ["pointer"], result: "i32" },
  spl_set_auto_vacuum: { parameters: ["pointer", "u32"], result: "i32" },
  spl_sync: { parameters: ["pointer", "buffer"], result: "i32" },
  spl_backup: { parameters: ["pointer", "buffer", "u32", "buffer"], result: "i32" },
  spl_scan: { parameters: ["pointer", "buffer", "buffer", "u32", "buffer", "u32"], result: "i32" },
  spl_handle_id: { parameters: ["pointer"], result: "i32" },
  spl_selector: { parameters: ["pointer", "buffer"], result: "i32" },
  spl_watch: { parameters: ["pointer", "u32", "buffer", "u32", "u32", "buffer", "buffer"], result: "i32" },
  spl_changes: { parameters: ["pointer", "u32", "buffer", "buffer"], result: "i32" },
  spl_unwatch: { parameters: ["pointer", "u32"], result: "i32" },
  spl_ready: { parameters: ["pointer", "buffer", "u32"], result: "i32" },
  spl_next: { parameters: ["pointer", "u32", "buffer", "u32"], result: "i32" },
  spl_scratch: { parameters: ["pointer", "buffer", "u32"], result: "i32" },
  spl_scratch_get: { parameters: ["pointer", "u32"], result: "i32" },
  spl_scratch_get_into: { parameters: ["pointer", "u32", "buffer", "u32"], result: "i32" },
  spl_scratch_set: { parameters: ["pointer", "u32", "u32"], result: "i32" },
  spl_scratch_try_set: { parameters: ["pointer", "u32", "u32"], result: "i32" },
  spl_scratch_set_from: { parameters: ["pointer", "u32", "buffer", "u32"], result: "i32" },
  spl_scratch_try_set_from: { parameters: ["pointer", "u32", "buffer", "u32"], result: "i32" },
  spl_scratch_unset: { parameters: ["pointer", "u32"], result: "i32" },
  spl_scratch_try_unset: { parameters: ["pointer", "u32"], result: "i32" },
  spl_scratch_contains: { parameters: ["pointer", "u32"], result: "i32" },
  spl_scratch_epoch: { parameters: ["pointer", "u32"], result: "i32" },
  spl_scratch_slot_snapshot: { parameters: ["pointer", "u32"], result: "i32" },
  spl_scratch_poll: { parameters: ["pointer", "u32", "u32"], result: "i32" },
} as const satisfies Deno.ForeignLibraryInterface;
