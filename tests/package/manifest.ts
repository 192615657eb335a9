/** The `package.json` of the npm package: what `deno pack` writes, and what it leaves out. */

import config from "../../deno.json" with { type: "json" };

/** Where the source is. */
export const REPOSITORY = "https://github.com/broadcaster/broadcaster";

/** The terminal command, by its name: what `npx` runs. */
export const BIN = { broadcaster: "./cli/mod.js" };

const KEYWORDS = [
  "broadcast",
  "pubsub",
  "publish-subscribe",
  "realtime",
  "channels",
  "streams",
  "readablestream",
  "server-sent-events",
  "websocket",
  "redis",
  "redis-streams",
  "postgres",
  "kafka",
  "rabbitmq",
  "nats",
  "jetstream",
  "mqtt",
];

/** The fields that `deno pack` writes. */
export interface Packed {
  name: string;
  version: string;
  exports: Record<string, unknown>;
  [field: string]: unknown;
}

/** Adds the fields that `deno pack` does not know to those that it writes. */
export function complete({ name, version, exports, ...rest }: Packed): Record<string, unknown> {
  return {
    name,
    version,
    description: config.description,
    keywords: KEYWORDS,
    homepage: `${REPOSITORY}#readme`,
    bugs: { url: `${REPOSITORY}/issues` },
    repository: { type: "git", url: `git+${REPOSITORY}.git` },
    ...rest,
    sideEffects: false,
    engines: { node: ">=20" },
    bin: BIN,
    exports: { ...exports, "./package.json": "./package.json" },
    files: config.publish.include.flatMap(emitted),
    ...optionalPeers(),
  };
}

/** What becomes of a file or folder that is published. */
function emitted(path: string): string[] {
  return path.endsWith(".ts") ? [".js", ".d.ts"].map((end) => path.replace(/\.ts$/, end)) : [path];
}

/** The clients, in the versions of `deno.json`: an application installs those of its brokers. */
function optionalPeers() {
  const peers = Object.values(config.scopes["./"]).flatMap((target) => {
    const [, name, range] = /^npm:(@?[^@]+)@(.+)$/.exec(target) ?? [];
    return name && range ? [[name, range] as const] : [];
  });
  return {
    peerDependencies: Object.fromEntries(peers),
    peerDependenciesMeta: Object.fromEntries(peers.map(([name]) => [name, { optional: true }])),
  };
}
