import { basename, join } from "node:path";
import config from "../../deno.json" with { type: "json" };
import { type Outcome, type ProcessOptions, run, succeed } from "./process.ts";

/** An npm project of its own, outside of this one, as a user has it. */
export class App implements AsyncDisposable {
  /** Where it is. */
  readonly folder: string;

  private constructor(folder: string) {
    this.folder = folder;
  }

  /** An app without any package. */
  static async create(): Promise<App> {
    const app = new App(await Deno.makeTempDir({ prefix: "app-" }));
    await app.write("package.json", JSON.stringify({ private: true, type: "module" }));
    return app;
  }

  /** Installs packages, as `npm install` does. */
  async install(...packages: string[]): Promise<void> {
    const flags = ["--no-fund", "--no-audit", "--loglevel=error"];
    await succeed("npm", ["install", ...flags, ...packages], { cwd: this.folder });
  }

  /** Writes a file into it. */
  async write(name: string, text: string): Promise<void> {
    await Deno.writeTextFile(join(this.folder, name), text);
  }

  /** Copies a file of the tests into it, or into a folder of it. */
  async add(path: string, folder = ""): Promise<void> {
    await Deno.mkdir(join(this.folder, folder), { recursive: true });
    await Deno.copyFile(path, join(this.folder, folder, basename(path)));
  }

  /** Every file of this project's package, as it is installed. */
  async files(): Promise<string[]> {
    return (await filesOf(this.installed("."))).sort();
  }

  /** Where a file of this project's package is installed. */
  installed(name: string): string {
    return join(this.folder, "node_modules", config.name, name);
  }

  /** Runs a program in it. */
  run(program: string, args: string[], options: ProcessOptions = {}): Promise<Outcome> {
    return run(program, args, { ...options, cwd: this.folder });
  }

  /** Removes it. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.folder, { recursive: true });
  }
}

async function filesOf(folder: string): Promise<string[]> {
  const files: string[] = [];
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    const path = join(folder, name);
    files.push(...isDirectory ? await filesOf(path) : [path]);
  }
  return files;
}
