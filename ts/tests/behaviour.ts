/** What every runtime must do, written once: each runtime's own tests run this suite. */
import { errorTests } from "./errors.ts";
import { keyTests } from "./keys.ts";
import { lifecycleTests } from "./lifecycle.ts";
import { processTests } from "./processes.ts";
import type { Suite } from "./suite.ts";
import { valueTests } from "./values.ts";

/** Registers all of it. */
export function behaviour(suite: Suite): void {
  valueTests(suite);
  keyTests(suite);
  errorTests(suite);
  lifecycleTests(suite);
  processTests(suite);
}
