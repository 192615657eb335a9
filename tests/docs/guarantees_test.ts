/** The README's table of brokers cannot lie: each cell that says something exact is held against the backend; what can be lost, in `losses_test.ts`. */

import { dirname, join } from "node:path";
import { assertEquals, assertThrows } from "@std/assert";
import { Address } from "../../core/backend/address.ts";
import type { Backend, BackendModule } from "../../core/backend/contract.ts";
import { HEADERS } from "../../core/backend/headers.ts";
import { KEYED } from "../../core/backend/idempotency_key.ts";
import { CLIENTS } from "../../core/backend/kit/client_library.ts";
import { LOGS } from "../../core/broker/capabilities.ts";
import { BESIDES, ROOT, ROWS } from "./readme.ts";

const MOD = await Deno.readTextFile(join(ROOT, "mod.ts"));

/** The files of the backends, by scheme. */
const FILES = new Map(
  [...MOD.matchAll(
    /^ {2}"?([\w-]+)"?: scheme\(\s*\(\) => import\("\.\/backends\/([\w/]+)\.ts"\)/gm,
  )]
    .map(([, scheme, file]) => [scheme!, file!]),
);

Deno.test("the README's table has every scheme", () => {
  assertEquals(ROWS.flatMap(({ schemes }) => schemes).sort(), [...FILES.keys()].sort());
});

Deno.test("logs, headers and keys are where the README says, and where the errors say", async () => {
  const named = new Map(BESIDES.map(({ schemes: [scheme], cells }) => [scheme, cells]));
  const logs: string[] = [];
  const headers: string[] = [];
  const keys: string[] = [];
  for (const { schemes: [scheme] } of ROWS) {
    const { features } = await open(scheme!, FILES.get(scheme!)!);
    const cells = named.get(scheme) ?? { headers: "no", keys: "no" };
    assertEquals(
      [cells.headers !== "no", /^yes/.test(cells.keys!)],
      [features.headers === true, features.keys === true],
      scheme,
    );
    if (features.log) logs.push(scheme!);
    if (features.headers) headers.push(scheme!);
    if (features.keys) keys.push(scheme!);
  }
  assertEquals([logs, headers, keys], [[...LOGS], [...HEADERS], [...KEYED]]);
});

for (const { schemes, cells } of ROWS) {
  const [scheme] = schemes;
  const file = FILES.get(scheme!)!;

  Deno.test(`${scheme}://: the clients that it needs are those that it loads`, async () => {
    assertEquals(new Set(schemes.map((scheme) => FILES.get(scheme))), new Set([file]));
    const sources = await sourcesOf(file);
    const loaded = Object.keys(CLIENTS).filter((name) => sources.includes(`"${name}"`));
    const named = [...cells.needs!.matchAll(/`((?:@[\w-]+\/)?[\w-]+)(?:@[\d.]+)?`/g)];
    assertEquals(named.map(([, name]) => name).sort(), loaded.sort());
  });

  Deno.test(`${scheme}://: order, log, patterns and payloads are as its features say`, async () => {
    const { features } = await open(scheme!, file);
    assertEquals(
      [/^each publisher's own/.test(cells.order!), cells.log !== "none", cells.patterns],
      [
        features.orderPerPublisher === true,
        features.log === true,
        features.patternLog ? "yes, resumable" : features.patterns ? "yes" : "no",
      ],
    );
    assertEquals(/^any bytes/.test(cells.payload!), features.binary);
  });

  const longest = /(?<!\d)([\d,]+) bytes|: (\d+) of/.exec(cells["channel name"]!);
  Deno.test(`${scheme}://: channel names are as long as it says`, async () => {
    const backend = await open(scheme!, file);
    if (!longest) {
      assertEquals(cells["channel name"], "any");
      backend.check?.("any 🎉\0*#>".repeat(1_000));
      return;
    }
    const length = count(longest[1] ?? longest[2]!);
    backend.check!("x".repeat(length));
    assertThrows(() => backend.check!("x".repeat(length + 1)), RangeError);
  });

  const limit = /([\d,]+) (bytes|MiB)$/.exec(cells.payload!);
  if (!limit) continue;
  Deno.test(`${scheme}://: payloads are as large as it says`, async () => {
    const backend = await open(scheme!, file);
    const bytes = count(limit[1]!) * (limit[2] === "MiB" ? 1024 ** 2 : 1);
    const payload = (length: number) =>
      backend.features.binary ? new Uint8Array(length) : "x".repeat(length);
    backend.check!("channel", payload(bytes));
    assertThrows(() => backend.check!("channel", payload(bytes + 1)), RangeError);
  });
}

/** The backend of a scheme, which does not connect. */
async function open(scheme: string, file: string): Promise<Backend> {
  const module: BackendModule = await import(`../../backends/${file}.ts`);
  return await module.open(new Address(`${scheme}://`), {});
}

/** All that a backend's file says, and those of its broker's folder that it imports. */
async function sourcesOf(file: string): Promise<string> {
  const paths = new Set([join(ROOT, "backends", `${file}.ts`)]);
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
