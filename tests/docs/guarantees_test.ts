/**
 * What the documents say about each scheme is true: what is exact is compared with the backend. For
 * what can be lost, `tests/losses` does it.
 */

import { dirname, join } from "node:path";
import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { Address } from "../../core/backend/address.ts";
import type { Backend, BackendSource } from "../../core/backend/contract.ts";
import { CLIENTS } from "../../core/backend/kit/client_library.ts";
import { Broadcast } from "../../mod.ts";
import { SCHEMES } from "../package/schemes.ts";
import { factoryOf, FACTS } from "./facts.ts";
import { ROOT } from "./pages.ts";

/** The files of the backends, by scheme. */
const FILES = new Map(SCHEMES.map(({ name, file }) => [name, file]));

Deno.test("every scheme is documented, with its other name", () => {
  assertEquals(
    FACTS.map(({ schemes: [name, alias] }) => ({ name, alias })),
    SCHEMES.map(({ name, alias }) => ({ name, alias })),
  );
});

Deno.test("every scheme has a factory of its name", async () => {
  for (const { name, file } of SCHEMES) {
    const exported: Record<string, () => BackendSource> = await import(`../../${file}`);
    const factory = exported[factoryOf(name)]!;
    assertEquals(String(factory().address), `${name}://`);
  }
});

Deno.test("logs, headers and keys are where the documents say, and where the errors say", async () => {
  const having = { log: [] as string[], headers: [] as string[], keys: [] as string[] };
  for (const { schemes: [scheme], headers, keys } of FACTS) {
    const { features, read } = await open(scheme, FILES.get(scheme)!);
    assertEquals(
      [headers !== "no", /^yes/.test(keys)],
      [features.headers === true, features.keys === true],
      scheme,
    );
    if (read) having.log.push(scheme);
    if (features.headers) having.headers.push(scheme);
    if (features.keys) having.keys.push(scheme);
  }
  const broadcast = new Broadcast(NOTHING);
  const refused = {
    log: await assertRejects(() => broadcast.history("x"), TypeError),
    headers: await assertRejects(
      () => broadcast.publish("x", "y", { headers: { a: "b" } }),
      TypeError,
    ),
    keys: await assertRejects(
      () => broadcast.publish("x", "y", { idempotencyKey: "k" }),
      TypeError,
    ),
  };
  await broadcast.disconnect();
  for (const [feature, schemes] of Object.entries(having)) {
    const { message } = refused[feature as keyof typeof refused];
    const named = /, backends that do are (.+)$/.exec(message)?.[1];
    assertEquals(named?.split(", "), schemes, message);
  }
});

for (const { schemes: [scheme], ...facts } of FACTS) {
  const file = FILES.get(scheme)!;

  Deno.test(`${scheme}://: the clients that it needs are those that it loads`, async () => {
    const sources = await sourcesOf(file);
    const loaded = Object.keys(CLIENTS).filter((name) => sources.includes(`"${name}"`));
    const named = [...facts.needs.matchAll(/`((?:@[\w-]+\/)?[\w-]+)(?:@[\d.]+)?`/g)];
    assertEquals(named.map(([, name]) => name).sort(), loaded.sort());
  });

  Deno.test(`${scheme}://: order, log, patterns and payloads are as its features say`, async () => {
    const { features, read } = await open(scheme, file);
    assertEquals(
      [/^per publisher/.test(facts.order), facts.log !== "none", facts.patterns],
      [
        features.orderPerPublisher === true,
        read !== undefined,
        features.patternLog ? "yes, resumable" : features.patterns ? "yes" : "no",
      ],
    );
    assertEquals(/^any bytes/.test(facts.payload), features.binary);
  });

  const longest = /(?<!\d)([\d,]+) bytes|: (\d+) of/.exec(facts.channel);
  Deno.test(`${scheme}://: channel names are as long as it says`, async () => {
    const backend = await open(scheme, file);
    if (!longest) {
      assertEquals(facts.channel, "any");
      backend.check?.("any 🎉\0*#>".repeat(1_000));
      return;
    }
    const length = count(longest[1] ?? longest[2]!);
    backend.check!("x".repeat(length));
    assertThrows(() => backend.check!("x".repeat(length + 1)), RangeError);
  });

  const limit = /([\d,]+) (bytes|MiB)$/.exec(facts.payload);
  if (!limit) continue;
  Deno.test(`${scheme}://: payloads are as large as it says`, async () => {
    const backend = await open(scheme, file);
    const bytes = count(limit[1]!) * (limit[2] === "MiB" ? 1024 ** 2 : 1);
    const payload = (length: number) =>
      backend.features.binary ? new Uint8Array(length) : "x".repeat(length);
    backend.check!("channel", payload(bytes));
    assertThrows(() => backend.check!("channel", payload(bytes + 1)), RangeError);
  });
}

/** A backend that can do nothing that others cannot. */
const NOTHING: Backend = {
  name: "nothing",
  address: "nothing://",
  features: { crossProcess: false, binary: true },
  publish: () => Promise.resolve(),
  tail: () => Promise.reject(new Error("Cannot subscribe: there is no broker")),
  close: () => Promise.resolve(),
};

/** The backend of a scheme, which does not connect. */
async function open(scheme: string, file: string): Promise<Backend> {
  const module: { open(address: Address): Backend | Promise<Backend> } = await import(
    `../../${file}`
  );
  return await module.open(new Address(`${scheme}://`));
}

/** All that a backend's file says, and those of its broker's folder that it imports. */
async function sourcesOf(file: string): Promise<string> {
  const paths = new Set([join(ROOT, file)]);
  let texts = "";
  for (const path of paths) {
    const text = await Deno.readTextFile(path);
    for (const [, specifier] of text.matchAll(/from "(\.{1,2}\/[^"]+)"/g)) {
      const imported = join(dirname(path), specifier!);
      if (imported.startsWith(join(ROOT, "backends"))) paths.add(imported);
    }
    texts += text.replace(/^import[^;]*;$/gm, "");
  }
  return texts;
}

function count(text: string): number {
  return Number(text.replaceAll(",", ""));
}
