/** The reader of `reader.bun.ts` and `reader.deno.ts`: writes an answer to the standard output while it comes. */
import process from "node:process";
import type { Store } from "splinter-bus";

const decoder = new TextDecoder();

/** Follows the answer to its end. It does not matter when a reader joins: what is there already comes first. */
export async function read(store: Store): Promise<void> {
  let length = 0;
  let total = Infinity;
  for await (const event of store.watch(["answer", "answer/state"], { appended: true, initial: true })) {
    if (event.key === "answer" && event.value) {
      if (event.offset < length) process.stdout.write("\n--- the answer begins anew ---\n");
      process.stdout.write(event.value);
      length = event.offset + event.value.length;
    } else if (event.value) {
      total = JSON.parse(decoder.decode(event.value)).length ?? Infinity;
    } else if (event.kind === "expired") {
      throw new Error("The writer has died");
    }
    // An event brings the newest state of its key, so the end may be told before the last bytes come.
    if (length === total) return;
  }
}
