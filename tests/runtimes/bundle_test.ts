/** A bundle of the package, without its clients: it says what to do. */

import { assertEquals } from "@std/assert";
import { join } from "node:path";
import { Installed, PROVIDED, testOn } from "./apps.ts";
import { run } from "./process.ts";

const PROGRAM = `
import { Broadcast } from "@broadcaster/broadcaster";
new Broadcast("redis://localhost").connect().catch(({ message }) => console.log(message));
`;

const installed = new Installed([], { packages: ["esbuild"] });

for (const runtime of PROVIDED) {
  for (const format of ["esm", "cjs"]) {
    testOn(
      runtime,
      `tells of a bundle as ${format} that a factory is to be passed`,
      async (path) => {
        const { app } = installed;
        await app.write("main.mjs", PROGRAM);
        const folder = await Deno.makeTempDir();
        const name = format === "esm" ? "bundle.mjs" : "bundle.cjs";
        const flags = ["--bundle", "--platform=node", `--format=${format}`];
        const esbuild = join(app.folder, "node_modules", ".bin", "esbuild");
        const built = await app.run(esbuild, [
          ...["main.mjs", ...flags, `--outfile=${join(folder, name)}`, "--log-level=warning"],
        ]);
        assertEquals([built.code, built.stderr], [0, ""]);
        // Bun installs what is missing, unless it is told not to.
        const isBun = runtime.command === "bun";
        const flag = isBun ? ["--no-install"] : [];
        const { stdout } = await run(path, [...flag, name], { cwd: folder, timeout: 60_000 });
        await Deno.remove(folder, { recursive: true });
        assertEquals(
          stdout,
          'Cannot load client "ioredis": it is not installed, ' +
            `run \`${isBun ? "bun add" : "npm install"} ioredis@^6.0.0\`. ` +
            "In a bundle, pass a factory with your own client: new Broadcast(redis({ client }))\n",
        );
      },
    );
  }
}
