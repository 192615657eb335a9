/** The narrowest permissions of Deno with which a Redis is used, and what misses without one. */

import { join } from "node:path";
import { assertEquals, assertStringIncludes } from "@std/assert";
import { withBroker } from "../../services/broker.ts";
import { start, Trust } from "../../services/redis.ts";
import { freePort } from "../../services/service.ts";

const TESTS = join(import.meta.dirname!, "..", "..");

const PROGRAM = `
  import { Broadcast } from ${JSON.stringify(new URL("../../../mod.ts", import.meta.url).href)};
  const broadcast = new Broadcast(Deno.args[0]);
  const subscription = await broadcast.subscribe("one");
  await broadcast.publish("one", "hello");
  for await (const { message } of subscription) {
    console.log(message);
    break;
  }
  await broadcast.disconnect();
`;

withBroker("redis", () => {
  Deno.test("redis: the server's address and the environment are all that is needed", async () => {
    await using folder = await Folder.make();
    await using server = await start();
    for (const [scheme, host] of [["redis", "127.0.0.1"], ["redis-stream", "localhost"]]) {
      const net = `--allow-net=${host}:${server.port}`;
      const url = `${scheme}://${host}:${server.port}`;
      assertEquals(await folder.run(url, net, "--allow-env"), "hello\n");
    }
    const net = `--allow-net=127.0.0.1:${server.port}`;
    assertStringIncludes(await folder.run(server.url, "--allow-env"), "--allow-net");
    assertStringIncludes(await folder.run(server.url, net), "--allow-env");
  });

  Deno.test("redis: PEM files and Unix sockets are allowed by their paths", async () => {
    await using folder = await Folder.make();
    await using trust = await Trust.establish();
    const port = freePort();
    const socket = join(folder.path, "redis.sock");
    await using _ = await start({ args: [...trust.args(port), "--unixsocket", socket] });
    const files = `--allow-read=${trust.certificate},${trust.key}`;
    assertEquals(
      await folder.run(
        `rediss://127.0.0.1:${port}?${trust.parameters}`,
        ...["--allow-env", `--allow-net=127.0.0.1:${port}`, files],
      ),
      "hello\n",
    );
    const paths = [
      ...[`--allow-net=unix:${socket}`, `--allow-read=${socket}`, `--allow-write=${socket}`],
    ];
    assertEquals(await folder.run(`redis+unix://${socket}`, "--allow-env", ...paths), "hello\n");
  });
});

/** A folder with the program. */
class Folder implements AsyncDisposable {
  readonly path: string;

  private constructor(path: string) {
    this.path = path;
  }

  static async make(): Promise<Folder> {
    const path = await Deno.makeTempDir({ prefix: "permissions-" });
    await Deno.writeTextFile(join(path, "program.ts"), PROGRAM);
    return new Folder(path);
  }

  /** What the program prints with these permissions. */
  async run(url: string, ...permissions: string[]): Promise<string> {
    const { stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: [
        ...["run", "--no-prompt", "--no-check", "--import-map", join(TESTS, "import_map.json")],
        ...[...permissions, join(this.path, "program.ts"), url],
      ],
      env: { NO_COLOR: "1" },
    }).output();
    return new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.path, { recursive: true });
  }
}
