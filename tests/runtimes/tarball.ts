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

  /** Packs the project as it is. Source maps would name the folders of the machine that packs. */
  static async pack(): Promise<Tarball> {
    const tarball = new Tarball(await Deno.makeTempDir({ prefix: "tarball-" }));
    const args = ["pack", "--allow-dirty", "--no-source-maps", "--output", tarball.path];
    await succeed(Deno.execPath(), args, { cwd: PROJECT });
    return tarball;
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
