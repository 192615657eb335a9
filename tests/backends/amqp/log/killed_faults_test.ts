/** `amqp-stream://`, after its server was killed while it created the first stream. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { Broadcast } from "../../../../mod.ts";
import { uniqueChannel } from "../../../conformance/harness.ts";
import { evaluate, start } from "../../../services/amqp.ts";
import { withBroker } from "../../../services/broker.ts";

withBroker(
  "amqp",
  () =>
    Deno.test("amqp-stream: a stream that its server forgot when it was killed is told with the way out, which works", async () => {
      await using server = await start();
      const url = server.url.replace(/^amqp/, "amqp-stream");
      const channel = uniqueChannel();
      {
        await using broadcast = new Broadcast(url);
        await broadcast.publish(channel, "before");
        await server.stop("SIGKILL");
      }
      await server.restart();
      await using broadcast = new Broadcast(`${url}?timeout=2s`);
      const error = await assertRejects(() => broadcast.publish(channel, "forgotten"));
      assert((error as Error).message.includes("internal_delete"), (error as Error).message);
      const name = `rabbit_misc:r(<<"/">>, queue, <<"${channel}">>)`;
      await evaluate(server, `rabbit_amqqueue:internal_delete(${name}, <<"test">>)`);
      await broadcast.publish(channel, "after");
      assertEquals((await broadcast.history(channel)).map(({ message }) => message), ["after"]);
    }),
);
