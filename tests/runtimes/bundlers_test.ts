/** A bundle has every client that is given to a factory, and runs where nothing is installed. */

import { assert, assertEquals } from "@std/assert";
import { join } from "node:path";
import { CLIENTS } from "../../core/backend/kit/client_library.ts";
import { LocatedHarnesses } from "../backends/harnesses.ts";
import { uniqueChannel } from "../conformance/harness.ts";
import { App } from "./app.ts";
import { DENO, Installed, PROVIDED, testOn } from "./apps.ts";
import { run, said } from "./process.ts";
import type { Provided } from "./runtime.ts";
import { PROJECT } from "./tarball.ts";

/** What makes a bundle. */
interface Bundler {
  readonly name: string;
  /** Its program; without one it is the runtime itself. */
  readonly program?: string;
  /** What it needs from npm. */
  readonly packages?: readonly string[];
  /** A file that it reads. */
  readonly config?: { readonly name: string; readonly text: (job: Job) => string };
  readonly args: (job: Job) => readonly string[];
  /** What the bundle runs on. */
  readonly runtime: Provided;
  /** What the bundle is called. */
  readonly output: string;
  /** What the runtime is told before the bundle; without it, the bundle is a program. */
  readonly flags?: readonly string[];
}

/** What is bundled. */
interface Job {
  /** Where the bundle goes. */
  readonly folder: string;
  /** The clients that are left out. */
  readonly external: readonly string[];
}

const PROGRAM = join(import.meta.dirname!, "bundled.mjs");
const ON_NODE = { runtime: PROVIDED[0]!, flags: [] };

/** Clients are CommonJS, which calls `require`: a module has none. */
const REQUIRE =
  'import { createRequire } from "node:module"; const require = createRequire(import.meta.url);';

/** The modules of this project, as an application on Deno has them from JSR. */
const FROM_SOURCE = ["--no-check", "--import-map", join(PROJECT, "tests", "import_map.json")];

const BUNDLERS: readonly Bundler[] = [
  {
    ...ON_NODE,
    name: "esbuild",
    program: "esbuild",
    packages: ["esbuild@0"],
    output: "main.cjs",
    args: ({ folder, external }) => [
      ...["bundled.mjs", "--bundle", "--platform=node", `--outfile=${folder}/main.cjs`],
      ...["--minify", "--log-level=warning", ...external.map((name) => `--external:${name}`)],
    ],
  },
  {
    ...ON_NODE,
    name: "esbuild to a module",
    program: "esbuild",
    output: "main.mjs",
    args: ({ folder, external }) => [
      ...["bundled.mjs", "--bundle", "--platform=node", `--outfile=${folder}/main.mjs`],
      ...["--format=esm", `--banner:js=${REQUIRE}`, "--log-level=warning"],
      ...external.map((name) => `--external:${name}`),
    ],
  },
  {
    ...ON_NODE,
    name: "Rollup",
    program: "rollup",
    packages: [
      ...["rollup@4", "@rollup/plugin-node-resolve@16", "@rollup/plugin-commonjs@29"],
      "@rollup/plugin-json@6",
    ],
    output: "main.mjs",
    args: ({ folder, external }) => [
      ...["--input", "main=bundled.mjs", "--dir", folder],
      ...["--entryFileNames", "[name].mjs", "--chunkFileNames", "[name]-[hash].mjs"],
      ...["node-resolve", "commonjs", "json"].flatMap((plugin) => ["--plugin", plugin]),
      ...external.flatMap((name) => ["--external", name]),
    ],
  },
  {
    ...ON_NODE,
    name: "Vite",
    program: "vite",
    packages: ["vite@8"],
    output: "main.mjs",
    config: {
      name: "vite.config.mjs",
      text: ({ external }) => `
        const output = { entryFileNames: "main.mjs", chunkFileNames: "[name]-[hash].mjs" };
        export default {
          build: { ssr: "bundled.mjs", rolldownOptions: { output } },
          ssr: { noExternal: true, external: ${JSON.stringify(external)} },
        };`,
    },
    args: ({ folder }) => ["build", "--outDir", folder, "--logLevel", "warn"],
  },
  {
    ...ON_NODE,
    name: "webpack",
    program: "webpack",
    packages: ["webpack@5", "webpack-cli@6"],
    output: "main.cjs",
    args: ({ folder, external }) => [
      ...["./bundled.mjs", "--target", "node", "--mode", "production"],
      ...["--output-path", folder, "--output-filename", "main.cjs"],
      ...["--stats", "errors-warnings", "--externals-type", "commonjs"],
      ...external.flatMap((name) => ["--externals", name]),
    ],
  },
  {
    name: "bun build --compile",
    runtime: PROVIDED.find(({ command }) => command === "bun")!,
    output: "main",
    args: ({ folder }) => [
      ...["build", "--compile", "bundled.mjs", "--outfile", join(folder, "main")],
    ],
  },
  {
    name: "deno bundle",
    runtime: DENO,
    output: "main.mjs",
    flags: ["run", "-A", "--no-npm", "--no-remote"],
    args: ({ folder }) => ["bundle", ...FROM_SOURCE, "--output", join(folder, "main.mjs"), PROGRAM],
  },
  {
    name: "deno compile",
    runtime: await whereDenoCompiles(),
    output: "main",
    args: ({ folder }) => [
      ...["compile", "-A", ...FROM_SOURCE, "--output", join(folder, "main"), PROGRAM],
    ],
  },
];

const located = new LocatedHarnesses(
  [
    ...["memory", "redis", "redis-stream", "redis in a cluster", "postgres", "postgres-stream"],
    ...["kafka", "amqp", "amqp-stream", "mqtt", "nats", "nats-stream"],
  ] as const,
);
const channel = uniqueChannel();
const installed = new Installed(["bundled.mjs"], {
  withClients: true,
  packages: BUNDLERS.flatMap(({ packages = [] }) => packages),
});
/** Where clients are, and this package is not. */
let clients: App;

Deno.test.beforeAll(async () => {
  clients = await App.create();
  await clients.install(
    ...Object.entries(CLIENTS).map(([name, version]) => `${name}@${version}`),
  );
});
Deno.test.afterAll(async () => {
  await clients[Symbol.asyncDispose]();
  for (const { clean } of located.harnesses) await clean?.([channel]);
  await located[Symbol.asyncDispose]();
});

for (const bundler of BUNDLERS) {
  const { name, program, runtime } = bundler;

  testOn(runtime, `runs a bundle of ${name} where nothing is installed`, async (path) => {
    const heard = await hear(bundler, path, { external: [] });
    assertEquals(heard, located.data.map(({ name }) => name));
  });

  // What a runtime bundles has nothing beside it.
  if (program === undefined) continue;
  testOn(runtime, `runs a bundle of ${name} beside its clients`, async (path) => {
    const parts = { external: Object.keys(CLIENTS), beside: clients.folder };
    const heard = await hear(bundler, path, parts, "urls");
    const expected = located.data.map(({ name, url }) => name === "memory" ? name : [name, url]);
    assertEquals(heard, expected.flat());
  });
}

/** Makes a bundle in a folder of its own, and returns what it hears there. */
async function hear(
  bundler: Bundler,
  path: string,
  { external, beside }: { external: readonly string[]; beside?: string },
  ...more: string[]
): Promise<string[]> {
  const { app } = installed;
  const { program, config, args, output, flags } = bundler;
  const folder = await Deno.makeTempDir({ prefix: "bundle-", ...beside && { dir: beside } });
  const job = { folder, external };
  if (config) await app.write(config.name, config.text(job));
  const modules = join(app.folder, "node_modules");
  const made = await app.run(program ? join(modules, ".bin", program) : path, [...args(job)]);
  assertEquals(made.code, 0, said(made));
  // What is said of clients is not ours.
  assert(!said(made).includes("@broadcaster/"), said(made));

  // Nothing of what it was made of is left to be found.
  await Deno.rename(modules, `${modules}-away`);
  try {
    const [command, ...before] = flags ? [path, ...flags, output] : [join(folder, output)];
    const what = [JSON.stringify(located.data), channel, ...more];
    const heard = await run(command!, [...before, ...what], { cwd: folder, timeout: 120_000 });
    assertEquals(heard.code, 0, said(heard));
    return heard.stdout.trimEnd().split("\n");
  } finally {
    await Deno.rename(`${modules}-away`, modules);
    await Deno.remove(folder, { recursive: true });
  }
}

/** `deno compile` starts from a runtime that Deno downloads once. */
async function whereDenoCompiles(): Promise<Provided> {
  const folder = await Deno.makeTempDir();
  await Deno.writeTextFile(join(folder, "empty.js"), "");
  const compiled = await run(Deno.execPath(), ["compile", "empty.js"], { cwd: folder });
  await Deno.remove(folder, { recursive: true });
  const skip = `what it compiles with cannot be downloaded: ${said(compiled)}`;
  return compiled.code === 0 ? DENO : { ...DENO, skip };
}
