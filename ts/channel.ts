/**
 * Channels: messages to all who listen, by way of the store.
 *
 * Each store handle that posts has one key for each channel, `channel/NAME/ID`, by the number that no other living handle
 * has: no two writers share a key, so that no message can overwrite another's. In the name `~` is written `~0` and `/`
 * is written `~1`. The value is a window, all numbers little-endian:
 *
 * | bytes | |
 * |---|---|
 * | n | the most recent messages, as many as fit, the oldest first |
 * | 8 | how many messages were ever posted with this key |
 *
 * and each message is
 *
 * | bytes | |
 * |---|---|
 * | n | the payload, and zeros up to a multiple of 8 |
 * | 8 | a random number, that of the channel object which posted it |
 * | 4 | the length of the payload |
 * | 4 | its type: 0 bytes, 1 text, 2 JSON |
 *
 * A listener watches all keys of the channel and knows how many messages of each it has seen. Those that fell out of the
 * window before it looked are lost, and it knows how many.
 *
 * @module
 */
import * as check from "./arguments.ts";
import { InvalidArgumentError, ValueTooLargeError } from "./errors.ts";
import { quote } from "./failures.ts";
import { type Hub, ValueFeed, type ValueRecord } from "./hub.ts";
import { encode, type Memory, roundUp } from "./scratch.ts";
import type { Store } from "./store.ts";
import type { Channel, StoreValue } from "./types.ts";
import { Subscription } from "./watching.ts";

/** No window is larger, however large values can be: the whole of it is written with each message. */
const MAX_WINDOW_BYTES = 65_536;

/** What stands behind a payload. */
const FOOT_BYTES = 16;

/** Where in it the length of the payload stands, and its type. */
const LENGTH_AT = 8;
const TYPE_AT = 12;

/** What stands behind the messages. */
const COUNT_BYTES = 8;

/** The largest number of a handle. */
const MAX_ID = 1023;

const Type = { bytes: 0, text: 1, json: 2 };

/** The channels of one store. */
export class Channels {
  readonly #store: Store;
  readonly #hub: Hub;
  readonly #maxWindow: number;
  /** Those that are open, and what is shared by those of one name. */
  readonly #open = new Map<string, { sender: Sender; channels: number }>();

  /**
   * Prepares.
   *
   * @param store The store.
   * @param hub Its watches.
   * @param maxValueSize The largest value of the store.
   */
  constructor(store: Store, hub: Hub, maxValueSize: number) {
    this.#store = store;
    this.#hub = hub;
    this.#maxWindow = Math.min(maxValueSize, MAX_WINDOW_BYTES) & ~7;
  }

  /**
   * Opens a channel.
   *
   * @param name Its name.
   * @param within What the keys of the channel begin with.
   * @returns The channel.
   */
  open(name: string, within: string): Channel {
    if (typeof name !== "string") {
      throw new InvalidArgumentError(`"name" must be a string, not ${typeof name}`);
    }
    const prefix = `${within}channel/${name.replaceAll("~", "~0").replaceAll("/", "~1")}/`;
    // The store says whether it takes such keys, now rather than when the first message is posted.
    this.#store.has(prefix + MAX_ID);
    const shared = this.#open.get(prefix) ??
      { sender: new Sender(this.#store, this.#hub, name, prefix, this.#maxWindow), channels: 0 };
    const channel = new StoreChannel(name, prefix, this.#store, this.#hub, shared.sender, () => {
      if (--shared.channels === 0) this.#open.delete(prefix);
    });
    shared.channels++;
    this.#open.set(prefix, shared);
    // The types of an event target's listeners know nothing of messages.
    return channel as Channel;
  }
}

/** Posts for all channel objects of one name and one store handle. */
class Sender {
  readonly #store: Store;
  readonly #hub: Hub;
  readonly #name: string;
  readonly #prefix: string;
  readonly #maxWindow: number;
  #window: Window | undefined;

  constructor(store: Store, hub: Hub, name: string, prefix: string, maxWindow: number) {
    this.#store = store;
    this.#hub = hub;
    this.#name = name;
    this.#prefix = prefix;
    this.#maxWindow = maxWindow;
  }

  /** The key under which it posts, once it has. */
  get key(): string | undefined {
    return this.#window?.key;
  }

  /** Posts a message from one of the objects, and returns its number: how many there have been. */
  post(from: bigint, message: StoreValue): bigint {
    const data = check.serialize(message);
    // Who receives it could not tell it from bytes.
    if (typeof data === "bigint") throw new InvalidArgumentError("Message must not be a bigint");
    const payload = typeof data === "string" ? encode(data) : data;
    const type = typeof data !== "string" ? Type.bytes : typeof message === "string" ? Type.text : Type.json;
    // That of a dead handle with the same number goes on: somebody may not have looked at it yet.
    const window = this.#window ??= this.#load();
    if (!window.put(from, type, payload)) {
      const most = Math.max(this.#maxWindow - FOOT_BYTES - COUNT_BYTES, 0);
      throw new ValueTooLargeError(
        `Message of ${payload.length} bytes for channel ${quote(this.#name)} is too large, ` +
          `the store takes at most ${most}`,
      );
    }
    this.#store.set(window.key, window.value());
    return window.keep();
  }

  #load(): Window {
    const key = this.#prefix + this.#hub.handleId();
    return new Window(key, this.#maxWindow, this.#store.getRaw(key));
  }
}

/** The most recent messages of one sender. */
class Window {
  readonly key: string;
  readonly #maxBytes: number;
  // Twice the room, so that dropping the oldest seldom moves the others.
  readonly #bytes: Uint8Array<ArrayBuffer>;
  readonly #view: DataView;
  /** How many bytes each message takes. */
  readonly #sizes: number[] = [];
  #start = 0;
  #end = 0;
  #count = 0n;
  /** How many bytes the message takes that was put down, but not kept yet. */
  #put = 0;

  constructor(key: string, maxBytes: number, left: Uint8Array<ArrayBuffer> | null) {
    this.key = key;
    this.#maxBytes = maxBytes;
    this.#bytes = new Uint8Array(2 * maxBytes);
    this.#view = new DataView(this.#bytes.buffer);
    if (left === null || !isWindow(left.length) || left.length > maxBytes) return;
    this.#bytes.set(left);
    this.#end = left.length - COUNT_BYTES;
    this.#count = this.#view.getBigUint64(this.#end, true);
    this.#start = this.#end;
    while (this.#start >= FOOT_BYTES) {
      const size = FOOT_BYTES + roundUp(this.#view.getInt32(this.#start - FOOT_BYTES + LENGTH_AT, true));
      if (size < FOOT_BYTES || size > this.#start) break;
      this.#sizes.unshift(size);
      this.#start -= size;
    }
  }

  /** Puts a message behind the others. Tells whether it fits. */
  put(from: bigint, type: number, payload: Uint8Array): boolean {
    const { length } = payload;
    // Too large a number could not be rounded.
    if (length > this.#maxBytes) return false;
    const size = FOOT_BYTES + roundUp(length);
    const most = this.#maxBytes - size - COUNT_BYTES;
    if (most < 0) return false;
    while (this.#end - this.#start > most) this.#start += this.#sizes.shift()!;
    if (this.#end + size + COUNT_BYTES > this.#bytes.length) {
      this.#bytes.copyWithin(0, this.#start, this.#end);
      this.#end -= this.#start;
      this.#start = 0;
    }
    const foot = this.#end + size - FOOT_BYTES;
    this.#bytes.set(payload, this.#end);
    this.#bytes.fill(0, this.#end + length, foot);
    this.#view.setBigUint64(foot, from, true);
    this.#view.setUint32(foot + LENGTH_AT, length, true);
    this.#view.setUint32(foot + TYPE_AT, type, true);
    this.#view.setBigUint64(foot + FOOT_BYTES, this.#count + 1n, true);
    this.#put = size;
    return true;
  }

  /** The value, with the message that was put down. */
  value(): Uint8Array {
    return this.#bytes.subarray(this.#start, this.#end + this.#put + COUNT_BYTES);
  }

  /** Keeps the message that was put down, now that others can see it. Returns how many there have been. */
  keep(): bigint {
    this.#end += this.#put;
    this.#sizes.push(this.#put);
    return ++this.#count;
  }
}

/** Stands for a message that cannot be made out. */
const ILLEGIBLE = Symbol("illegible");

/** One end of a channel. */
class StoreChannel extends EventTarget implements Omit<Channel, "addEventListener"> {
  readonly name: string;
  readonly #id: bigint = crypto.getRandomValues(new BigUint64Array(1))[0];
  readonly #hub: Hub;
  readonly #sender: Sender;
  readonly #leave: () => void;
  readonly #feed: ValueFeed;
  /** How many messages of each key it has seen. */
  readonly #seen = new Map<string, bigint>();
  /** The numbers of the messages that it has posted and not seen yet. */
  #posted: bigint[] = [];
  #onMessage: Channel["onmessage"] | undefined;
  #onMessageError: Channel["onmessageerror"] | undefined;

  constructor(name: string, prefix: string, store: Store, hub: Hub, sender: Sender, leave: () => void) {
    super();
    this.name = name;
    this.#hub = hub;
    this.#sender = sender;
    this.#leave = leave;
    this.#feed = new ValueFeed(hub, store, check.pattern({ prefix }), check.start({}));
    try {
      // Now that the watch has begun, so that no message is neither here nor there.
      for (const [key, value] of store.entries({ prefix })) {
        if (isWindow(value.length)) this.#seen.set(key, countOf(value));
      }
    } catch (error) {
      this.#feed.end();
      throw error;
    }
    new Subscription(this.#feed, (record) => this.#receive(record));
  }

  get onmessage(): Channel["onmessage"] {
    return this.#onMessage ?? null;
  }

  set onmessage(handler: Channel["onmessage"]) {
    // Its turn among the listeners is that of the first handler.
    if (this.#onMessage === undefined) {
      this.addEventListener("message", (event) => this.#onMessage?.(event as MessageEvent));
    }
    this.#onMessage = typeof handler === "function" ? handler : null;
  }

  get onmessageerror(): Channel["onmessageerror"] {
    return this.#onMessageError ?? null;
  }

  set onmessageerror(handler: Channel["onmessageerror"]) {
    if (this.#onMessageError === undefined) {
      this.addEventListener("messageerror", (event) => this.#onMessageError?.(event as MessageEvent));
    }
    this.#onMessageError = typeof handler === "function" ? handler : null;
  }

  postMessage(message: StoreValue): void {
    if (this.#feed.isOver) {
      throw new DOMException(`Channel ${quote(this.name)} is closed`, "InvalidStateError");
    }
    this.#posted.push(this.#sender.post(this.#id, message));
  }

  close(): void {
    if (this.#feed.isOver) return;
    this.#feed.end();
    this.#leave();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** Delivers what is new in a window. */
  #receive({ memory, key, at, length }: ValueRecord): void {
    if (!isWindow(length)) return;
    const { words, longs } = memory;
    let end = at + length - COUNT_BYTES;
    const count = longs[end >> 3];
    const seen = this.#seen.get(key) ?? 0n;
    // A sender who found its key deleted has begun anew.
    const fresh = Number(count < seen ? count : count - seen);
    let missing = fresh;
    this.#seen.set(key, count);
    const messages: unknown[] = [];
    while (missing > 0 && end - at >= FOOT_BYTES) {
      const foot = end - FOOT_BYTES;
      const payloadLength = words[(foot + LENGTH_AT) >> 2];
      // Whoever may write to the store may have written anything.
      if (payloadLength < 0 || payloadLength > foot - at) break;
      const payload = foot - roundUp(payloadLength);
      if (longs[foot >> 3] !== this.#id) {
        messages.push(this.#decode(memory, payload, payloadLength, words[(foot + TYPE_AT) >> 2]));
      }
      end = payload;
      missing--;
    }
    if (key === this.#sender.key) missing -= this.#forget(count, count - BigInt(fresh - missing));
    // Listeners may fetch something else into the same memory: everything has been decoded before the first is called.
    if (missing > 0) this.#dispatch("messageerror", { lost: missing });
    while (messages.length > 0) {
      const data = messages.pop();
      if (data === ILLEGIBLE) this.#dispatch("messageerror", { lost: 1 });
      else this.#dispatch("message", data);
    }
  }

  /** Forgets its own messages up to a number, and tells how many of them are gone from the window, up to another one. */
  #forget(seen: bigint, gone: bigint): number {
    if (this.#posted.length === 0) return 0;
    const count = this.#posted.filter((number) => number <= gone).length;
    this.#posted = this.#posted.filter((number) => number > seen);
    return count;
  }

  #decode(memory: Memory, at: number, length: number, type: number): unknown {
    if (type === Type.bytes) return this.#hub.copyOut(memory, at, length);
    const text = memory.text(at, length);
    if (type === Type.text) return text;
    try {
      return JSON.parse(text);
    } catch {
      return ILLEGIBLE;
    }
  }

  #dispatch(type: "message" | "messageerror", data: unknown): void {
    if (!this.#feed.isOver) this.dispatchEvent(new MessageEvent(type, { data }));
  }
}

/** How many messages have been posted, by the end of a window. */
function countOf(window: Uint8Array): bigint {
  return new DataView(window.buffer, window.byteOffset + window.length - COUNT_BYTES).getBigUint64(0, true);
}

/** Whether a value of so many bytes can be a window. */
function isWindow(length: number): boolean {
  return length >= COUNT_BYTES && length % 8 === 0;
}
