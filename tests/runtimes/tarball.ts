import { join } from "node:path";
import { App } from "./app.ts";
import { succeed } from "./process.ts";

/** The folder of this project. */
export const PROJECT = join(import.meta.dirname!, "..", "..");

/** What npm gets of this project. */
export class Tarball implements AsyncDisposable {
  /** Where it is. */
  readonly path: string;
  readonly #folder: string;

  private constructor(folder: string) {
    this.#folder = folder;
    this.path = join(folder, "package.tgz");
  }

  /** Packs the project as it is. */
  static async pack(): Promise<Tarball> {
    const tarball = new Tarball(await Deno.makeTempDir({ prefix: "tarball-" }));
    const args = ["task", "pack", "--allow-dirty", "--output", tarball.path];
    await succeed(Deno.execPath(), args, { cwd: PROJECT });
    return tarball;
  }

  /** Unpacks it beside itself; resolves with the folder. */
  async unpack(): Promise<string> {
    await succeed("tar", ["-xzf", this.path], { cwd: this.#folder });
    return join(this.#folder, "package");
  }

  /** An app that has it installed, and more packages. */
  async install(...packages: string[]): Promise<App> {
    const app = await App.create();
    await app.install(this.path, ...packages);
    return app;
  }

  /** Removes it. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.#folder, { recursive: true });
  }
}
