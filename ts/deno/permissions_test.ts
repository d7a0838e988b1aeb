/** What Deno's user has to allow, and what is said when it is not allowed. */
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { TempDir, uniqueName } from "../tests/suite.ts";
import { Splinter } from "./mod.ts";

const LIBRARY = fileURLToPath(new URL("../../rust/target/release/libsplinter_bus.so", import.meta.url));

/** Runs code with exactly these permissions and returns what it printed, the errors' names and messages included. */
function run(flags: string[], code: string): string {
  using dir = new TempDir();
  const script = dir.file("script.ts");
  Deno.writeTextFileSync(
    script,
    `import { Splinter } from ${JSON.stringify(new URL("./mod.ts", import.meta.url).href)};
    try {
      ${code}
      console.log("done");
    } catch (error) {
      console.log(error.name, error.message);
    }`,
  );
  const { stdout, stderr } = new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "--no-prompt", "--no-config", ...flags, script],
  }).outputSync();
  return new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
}

Deno.test("The library and the store are all that has to be allowed", () => {
  using dir = new TempDir();
  const path = dir.file();
  const flags = [`--allow-ffi=${LIBRARY}`, `--allow-read=${path}`, `--allow-write=${path}`];
  const code = `
    using store = Splinter.create(${JSON.stringify(path)}, { slots: 16 });
    store.set("key", "välue");
    store.set("large", "x".repeat(4096));
    if (store.getString("key") !== "välue" || store.getRaw("large").length !== 4096) throw new Error("wrong");
    if ([...store.entries()].length !== 2 || store.poll("key", 1)) throw new Error("wrong");
    store.getBusHeaderSnapshot(), store.getSlotSnapshot("key"), store.path, store.sync();
    if (store.view("key", (bytes) => bytes.length) !== 6 || store.key("key").get().length !== 6) throw new Error("wrong");
    if (store.add("number", 1) !== 1n || store.append("key", "x") !== 7 || store.getMany(["key"]).length !== 1) throw new Error("wrong");
    let kept;
    store.view("key", (bytes) => kept = bytes);
    if (kept.length !== 0 || store.unset("number") !== 8) throw new Error("wrong");
    using watch = store.watch("key");
    using channel = store.channel("chat");
    store.set("key", "changed");
    channel.postMessage("hello");
    if ((await watch.next()).value.key !== "key" || await store.pollAsync("key", { timeoutMs: 1 })) throw new Error("wrong");
    using again = Splinter.open(${JSON.stringify(path)}, { readOnly: true });
    again.close();
    Splinter.remove(${JSON.stringify(path)});`;
  assert.equal(run(flags, code), "done\n");
});

Deno.test("The engine without native code takes the store alone, to read or to write", () => {
  using dir = new TempDir();
  const path = dir.file();
  {
    using store = Splinter.create(path, { slots: 16 });
    store.set("key", "välue");
  }
  const [read, write] = [`--allow-read=${path}`, `--allow-write=${path}`];
  const reading = `
    using store = Splinter.open(${JSON.stringify(path)}, { engine: "file", readOnly: true });
    if (store.getString("key") !== "välue" || store.list().length !== 1) throw new Error("wrong");`;
  assert.equal(run([read], reading), "done\n");
  const writing = `
    using store = Splinter.openOrCreate(${JSON.stringify(path)}, { engine: "file" });
    store.set("other", { a: 1 });
    if (store.add("number", 1) !== 1n || store.unset("other") !== 7 || store.path !== ${JSON.stringify(path)}) {
      throw new Error("wrong");
    }`;
  assert.equal(run([read, write], writing), "done\n");
  assert.match(run([read], writing), new RegExp(`^PermissionError .*--allow-write=${path}\n$`));
  assert.match(run([], reading), new RegExp(`^PermissionError .*--allow-read=${path}\n$`));
  // A new store has another name first.
  const making = `Splinter.create(${JSON.stringify(dir.file("new"))}, { engine: "file" }).close();`;
  assert.match(
    run([read, `--allow-write=${dir.file("new")}`, `--allow-read=${dir.file("new")}`], making),
    /^PermissionError /,
  );
  assert.equal(run([`--allow-read=${dir.path}`, `--allow-write=${dir.path}`], making), "done\n");
  using store = Splinter.open(path);
  assert.equal(store.getBigInt("number"), 1n);
  // One that is synced may be torn after a restart of the machine. Whether there was one is seen in /proc, which takes more.
  store.sync();
  store.close();
  assert.match(run([read], reading), /^PermissionError .*boot_id.*, run again with .*\n$/);
  assert.equal(run(["--allow-all"], reading.replace(".list().length !== 1", ".list().length !== 2")), "done\n");
});

Deno.test("Shared memory is allowed by its path", () => {
  const name = uniqueName();
  const path = `/dev/shm/${name}`;
  const code = `Splinter.memory("${name}").close(); Splinter.remove("/${name}", { memory: true });`;
  const flags = [`--allow-ffi=${LIBRARY}`, `--allow-read=${path}`];
  assert.match(run(flags, code), new RegExp(`^PermissionError .*--allow-write=${path}\n$`));
  assert.equal(run([...flags, `--allow-write=${path}`], code), "done\n");
});

Deno.test("An anonymous store takes no more than the library", () => {
  assert.equal(run([`--allow-ffi=${LIBRARY}`], "Splinter.anonymous().set('key', 1);"), "done\n");
});

Deno.test("A missing permission is named with its path", () => {
  using dir = new TempDir();
  const path = dir.file();
  const copy = dir.file("copy");
  Splinter.create(path).close();
  const [ffi, read, write] = [`--allow-ffi=${LIBRARY}`, `--allow-read=${path}`, `--allow-write=${path}`];
  const open = `using store = Splinter.open(${JSON.stringify(path)});`;
  const cases: [flags: string[], code: string, named: string][] = [
    [[read, write], open, ffi],
    [["--allow-read", write], open, ffi],
    [[read, write], `using store = Splinter.open("x", { libPath: ${JSON.stringify(LIBRARY)} });`, ffi],
    [[ffi, write], open, read],
    [[ffi, read], open, write],
    [[ffi, read], `Splinter.remove(${JSON.stringify(path)});`, write],
    [[ffi, read, write], `${open} store.backup(${JSON.stringify(copy)});`, `--allow-write=${copy}`],
  ];
  for (const [flags, code, named] of cases) {
    const output = run(flags, code);
    assert.match(output, /^PermissionError /);
    assert.ok(output.split(/\s/).includes(named), `${named} is not in: ${output}`);
  }
  assert.equal(run([ffi, read], `Splinter.open(${JSON.stringify(path)}, { readOnly: true }).close();`), "done\n");
});

Deno.test("A variable that may not be read is passed over, and the failed search says so", () => {
  assert.match(run([], "Splinter.anonymous();"), /SPLINTER_LIB: .*--allow-env=SPLINTER_LIB\n/);
});

Deno.test("The variable SPLINTER_LIB is used or is an error", () => {
  using dir = new TempDir();
  const missing = dir.file("missing.so");
  const script = `
    Deno.env.set("SPLINTER_LIB", ${JSON.stringify(missing)});
    try { Splinter.anonymous(); } catch (error) { console.log(error.code); }
    Deno.env.set("SPLINTER_LIB", ${JSON.stringify(LIBRARY)});
    Splinter.anonymous();`;
  assert.equal(run(["--allow-ffi", "--allow-read", "--allow-env=SPLINTER_LIB"], script), "LIBRARY_NOT_FOUND\ndone\n");
});

Deno.test("Importing takes no permission and does nothing", () => {
  assert.equal(run([], "if (typeof Splinter.open !== 'function') throw new Error('wrong');"), "done\n");
});
