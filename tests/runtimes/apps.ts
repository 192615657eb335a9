/** npm projects that have the packed package installed, for the tests of one file. */

import { join } from "node:path";
import { CLIENTS } from "../../core/backend/kit/client_library.ts";
import type { App } from "./app.ts";
import { provide, type Provided, RUNTIMES } from "./runtime.ts";
import { Tarball } from "./tarball.ts";

/** The runtimes that the package has to work on: each found, or why it is not. */
export const PROVIDED: readonly Provided[] = await Promise.all(RUNTIMES.map(provide));

/** The runtime that runs the tests. */
export const DENO: Provided = {
  ...{ name: "Deno", command: "deno", version: "2", package: "deno" },
  path: Deno.execPath(),
};

/** Installs the packed package before the tests of a file, and removes it behind them. */
export class Installed {
  #app: App | undefined;

  /**
   * @param files Files of this folder that are added.
   * @param withClients Whether the clients are installed, in the versions that `client_library.ts` names.
   * @param packages Other packages that are installed.
   */
  constructor(
    files: readonly string[],
    { withClients = false, packages = [] as readonly string[] } = {},
  ) {
    const clients = Object.entries(CLIENTS).map(([name, version]) => `${name}@${version}`);
    let tarball: Tarball | undefined;
    Deno.test.beforeAll(async () => {
      tarball = await Tarball.pack();
      this.#app = await tarball.install(...withClients ? clients : [], ...packages);
      for (const file of files) await this.#app.add(join(import.meta.dirname!, file));
    });
    Deno.test.afterAll(async () => {
      await this.#app?.[Symbol.asyncDispose]();
      await tarball?.[Symbol.asyncDispose]();
    });
  }

  /** The project; only within a test. */
  get app(): App {
    return this.#app!;
  }
}

/** Registers a test that needs another runtime. */
export function testOn(
  runtime: Provided,
  name: string,
  body: (path: string) => Promise<void>,
): void {
  const skip = "skip" in runtime ? runtime.skip : undefined;
  const reason = skip?.replaceAll(/\s+/g, " ").slice(0, 160);
  Deno.test({
    name: `${runtime.name} ${name}${reason ? ` (${reason})` : ""}`,
    ignore: skip !== undefined && !Deno.env.get("REQUIRE_BROKERS"),
    fn: () => "path" in runtime ? body(runtime.path) : Promise.reject(new Error(skip)),
  });
}
