/** What `deno publish` takes is what the allow-list says. */

import { join } from "node:path";
import { assertEquals } from "@std/assert";
import config from "../../deno.json" with { type: "json" };
import { said, succeed } from "../runtimes/process.ts";
import { PROJECT } from "../runtimes/tarball.ts";
import { lets, published } from "./published.ts";

const FILES = await published();

Deno.test("deno publish takes exactly the files of the allow-list", async () => {
  const idle = config.publish.include.filter((item) => !FILES.some(({ path }) => lets(item, path)));
  assertEquals(idle, []);
  const args = ["publish", "--dry-run", "--allow-dirty"];
  const outcome = await succeed(Deno.execPath(), args, { cwd: PROJECT });
  const listed = [...said(outcome).matchAll(/^ +file:\/\/(\S+) \(.*\)$/gm)].map(([, path]) =>
    path!
  );
  const expected = [...FILES.map(({ path }) => path), "deno.json"].map((path) =>
    join(PROJECT, path)
  );
  assertEquals(listed.sort(), expected.sort());
});
