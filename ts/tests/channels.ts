import assert from "node:assert/strict";
import type { Store } from "../store.ts";
import type { Channel, StoreValue } from "../types.ts";
import { soon, type Suite, TempDir, turn, until } from "./suite.ts";

/** Messages among all who have a channel open. */
export function channelTests({ test, Splinter }: Suite): void {
  test("A message goes to all others who have the channel open, and not to its sender", async () => {
    using store = Splinter.anonymous();
    using other = Splinter.open(store.path);
    const channels = [store, store, other, other].map((store) => store.channel("chat"));
    const ears = channels.map((channel) => new Ear(channel));
    for (const [i, channel] of channels.entries()) channel.postMessage(i);
    for (const [i, ear] of ears.entries()) {
      assert.deepEqual((await ear.hear(3)).toSorted(), [0, 1, 2, 3].filter((sender) => sender !== i));
    }
    await turn();
    for (const ear of ears) assert.deepEqual([ear.heard.length, ear.lost], [3, 0]);
    assert.equal(channels[0].name, "chat");
  });

  test("Messages are text, bytes or JSON, and arrive as what they were", async () => {
    using store = Splinter.anonymous({ maxValueSize: 65_536 });
    using other = Splinter.open(store.path);
    const channel = other.channel("chat");
    const ear = new Ear(store.channel("chat"));
    const floats = Float64Array.of(0.5, -1);
    const messages: [StoreValue, unknown][] = [
      ...["", "a", "grüße", "\ufeff\u{10ffff}", "{}", "x".repeat(300)].map((text) => [text, text] as [string, string]),
      [null, null],
      [true, true],
      [-0.5, -0.5],
      [[], []],
      [{ a: [1, { b: "ü" }], c: null }, { a: [1, { b: "ü" }], c: null }],
      [new Date(0), "1970-01-01T00:00:00.000Z"],
      [new Uint8Array(0), new Uint8Array(0)],
      [Uint8Array.of(1, 2, 3), Uint8Array.of(1, 2, 3)],
      [Uint8Array.of(9, 8, 7, 6).subarray(1, 3), Uint8Array.of(8, 7)],
      [floats, new Uint8Array(floats.buffer)],
      [floats.buffer, new Uint8Array(floats.buffer)],
      [new DataView(floats.buffer, 8), new Uint8Array(floats.buffer, 8)],
    ];
    for (const [message] of messages) channel.postMessage(message);
    assert.deepEqual(await ear.hear(messages.length), messages.map(([, expected]) => expected));
    for (const message of [undefined, () => {}, Symbol("s"), 7n, NaN, new Map([[1, 2]])]) {
      assert.throws(() => channel.postMessage(message as StoreValue), { code: "INVALID_ARGUMENT" });
    }
    channel.postMessage("end");
    assert.equal((await ear.hear(messages.length + 1)).at(-1), "end");
  });

  test("The messages of each sender come in their order", async () => {
    using store = Splinter.anonymous({ maxValueSize: 65_536 });
    using stack = new DisposableStack();
    const handles = Array.from({ length: 4 }, () => stack.use(Splinter.open(store.path)));
    const ear = new Ear(store.channel("chat"));
    const senders = handles.map((handle) => handle.channel("chat"));
    for (let i = 0; i < 500; i++) {
      for (const [sender, channel] of senders.entries()) channel.postMessage([sender, i]);
      if (i % 50 === 0) await turn();
    }
    const heard = await ear.hear(2000) as [number, number][];
    for (const [sender] of senders.entries()) {
      const numbers = heard.filter(([from]) => from === sender).map(([, number]) => number);
      assert.deepEqual(numbers, Array.from({ length: 500 }, (_, i) => i));
    }
    assert.equal(ear.lost, 0);
  });

  test("Channels of other names are other channels", async () => {
    using store = Splinter.anonymous();
    using other = Splinter.open(store.path);
    const names = ["a", "a/b", "a~1b", "a~b", "", "/", "~", "a/", "*", "größe"];
    const ears = names.map((name) => new Ear(store.channel(name)));
    for (const name of names) other.channel(name).postMessage(name);
    for (const [i, name] of names.entries()) assert.deepEqual(await ears[i].hear(1), [name]);
    await turn();
    for (const ear of ears) assert.equal(ear.heard.length, 1);
  });

  test("What was posted before a channel was opened is not heard", async () => {
    using store = Splinter.anonymous();
    using other = Splinter.open(store.path);
    const channel = other.channel("chat");
    channel.postMessage("early");
    for (let i = 0; i < 50; i++) {
      using late = store.channel("chat");
      channel.postMessage(i);
      assert.deepEqual(await new Ear(late).hear(1), [i]);
    }
  });

  test("What was posted arrives, though the sender and its store are closed at once", async () => {
    using store = Splinter.anonymous();
    const ear = new Ear(store.channel("chat"));
    const expected: number[] = [];
    for (let i = 0; i < 20; i++) {
      using other = Splinter.open(store.path);
      const channel = other.channel("chat");
      channel.postMessage(i);
      channel.close();
      expected.push(i);
      // Without a turn of the event loop in between: the next has the number of the one before, and goes on from there.
      if (i % 3 === 0) assert.deepEqual(await ear.hear(i + 1), expected);
    }
    assert.deepEqual(await ear.hear(20), expected);
    assert.equal(ear.lost, 0);
    // One key for them all.
    assert.equal([...store.keys({ prefix: "channel/" })].length, 1);
  });

  test("Messages that come too fast are lost, the newest are not, and who listens knows how many", async () => {
    using store = Splinter.anonymous({ maxValueSize: 256 });
    using other = Splinter.open(store.path);
    const ear = new Ear(store.channel("chat"));
    const own = new Ear(other.channel("chat"));
    for (let round = 1; round <= 3; round++) {
      for (let i = 0; i < 1000; i++) own.channel.postMessage(i);
      await until(() => ear.heard.at(-1) === 999 && ear.heard.length + ear.lost === round * 1000);
      const newest = ear.heard.splice(0) as number[];
      assert.deepEqual(newest.slice(-5), [995, 996, 997, 998, 999]);
      assert.deepEqual(newest, newest.toSorted((a, b) => a - b));
      ear.lost += newest.length;
    }
    // It has not lost its own.
    await turn();
    assert.deepEqual([own.heard, own.lost], [[], 0]);
  });

  test("Of two channels in one store, each has lost what the other posted, and not its own", async () => {
    using store = Splinter.anonymous({ maxValueSize: 256 });
    const [a, b] = [new Ear(store.channel("chat")), new Ear(store.channel("chat"))];
    for (let i = 0; i < 300; i++) {
      a.channel.postMessage(i);
      if (i % 3 === 0) b.channel.postMessage(i);
    }
    await until(() => a.heard.length + a.lost === 100 && b.heard.length + b.lost === 300);
    assert.ok(a.lost > 0 && b.lost > 0);
    await turn();
    a.channel.postMessage("last");
    await until(() => b.heard.at(-1) === "last");
    assert.equal(b.heard.length + b.lost, 301);
    assert.equal(a.heard.length + a.lost, 100);
  });

  test("A message as large as a value is taken, but for 24 bytes, and no larger one", async () => {
    for (const maxValueSize of [32, 100, 4096, 100_000]) {
      using store = Splinter.anonymous({ slots: 8, maxValueSize });
      using other = Splinter.open(store.path);
      const ear = new Ear(store.channel("chat"));
      const channel = other.channel("chat");
      const most = Math.min(maxValueSize & ~7, 65_536) - 24;
      channel.postMessage("x".repeat(most));
      assert.equal((await ear.hear(1))[0], "x".repeat(most));
      for (const message of ["x".repeat(most + 1), new Uint8Array(most + 1), "é".repeat(most)]) {
        assert.throws(() => channel.postMessage(message), {
          name: "ValueTooLargeError",
          message: new RegExp(`"chat".* at most ${most}`),
        });
      }
      channel.postMessage("next");
      assert.equal((await ear.hear(2))[1], "next");
    }
    using tiny = Splinter.anonymous({ slots: 8, maxValueSize: 16 });
    assert.throws(() => tiny.channel("chat").postMessage(""), { code: "VALUE_TOO_LARGE" });
  });

  test("A closed channel neither hears nor posts", async () => {
    using store = Splinter.anonymous();
    using other = Splinter.open(store.path);
    const closed = new Ear(store.channel("chat"));
    const open = new Ear(store.channel("chat"));
    const channel = other.channel("chat");
    channel.postMessage("before");
    await open.hear(1);
    closed.heard.length = 0;
    closed.channel.close();
    closed.channel.close();
    closed.channel[Symbol.dispose]();
    channel.postMessage("after");
    assert.deepEqual(await open.hear(2), ["before", "after"]);
    await turn();
    assert.deepEqual(closed.heard, []);
    const left = Splinter.open(store.path);
    const orphan = left.channel("chat");
    left.close();
    for (const channel of [closed.channel, orphan]) {
      assert.throws(() => channel.postMessage(""), (error) => {
        assert.ok(error instanceof DOMException);
        assert.equal(error.name, "InvalidStateError");
        return true;
      });
      channel.close();
    }
    assert.throws(() => left.channel("chat"), { code: "CLOSED" });
  });

  test("A channel can be closed, and its store too, while it delivers", async () => {
    for (
      const close of [(channel: Channel, _: Store) => channel.close(), (_: Channel, store: Store) => store.close()]
    ) {
      using store = Splinter.anonymous();
      using other = Splinter.open(store.path);
      const channel = other.channel("chat");
      const ear = new Ear(channel);
      channel.addEventListener("message", ({ data }) => data === 2 && close(channel, other));
      const sender = store.channel("chat");
      for (let i = 0; i < 5; i++) sender.postMessage(i);
      await until(() => ear.heard.includes(2));
      await turn();
      assert.deepEqual(ear.heard, [0, 1, 2]);
    }
  });

  test("A channel is an event target", async () => {
    using store = Splinter.anonymous();
    using sender = Splinter.open(store.path).channel("chat");
    using channel = store.channel("chat");
    assert.ok(channel instanceof EventTarget);
    assert.equal(channel.onmessage, null);
    assert.equal(channel.onmessageerror, null);
    const log: string[] = [];
    channel.addEventListener("message", (event) => log.push(`first ${event.type} ${event.data}`), { once: true });
    channel.onmessage = () => log.push("never called");
    channel.addEventListener("message", () => log.push("third"));
    const handler = (event: MessageEvent) => log.push(`second ${event instanceof MessageEvent}`);
    channel.onmessage = handler;
    assert.equal(channel.onmessage, handler);
    sender.postMessage(1);
    await until(() => log.length === 3);
    assert.deepEqual(log, ["first message 1", "second true", "third"]);
    channel.onmessage = null;
    sender.postMessage(2);
    await until(() => log.length === 4);
    assert.equal(log[3], "third");
    channel.onmessage = 7 as unknown as null;
    assert.equal(channel.onmessage, null);
  });

  test("What is fetched while a channel delivers does not change what it delivers", async () => {
    using store = Splinter.anonymous();
    using sender = Splinter.open(store.path).channel("chat");
    const channel = store.channel("chat");
    store.set("key", "x".repeat(4000));
    const heard: unknown[] = [];
    channel.onmessage = ({ data }) => {
      heard.push(data);
      // Fetches at once, into the memory of all watches.
      const watch = store.watch("key", { initial: true });
      for (let i = 0; i < 8; i++) void watch.next();
      watch[Symbol.dispose]();
    };
    const messages = Array.from({ length: 50 }, (_, i) => `message ${i}`);
    for (const message of messages) sender.postMessage(message);
    await until(() => heard.length === 50);
    assert.deepEqual(heard, messages);
  });

  test("A read-only store hears, and cannot post", async () => {
    using dir = new TempDir();
    using store = Splinter.create(dir.file());
    using reader = Splinter.open(dir.file(), { readOnly: true });
    const ear = new Ear(reader.channel("chat"));
    store.channel("chat").postMessage("hello");
    assert.deepEqual(await ear.hear(1), ["hello"]);
    assert.throws(() => ear.channel.postMessage("hello"), { code: "PERMISSION", message: /read-only/ });
  });

  test("A channel outlives the deletion of its keys, and values that are no messages", async () => {
    using store = Splinter.anonymous();
    using other = Splinter.open(store.path);
    const ear = new Ear(store.channel("chat"));
    const channel = other.channel("chat");
    channel.postMessage(1);
    await ear.hear(1);
    for (const key of store.list()) store.unset(key);
    channel.postMessage(2);
    assert.deepEqual(await ear.hear(2), [1, 2]);
    const garbage = ["", "x", new Uint8Array(8), new Uint8Array(64), new Uint8Array(64).fill(255), window(2 ** 31 - 1)];
    for (const value of garbage) {
      store.set("channel/chat/77", value);
      store.set("channel/chat/78", value);
      using late = store.channel("chat");
      channel.postMessage("still there");
      assert.deepEqual(await new Ear(late).hear(1), ["still there"]);
    }
    assert.deepEqual(ear.heard.slice(2), Array(6).fill("still there"));
    // A successor that finds nothing of its predecessor's.
    channel.close();
    for (const key of store.list()) store.unset(key);
    other.channel("chat").postMessage("anew");
    assert.equal((await ear.hear(9))[8], "anew");
  });

  test("A name that cannot be one says so at once", () => {
    using store = Splinter.anonymous({ maxKeySize: 32 });
    store.channel("x".repeat(19)).close();
    for (const name of ["x".repeat(20), "/".repeat(10), "é".repeat(10)]) {
      assert.throws(() => store.channel(name), { code: "KEY_TOO_LONG" });
    }
    for (const name of ["\0", "\ud800"]) assert.throws(() => store.channel(name), { code: "KEY_INVALID" });
    for (const name of [undefined, null, 7, {}]) {
      assert.throws(() => store.channel(name as unknown as string), { code: "INVALID_ARGUMENT", message: /"name"/ });
    }
  });
}

/** A window of countless messages, the last of which says that it is so long. */
function window(length: number): Uint8Array {
  const view = new DataView(new ArrayBuffer(64));
  view.setUint32(64 - 8 - 8, length, true);
  view.setBigUint64(64 - 8, 2n ** 63n, true);
  return new Uint8Array(view.buffer);
}

/** Remembers what a channel has heard. */
class Ear {
  readonly heard: unknown[] = [];
  lost = 0;

  constructor(readonly channel: Channel) {
    channel.addEventListener("message", ({ data }) => this.heard.push(data));
    channel.addEventListener("messageerror", ({ data }) => this.lost += data.lost);
  }

  /** What it has heard, once it is so much. */
  async hear(count: number): Promise<unknown[]> {
    const enough = until(() => this.heard.length >= count, `It heard no more than ${JSON.stringify(this.heard)}`);
    await soon(enough);
    return this.heard.slice(0, count);
  }
}
