/** What every runtime must do, written once: each runtime's own tests run this suite. */
import { changeTests } from "./changes.ts";
import { channelTests } from "./channels.ts";
import { durabilityTests } from "./durability.ts";
import { endingTests } from "./endings.ts";
import { errorTests } from "./errors.ts";
import { keyTests } from "./keys.ts";
import { lifecycleTests } from "./lifecycle.ts";
import { lookingTests } from "./looking.ts";
import { modelTests } from "./model.ts";
import { operationTests } from "./operations.ts";
import { processTests } from "./processes.ts";
import type { Suite } from "./suite.ts";
import { valueTests } from "./values.ts";
import { watchTests } from "./watching.ts";

/** Registers all of it. */
export function behaviour(suite: Suite): void {
  valueTests(suite);
  keyTests(suite);
  errorTests(suite);
  operationTests(suite);
  lookingTests(suite);
  modelTests(suite);
  lifecycleTests(suite);
  durabilityTests(suite);
  watchTests(suite);
  changeTests(suite);
  channelTests(suite);
  processTests(suite);
  endingTests(suite);
}
