/** The npm package on Deno, in a project that npm has installed. */

import { assertEquals, assertStringIncludes } from "@std/assert";
import { CLIENTS } from "../../core/backend/kit/client_library.ts";
import config from "../../deno.json" with { type: "json" };
import { withBroker } from "../services/broker.ts";
import { Tarball } from "./tarball.ts";

const PROGRAM = `
import process from "node:process";
import { Broadcast } from ${JSON.stringify(config.name)};

const broadcast = new Broadcast(process.argv[2]);
const subscription = await broadcast.subscribe("chatroom");
await broadcast.publish("chatroom", "hello");
for await (const { message } of subscription) {
  process.stdout.write(message);
  break;
}
await broadcast.disconnect();
`;

withBroker(
  "redis",
  (url) =>
    Deno.test("on Deno, the npm package uses the client that npm has installed", async () => {
      await using tarball = await Tarball.pack();
      await using app = await tarball.install();
      await app.write("main.mjs", PROGRAM);
      const start = () => app.run(Deno.execPath(), ["run", "-A", "main.mjs", url]);
      const without = await start();
      assertEquals([without.code, without.stdout], [1, ""]);
      assertStringIncludes(without.stderr, `npm install ioredis@${CLIENTS.ioredis}`);
      await app.install(`ioredis@${CLIENTS.ioredis}`);
      assertEquals(await start(), { code: 0, stdout: "hello", stderr: "" });
    }),
);
