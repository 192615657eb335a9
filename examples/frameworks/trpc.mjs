// tRPC on node:http: npm install @trpc/server

import { initTRPC, tracked } from "@trpc/server";
import { createHTTPServer } from "@trpc/server/adapters/standalone";
import process from "node:process";
import { Broadcast } from "@broadcaster/broadcaster";

const { BROADCASTER_URL = "memory://", PORT = "8000" } = process.env;
const broadcast = new Broadcast(BROADCASTER_URL);
const { procedure, router } = initTRPC.create();
const anything = (input) => input;

const server = createHTTPServer({
  router: router({
    news: procedure.input(anything).subscription(async function* ({ input, signal }) {
      // The signal releases the subscription, also while this waits for an event.
      const after = input?.lastEventId;
      const news = await broadcast.subscribe("news", { after, maxResume: 1_000, signal });
      for await (const { id, message, gap } of news) yield tracked(id, { message, gap });
    }),
    publish: procedure.input(String).mutation(async ({ input }) => {
      await broadcast.publish("news", input);
    }),
  }),
});
server.listen(Number(PORT), "127.0.0.1");

process.once("SIGTERM", async () => {
  await broadcast.disconnect();
  process.exit();
});
