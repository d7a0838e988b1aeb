/**
 * What the TypeScript side of the interop tests makes of a feed of all changes.
 *
 * `peer.rs` and `peer.c` do the same in their runtimes.
 */
import type { Store } from "../../ts/store.ts";
import type { Change } from "../../ts/types.ts";

/** Changes after which a churned store begins anew. */
const CHURN = 8 * 5 * 61;

/** What churning does at a place: the key, and whether it is set. See `peer.rs`, which does it. */
function churned(place: number): [key: string, kind: "set" | "unset"] {
  const round = Math.floor(place / 8);
  const phase = place % 8;
  if (phase < 6) return [`key/${(round * 6 + phase) % 61}`, "set"];
  return [`come/${round % 5}`, phase === 6 ? "set" : "unset"];
}

/** What a follower has seen, and what was wrong with it. */
class Follower {
  readonly #from: bigint;
  readonly #plan: [key: string, kind: "set" | "unset"][];
  /** Where the next change stands. */
  next: bigint;
  received = 0;
  lost = 0;
  vanished = 0;
  readonly faults: string[] = [];
  /** Where the changes stood that were lost last. */
  #loss: bigint | undefined;
  /** Of each key, its epoch after the last change. */
  readonly #last = new Map<string, bigint>();
  /** The keys that exist, as far as is known, and their epochs. */
  readonly present = new Map<string, bigint>();
  /** Of each key that is only overwritten, its epoch before the churning. */
  readonly #births = new Map<string, bigint>();

  constructor(from: bigint, isChurned: boolean) {
    this.#from = from;
    this.next = from;
    this.#plan = Array.from({ length: isChurned ? CHURN : 0 }, (_, place) => churned(place));
  }

  #expect(holds: boolean, what: string, change: Change): void {
    if (holds || this.faults.length >= 5) return;
    const shown = Object.values(change).map(String);
    this.faults.push(`${what} at ${this.next}: ${shown}`);
  }

  /** Whether it knows of each key that exists, as it must after a loss. */
  knowsAll(store: Store): boolean {
    return this.#loss === undefined || this.present.size === Array.from(store.keys()).length;
  }

  take(change: Change): void {
    const { kind, seq } = change;
    if (kind === "current") {
      this.#expect(seq === this.#loss, "nothing was lost", change);
      this.present.set(change.key, change.epoch);
      return;
    }
    this.#expect(seq === this.next, "out of order", change);
    const place = Number(this.next - this.#from);
    const isChurned = this.#plan.length > 0;
    if (kind === "lost") {
      this.#loss = seq;
      this.present.clear();
      this.lost += Number(change.count);
      this.next += change.count;
      return;
    }
    this.received++;
    this.next++;
    if (kind === "vanished") {
      this.vanished++;
      this.#expect(!isChurned || place % 8 >= 6, "a key that stays has vanished", change);
      return;
    }
    const { key, epoch } = change;
    const rises = epoch > (this.#last.get(key) ?? 0n) && epoch % 2n === 0n;
    this.#expect(rises, "the epoch does not rise", change);
    this.#last.set(key, epoch);
    const known = this.present.get(key) ?? 0n;
    if (epoch > known) {
      if (kind === "set") this.present.set(key, epoch);
      else this.present.delete(key);
    }
    if (!isChurned || key === "end") return;
    const [plannedKey, plannedKind] = this.#plan[place % CHURN];
    this.#expect(key === plannedKey && kind === plannedKind, "nobody did this", change);
    if (place % 8 >= 6) return;
    const birth = epoch - 2n * BigInt(Math.floor((Math.floor(place / 8) * 6 + place % 8) / 61));
    this.#expect(birth === (this.#births.get(key) ?? birth), "nobody gave this epoch", change);
    this.#births.set(key, birth);
  }
}

/** Follows all changes from a place on, until "end" says where to stop. */
export async function follow(store: Store, from: bigint, isChurned: boolean): Promise<unknown> {
  const follower = new Follower(from, isChurned);
  let end: bigint | undefined;
  for await (const change of store.changes({ from })) {
    follower.take(change);
    if ((change.kind === "set" || change.kind === "current") && change.key === "end") {
      end = BigInt(store.getString("end") ?? "");
    }
    if (end !== undefined && follower.next >= end && follower.knowsAll(store)) break;
  }
  const { received, lost, vanished, present, faults } = follower;
  return { received, lost, vanished, present: Array.from(present, ([key, epoch]) => [key, Number(epoch)]), faults };
}
