/** TLS of Postgres: what is checked, and errors that name the way out. */

import { assertEquals, assertRejects } from "@std/assert";
import { once } from "node:events";
import { connect } from "node:net";
import { createServer } from "node:tls";
import { Broadcast, ConnectionError, RefusedError } from "../../../mod.ts";
import { messages, uniqueChannel } from "../../conformance/harness.ts";
import { withBroker } from "../../services/broker.ts";
import { certify } from "../../services/certificate.ts";
import { start } from "../../services/postgres.ts";
import { freePort } from "../../services/service.ts";
import { Secured } from "./secured.ts";

const SCHEMES = ["postgres", "postgres-stream"];

/** Connects, and hears itself. */
async function works(url: string): Promise<void> {
  await using broadcast = new Broadcast(url);
  const channel = uniqueChannel();
  const subscription = await broadcast.subscribe(channel);
  await broadcast.publish(channel, "hello");
  assertEquals(await messages(subscription, 1), ["hello"]);
}

/** Does not connect, and says why. */
async function fails(
  url: string,
  type: new (message: string) => Error,
  ...words: string[]
): Promise<void> {
  await using broadcast = new Broadcast(url);
  for (const word of words) await assertRejects(() => broadcast.connect(), type, word);
}

withBroker("postgres", () => {
  for (
    const [names, right, wrong] of [
      ["DNS:localhost", "localhost", "127.0.0.1"],
      ["IP:127.0.0.1", "127.0.0.1", "localhost"],
    ] as const
  ) {
    Deno.test(`postgres: a certificate of ${right} is checked for the host as written`, async () => {
      await using secured = await Secured.start(names);
      const { server: { port }, certificate } = secured;
      for (const scheme of SCHEMES) {
        const at = (host: string, parameters: string) =>
          `${scheme}://postgres@${host}:${port}/postgres?${parameters}`;
        await works(at(right, `ca=${certificate}`));
        await works(at(right, `sslmode=verify-full&sslrootcert=${certificate}`));
        await works(at(wrong, `sslmode=verify-ca&ca=${certificate}`));
        for (const mode of ["require", "no-verify", "prefer", "allow"]) {
          await works(at(wrong, `sslmode=${mode}`));
        }
        await fails(
          at(wrong, `ca=${certificate}`),
          ConnectionError,
          `the certificate is not for "${wrong}": use the name that it is for, or sslmode=verify-ca`,
        );
        for (const parameters of ["sslmode=verify-full", "ssl=true", "channel_binding=require"]) {
          await fails(
            at(right, parameters),
            ConnectionError,
            "name the authority that signed it with ca=<path of a PEM file>, or use sslmode=require",
          );
        }
      }
    });
  }

  Deno.test("postgres: a server that wants TLS, and one without it, are told with the way out", async () => {
    await using secured = await Secured.start("DNS:localhost");
    await using bare = await start();
    for (const scheme of SCHEMES) {
      const careful = `${scheme}://careful@localhost:${secured.server.port}/postgres`;
      await fails(careful, RefusedError, "if the server wants TLS, add sslmode=require");
      await fails(`${careful}?sslmode=require`, RefusedError, 'role "careful" does not exist');
      const plain = `${scheme}://postgres@localhost:${bare.port}/postgres`;
      const help = "the server does not offer TLS, use sslmode=disable if that is meant";
      for (const mode of ["require", "verify-full"]) {
        await fails(`${plain}?sslmode=${mode}`, ConnectionError, help);
      }
      await works(`${plain}?sslmode=prefer`);
    }
  });

  Deno.test("postgres: TLS may start without a question, as sslnegotiation says", async () => {
    await using server = await start();
    const folder = await Deno.makeTempDir();
    const { certificate, key } = await certify(folder);
    const [cert, pem] = await Promise.all(
      [certificate, key].map((path) => Deno.readTextFile(path)),
    );
    const port = freePort();
    const front = createServer(
      { cert: cert!, key: pem!, ALPNProtocols: ["postgresql"] },
      (client) => {
        const behind = connect(server.port, "127.0.0.1");
        client.on("error", () => behind.destroy()).on("close", () => behind.destroy());
        behind.on("error", () => client.destroy()).on("close", () => client.destroy());
        client.pipe(behind).pipe(client);
      },
    );
    await once(front.listen(port, "127.0.0.1"), "listening");
    for (const scheme of SCHEMES) {
      await works(
        `${scheme}://postgres@127.0.0.1:${port}/postgres?sslnegotiation=direct&ca=${certificate}`,
      );
    }
    front.close();
    await once(front, "close");
    await Deno.remove(folder, { recursive: true });
  });

  Deno.test("postgres: a wrong password, or none, is refused with where it is written", async () => {
    await using secured = await Secured.start("DNS:localhost");
    const { server: { port } } = secured;
    for (const scheme of SCHEMES) {
      for (const login of ["locked:s3cret", "locked"]) {
        await using broadcast = new Broadcast(`${scheme}://${login}@127.0.0.1:${port}/postgres`);
        const error = await assertRejects(() => broadcast.connect(), RefusedError);
        assertEquals(
          error.message,
          `Cannot connect to ${scheme}://127.0.0.1:${port}/postgres: password authentication failed for user "locked"; write the login before the host: postgres://user:password@host/database`,
        );
        assertEquals(Deno.inspect(error, { depth: 10 }).includes("s3cret"), false);
      }
    }
  });

  Deno.test("postgres: a server that accepts and is silent is given up after connect_timeout", async () => {
    using silent = Deno.listen({ hostname: "127.0.0.1", port: freePort() });
    for (const scheme of SCHEMES) {
      for (const mode of ["disable", "require"]) {
        const url = `${scheme}://127.0.0.1:${silent.addr.port}?connect_timeout=1&sslmode=${mode}`;
        await fails(url, ConnectionError, "did not answer within 1 s");
      }
    }
    for (let left = 4; left > 0; left--) (await silent.accept()).close();
  });
});
