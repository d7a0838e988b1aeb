/** Two hosts, each a network namespace with a store of its own, and a network between them that loses what it likes. */
import { test } from "bun:test";
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { Splinter, type Store } from "splinter-bus";
import { PATIENCE_MS, TempDir, turn, until } from "../../ts/tests/suite.ts";
import { Program } from "../program.ts";
import { bun, deno } from "./program.ts";

const LOSS_PERCENT = 30;

function sh(command: string): { ok: boolean; output: string } {
  const { status, stdout, stderr } = spawnSync("sh", ["-ec", command], { encoding: "utf8" });
  return { ok: status === 0, output: stdout + stderr };
}

function must(command: string): string {
  const { ok, output } = sh(command);
  assert.ok(ok, `${command}: ${output}`);
  return output;
}

const id = `spl${process.pid}`;
const probe = sh(`ip netns add ${id}p && ip -n ${id}p link add v0 type veth peer name v1 && ip netns del ${id}p`);
if (!probe.ok) {
  sh(`ip netns del ${id}p`);
  console.log(`skipped: no network namespaces can be made here: ${probe.output.trim()}`);
}

/** A host, and the process that keeps its store in step. */
class Host {
  readonly store: Store;
  sync!: Program;

  constructor(readonly name: string, readonly directory: TempDir, readonly command: string[]) {
    this.store = Splinter.openOrCreate(directory.file(`${name}.splinter`));
  }

  get namespace(): string {
    return id + this.name;
  }

  async start(): Promise<void> {
    const sync = [...this.command, this.store.path, this.name, "10.9.0.255"];
    this.sync = new Program(["ip", "netns", "exec", this.namespace, ...sync], this.directory.path);
    await this.sync.prints(/in step/);
  }

  content(): string {
    return JSON.stringify(Array.from(this.store.keys()).sort().map((key) => [key, this.store.getString(key)]));
  }
}

/** Two hosts that a cable joins. */
class Network implements AsyncDisposable {
  readonly #directory = new TempDir();
  readonly a: Host;
  readonly b: Host;

  constructor() {
    this.a = new Host("a", this.#directory, bun("udp-sync/sync.ts"));
    this.b = new Host("b", this.#directory, deno(["--allow-net", "--allow-env"], "udp-sync/sync.ts"));
    const [a, b] = [this.a.namespace, this.b.namespace];
    must(`ip netns add ${a}; ip netns add ${b}; ip -n ${a} link add eth type veth peer name eth netns ${b}`);
    must(
      `ip -n ${a} addr add 10.9.0.1/24 broadcast 10.9.0.255 dev eth; ip -n ${b} addr add 10.9.0.2/24 broadcast 10.9.0.255 dev eth`,
    );
    must(`ip -n ${b} link set eth up`);
    this.plug(true);
  }

  plug(on: boolean): void {
    must(`ip -n ${this.a.namespace} link set eth ${on ? "up" : "down"}`);
  }

  /** Has each host lose some of what it sends, by the network emulator, or, where there is none, by a filter of packets. */
  lose(): void {
    for (const { namespace } of [this.a, this.b]) {
      if (sh(`tc -n ${namespace} qdisc add dev eth root netem loss ${LOSS_PERCENT}%`).ok) continue;
      must(`tc -n ${namespace} qdisc add dev eth clsact`);
      // Loads a random number, and drops the packet if it is small enough.
      const limit = Math.round(2 ** 32 * LOSS_PERCENT / 100);
      const program = `4,32 0 0 4294963256,37 0 1 ${limit},6 0 0 0,6 0 0 2`;
      must(`tc -n ${namespace} filter add dev eth egress bpf da bytecode '${program}'`);
    }
  }

  /** How many packets the hosts have sent to nobody. */
  lost(): number {
    const numbers = [this.a, this.b].map(({ namespace }) => {
      const output = must(`tc -n ${namespace} -s qdisc show dev eth`);
      return Array.from(output.matchAll(/dropped (\d+)/g), ([, count]) => Number(count));
    });
    return numbers.flat().reduce((sum, count) => sum + count, 0);
  }

  async agree(holds: () => boolean): Promise<void> {
    const { a, b } = this;
    const what = () => `${a.content()}\n${b.content()}\n${a.sync.output}\n${b.sync.output}`;
    await until(() => a.content() === b.content() && holds()).catch((error) => assert.fail(`${error}\n${what()}`));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { sync, namespace, store } of [this.a, this.b]) {
      await sync?.kill();
      store.close();
      sh(`ip netns del ${namespace}`);
    }
    this.#directory[Symbol.dispose]();
  }
}

test.skipIf(!probe.ok)(
  "hosts get what the others change, and the last writer wins, even after they were parted",
  async () => {
    await using network = new Network();
    const { a, b } = network;
    a.store.set("early", "set before the start");
    await a.start();
    await b.start();
    await network.agree(() => b.store.getString("early") === "set before the start");
    a.store.set("from a", "1");
    b.store.set("from b", { two: 2 });
    await network.agree(() => b.store.has("from a") && a.store.has("from b"));
    assert.equal(a.store.getEntry("from b")?.type, "json");

    network.plug(false);
    // More changes win over later ones.
    for (const value of ["second", "third", "fourth"]) b.store.set("from a", value);
    using versions = Splinter.open(`${b.store.path}.versions`);
    await until(() => versions.getJSON<{ epoch: string }>("from a")?.epoch === `${b.store.epoch("from a")}`);
    const noticed = Date.now();
    await until(() => Date.now() > noticed);
    a.store.set("from a", "later");
    a.store.unset("early");
    b.store.set("new", "made in b");
    network.plug(true);
    await network.agree(() => a.store.getString("from a") === "fourth" && a.store.has("new") && !b.store.has("early"));
  },
  2 * PATIENCE_MS,
);

test.skipIf(!probe.ok)(
  "nothing is missing in the end though the network loses a part of the datagrams, and a host is killed",
  async () => {
    await using network = new Network();
    const { a, b } = network;
    await a.start();
    await b.start();
    network.lose();
    const KEYS = 100;
    for (let i = 0; i < KEYS; i++) {
      for (const { name, store } of [a, b]) {
        store.set(`${name}/${i}`, `${i}`);
        store.set(`both/${i % 10}`, `${name} ${i}`);
      }
      await turn();
      // In the middle of it.
      if (i === KEYS / 2) await a.sync.kill();
    }
    a.store.unset("a/0");
    await a.start();
    await network.agree(() => a.content().match(/"[ab]\//g)?.length === 2 * KEYS - 1);
    const lost = network.lost();
    assert.ok(lost > 0, "The network has lost nothing");
    console.log(`tried: ${lost} lost datagrams between two hosts`);
  },
  2 * PATIENCE_MS,
);
