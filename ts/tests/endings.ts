import assert from "node:assert/strict";
import process from "node:process";
import type { Store } from "../store.ts";
import { outcomeOf, RUNTIME_NAMES, runtimeOf, start } from "./programs.ts";
import {
  descriptors,
  PATIENCE_MS,
  sleeps,
  soon,
  type Suite,
  take,
  takeOne,
  TempDir,
  turn,
  until,
  waitingThreads,
} from "./suite.ts";

/** How often a process ends in each way. */
const ENDINGS = 25;

/** How many watches come and go. */
const CYCLES = Number(process.env.SPLINTER_TEST_CYCLES ?? 2000);

/** What may be in use after many cycles that was not before, for reasons of the runtime. */
const SLACK_BYTES = 48 << 20;

/** What watches take of a process and leave of it, and those of other processes and threads. */
export function endingTests({ test, Splinter, module, collectGarbage }: Suite): void {
  const here = runtimeOf(module);

  /** Has another process overwrite "value" as fast as it can while a block runs. */
  const storm = async (store: Store, block: () => Promise<void>) => {
    store.set("value", new Uint8Array(1).fill(1));
    const ended = start({ runtime: here, store, job: "hammer" });
    try {
      await until(() => store.has("ready"));
      await block();
    } finally {
      store.set("stop", "");
      assert.equal(await ended, 0);
    }
  };

  test("A thousand watches take one thread and one socket", async () => {
    const store = Splinter.anonymous({ slots: 2048 });
    const [threads, files] = [waitingThreads(), descriptors()];
    const watches = Array.from({ length: 1000 }, (_, i) => store.watch(i % 2 ? `key/${i}` : `key/${i}*`));
    const polls = Array.from({ length: 100 }, (_, i) => store.pollAsync(`key/${i}`));
    await until(() => waitingThreads() > threads);
    assert.equal(waitingThreads(), threads + 1);
    assert.ok(descriptors() <= files + 4, `${descriptors()} descriptors, ${files} before`);
    for (let i = 0; i < 1000; i++) store.set(`key/${i}`, "");
    assert.ok((await soon(Promise.all(polls))).every((changed) => changed));
    for (const [i, watch] of watches.entries()) assert.equal((await takeOne(watch)).key, `key/${i}`);
    // Whoever has delivered something is known.
    assert.equal(waitingThreads(), threads + 1);
    store.close();
    await until(() => waitingThreads() === threads);
    assert.ok(descriptors() < files);
  });

  test("Nothing is started for a store that is not watched", () => {
    const [threads, files] = [waitingThreads(), descriptors()];
    using store = Splinter.anonymous();
    const opened = descriptors();
    store.set("key", "");
    store.poll("key", 1);
    assert.deepEqual([waitingThreads(), descriptors()], [threads, opened]);
    assert.ok(opened > files);
  });

  test("A store whose watches have all ended follows its changes no more", async () => {
    using store = Splinter.anonymous();
    // How often its thread wakes up while the store changes again and again.
    const wakes = async () => {
      const before = sleeps();
      for (let i = 0; i < 200; i++) {
        store.set("key", i);
        await turn();
      }
      return sleeps() - before;
    };
    const unsubscribe = store.subscribe("k*", () => {});
    using watch = store.watch("key");
    using changes = store.changes();
    const poll = store.pollAsync("key");
    using channel = store.channel("chat");
    await until(() => waitingThreads() > 0);
    const whileWatched = await wakes();
    unsubscribe();
    channel.close();
    watch[Symbol.dispose]();
    await changes.return();
    assert.equal(await poll, true);
    const afterwards = await wakes();
    assert.ok(afterwards < whileWatched / 4, `${afterwards} times, ${whileWatched} before`);
  });

  for (const runtime of RUNTIME_NAMES) {
    test(`What ${runtime} changes is seen in every way of watching`, async () => {
      using dir = new TempDir();
      using store = Splinter.create(dir.file());
      const ended = start({ runtime, store, job: "tick" });
      try {
        using watch = store.watch("t*");
        using changes = store.changes();
        let calls = 0;
        using _ = store.subscribe(["tick"], () => calls++);
        const [first, ...rest] = await take(watch, 20);
        for (const [i, { epoch, seq }] of rest.entries()) {
          const before = i === 0 ? first : rest[i - 1];
          assert.ok(epoch > before.epoch && seq > before.seq);
        }
        let last = 0n;
        for (const change of await take(changes, 20)) {
          assert.ok(change.kind === "set");
          if (change.key !== "tick") continue;
          assert.ok(change.epoch > last);
          last = change.epoch;
        }
        for (let i = 0; i < 20; i++) assert.equal(await soon(store.pollAsync("tick")), true);
        await until(() => calls >= 20);
      } finally {
        store.set("stop", "");
        assert.equal(await ended, 0);
      }
    });

    test(`Everything that ${runtime} changes adds up`, async () => {
      using dir = new TempDir();
      using store = Splinter.create(dir.file());
      using changes = store.changes();
      using watch = store.watch({ prefix: "count/" });
      const ended = start({ runtime, store, job: "count" });
      let told = 0n;
      for (let isOver = false; !isOver;) {
        const change = await takeOne(changes);
        if (change.kind === "lost") told += change.count;
        else if (change.kind !== "current") told++;
        if (told === store.getBusHeaderSnapshot().epoch) isOver = store.has("done");
      }
      assert.equal(await ended, 0);
      const last = new Map<string, bigint>();
      while (last.size < 10 || [...last].some(([key, epoch]) => epoch !== store.epoch(key))) {
        const { key, epoch } = await takeOne(watch);
        assert.ok(epoch > (last.get(key) ?? 0n));
        last.set(key, epoch);
      }
    });

    test(`A channel reaches ${runtime} and back`, async () => {
      using dir = new TempDir();
      using store = Splinter.create(dir.file());
      using channel = store.channel("chat/room");
      const heard: unknown[] = [];
      channel.onmessage = ({ data }) => heard.push(data);
      const ended = start({ runtime, store, job: "echo" });
      try {
        await until(() => heard.length === 1);
        const messages = ["grüße", { a: [1, null] }, new Uint8Array([1, 2, 3]), "", 0.5];
        for (const message of messages) channel.postMessage(message);
        await until(() => heard.length === 6);
        assert.deepEqual(heard, ["hello", ...messages]);
      } finally {
        channel.postMessage("stop");
        assert.equal(await ended, 0);
      }
      // Its last words, though it has closed everything at once.
      await until(() => heard.length === 9);
      assert.deepEqual(heard.slice(6), ["one", "two", "three"]);
    });
  }

  type Flood = (event: { key: string }) => void;
  const floods: Record<string, (store: Store, flood: Flood, signal: AbortSignal) => Promise<void> | void> = {
    "that is called back": (store, flood, signal) => void store.subscribe("*", flood, { initial: true, signal }),
    "that is read in a loop": async (store, flood, signal) => {
      for await (const event of store.watch("*", { initial: true, signal })) flood(event);
    },
  };
  for (const [name, begin] of Object.entries(floods)) {
    test(`A flood ${name} does not keep the event loop from its turns`, async () => {
      using store = Splinter.anonymous({ slots: 512 });
      for (let i = 0; i < 256; i++) store.set(`key/${i}`, "");
      const abort = new AbortController();
      let calls = 0;
      let callsAtTurn = 0;
      const ended = begin(store, ({ key }) => {
        store.set(key, ++calls);
        // Takes longer than the change does to come back.
        for (const end = performance.now() + 0.05; performance.now() < end;);
        if (calls > callsAtTurn + 10_000) abort.abort(new Error("The event loop has had no turn"));
      }, abort.signal);
      for (let turns = 0; turns < 50 || calls < 5000; turns++) {
        await turn();
        abort.signal.throwIfAborted();
        callsAtTurn = calls;
      }
      abort.abort();
      await ended;
    });
  }

  const statuses = { "exit": 7, "exit in a callback": 7, "throw": 1, "throw in a callback": 1, "end": 0, "close": 0 };
  for (const [way, expected] of Object.entries(statuses)) {
    test(`A process that is left by "${way}" while changes storm in ends as it should`, async () => {
      using dir = new TempDir();
      using store = Splinter.create(dir.file());
      await storm(store, async () => {
        const leave = async () => {
          const outcome = await outcomeOf({ runtime: here, script: "./leaver.ts", store, job: way });
          assert.equal(outcome.status, expected, outcome.errors);
          if (expected === 1) assert.match(outcome.errors, /Nobody catches this/);
          else assert.equal(outcome.errors, "");
        };
        for (let i = 0; i < ENDINGS; i += 5) await Promise.all(Array.from({ length: 5 }, leave));
      });
    });
  }

  test("What callbacks and listeners throw is reported as uncaught, and they are called again", async () => {
    using store = Splinter.anonymous();
    const { status, output, errors } = await outcomeOf({
      runtime: here,
      script: "./leaver.ts",
      store,
      job: "report",
    });
    assert.equal(status, 0, errors);
    const lines = output.trim().split("\n");
    assert.deepEqual(lines.filter((line) => line.startsWith("Call")), ["Call 1", "Call 2", "Call 3"]);
    assert.deepEqual(lines.filter((line) => line.startsWith("Message")), ["Message 1", "Message 2", "Message 3"]);
  });

  test("Threads that watch can be terminated while changes storm in", async () => {
    using dir = new TempDir();
    using store = Splinter.create(dir.file());
    await storm(store, async () => {
      const outcome = await outcomeOf({ runtime: here, script: "./leaver.ts", store, job: "terminate" });
      assert.equal(outcome.status, 0, outcome.errors);
      assert.equal(outcome.errors, "");
    });
  });

  test(`${CYCLES} watches that come and go leave nothing behind`, async () => {
    using store = Splinter.anonymous();
    const other = Splinter.open(store.path);
    const cycle = async (i: number) => {
      const signal = new AbortController().signal;
      const watch = store.watch(i % 2 ? "key" : "k*", { signal });
      const changed = store.pollAsync("key", { signal });
      const unsubscribe = store.subscribe("key", () => {});
      other.set("key", i);
      for await (const { key } of watch) {
        assert.equal(key, "key");
        break;
      }
      assert.equal(await changed, true);
      unsubscribe();
      if (i % 10 > 0) return;
      using changes = store.changes();
      other.set("key", i);
      await changes.next();
      using channel = store.channel("chat");
      using sender = other.channel("chat");
      const heard = new Promise((resolve) => channel.onmessage = resolve);
      sender.postMessage(i);
      await heard;
    };
    await assertLeavesNothing(cycle, CYCLES);
    other.close();
  });

  test(`${CYCLES / 20} stores that are watched and closed leave nothing behind`, async () => {
    using dir = new TempDir();
    using store = Splinter.create(dir.file());
    await assertLeavesNothing(async (i) => {
      const other = Splinter.open(dir.file());
      const watch = other.watch("key");
      store.set("key", i);
      assert.equal((await watch.next()).value?.key, "key");
      const waiting = watch.next();
      other.close();
      assert.deepEqual(await waiting, { done: true, value: undefined });
    }, CYCLES / 20);
  });

  test("A store that was watched, and that nobody closed and nobody can reach, is closed in the end", async () => {
    const [threads, files] = [waitingThreads(), descriptors()];
    const watchAndForget = async () => {
      const store = Splinter.anonymous({ slots: 8 });
      const watch = store.watch("key");
      store.set("key", "");
      await takeOne(watch);
      await watch.return();
      const changed = store.pollAsync("key");
      store.set("key", "");
      await changed;
      store.channel("chat").close();
    };
    for (let i = 0; i < 50; i++) await watchAndForget();
    // What is collected is left to the collector, so some may stay.
    await until(() => {
      collectGarbage();
      return waitingThreads() <= threads + 25 && descriptors() <= files + 100;
    });
  });

  test("A store that nobody can reach lives on while it is watched", async () => {
    using dir = new TempDir();
    using store = Splinter.create(dir.file());
    const stop = { abort: new AbortController(), calls: 0 };
    const watch = (() => {
      const { signal } = stop.abort;
      Splinter.open(dir.file()).subscribe("key", () => stop.calls++, { signal });
      return Splinter.open(dir.file()).watch("key", { signal });
    })();
    for (let i = 0; i < 20; i++) {
      collectGarbage();
      await turn();
      const { calls } = stop;
      store.set("key", i);
      await takeOne(watch);
      await until(() => stop.calls > calls);
    }
    stop.abort.abort();
  });

  /** Runs something many times, and compares what the process holds with what it held before, after a while of it. */
  async function assertLeavesNothing(cycle: (i: number) => Promise<void>, cycles: number): Promise<void> {
    const warmUp = Math.min(cycles, 500);
    for (let i = 0; i < warmUp; i++) await cycle(i);
    const before = await usage();
    const end = Date.now() + PATIENCE_MS;
    for (let i = 0; i < cycles; i++) await cycle(i);
    // What a closed socket or a terminated thread leaves, the runtime may take its time to clear away.
    let after = await usage();
    while (!isNear(after, before) && Date.now() < end) after = await usage();
    assert.ok(isNear(after, before), `${JSON.stringify(after)} after, ${JSON.stringify(before)} before`);
  }

  async function usage() {
    collectGarbage();
    await turn();
    return { threads: waitingThreads(), files: descriptors(), bytes: process.memoryUsage().rss };
  }
}

type Usage = Record<"threads" | "files" | "bytes", number>;

function isNear(after: Usage, before: Usage): boolean {
  return after.threads <= before.threads && after.files <= before.files + 4 &&
    after.bytes <= before.bytes + SLACK_BYTES;
}
