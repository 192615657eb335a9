/** The frameworks that have an example, and how one speaks to it. */

/** What the example gives to its framework. */
export type Glue = "`Response`" | "`ServerResponse`" | "`Observable`" | "async iterator";

/** What a client asks. */
export type Ask = (base: string, after?: string) => Request;

/** A framework with an example. */
export interface Framework {
  readonly name: string;
  /** The file in `examples/frameworks`. */
  readonly file: string;
  readonly glue: Glue;
  /** What runs it. */
  readonly runtime: "Node 20" | "Node 22" | "Deno" | "Bun";
  /** Where the file goes in an app that has a place for it. */
  readonly place?: string;
  /** What else its app has, by path. An app that is built is one of its own. */
  readonly build?: { readonly files: Readonly<Record<string, string>>; readonly command: string[] };
  /** What Node is told in place of the file. */
  readonly command?: (port: number) => string[];
  /** What it needs from npm. */
  readonly packages: readonly string[];
  /** Whether it speaks HTTP/2, without TLS. */
  readonly isHttp2?: boolean;
  /** Whether it is the one of its glue that `test:all` starts; `test:long` starts the others. */
  readonly isFirst?: boolean;
  /** Asks for the events. */
  readonly ask: Ask;
  /** Asks to publish a text. */
  readonly publish: (base: string, text: string) => Request;
  /** How its process ends on `SIGTERM`, if not with 0. */
  readonly code?: number;
  /** What it answers to HEAD. */
  readonly head: number;
  /** Whether `EventSource` can ask, and its reconnecting is answered from where it was. */
  readonly eventSource: boolean;
}

const ask: Ask = (base, after) =>
  new Request(`${base}/news`, {
    headers: {
      "accept": "text/event-stream",
      "accept-encoding": "gzip, br",
      ...after !== undefined && { "last-event-id": after },
    },
  });

const publish = (base: string, text: string, type = "text/plain") =>
  new Request(`${base}/news`, { method: "POST", body: text, headers: { "content-type": type } });

function call(url: string, body: unknown, headers: HeadersInit = {}): Request {
  const type = { "content-type": "application/json" };
  const init = { method: "POST", body: JSON.stringify(body), headers: { ...type, ...headers } };
  return new Request(url, init as RequestInit);
}

const PLAIN = { runtime: "Node 20", ask, publish, head: 200, eventSource: true } as const;

/** All of them. */
export const FRAMEWORKS: readonly Framework[] = [
  {
    ...PLAIN,
    name: "`node:http`",
    file: "node_http.mjs",
    glue: "`ServerResponse`",
    packages: [],
  },
  {
    ...PLAIN,
    name: "`node:http2`",
    file: "node_http2.mjs",
    glue: "`ServerResponse`",
    packages: [],
    isHttp2: true,
    eventSource: false,
  },
  {
    ...PLAIN,
    name: "Express 5",
    file: "express.mjs",
    glue: "`ServerResponse`",
    packages: ["express@5", "compression@1"],
    isFirst: true,
  },
  {
    ...PLAIN,
    name: "Fastify 5",
    file: "fastify.mjs",
    glue: "`ServerResponse`",
    packages: ["fastify@5"],
  },
  { ...PLAIN, name: "Koa 3", file: "koa.mjs", glue: "`ServerResponse`", packages: ["koa@3"] },
  {
    ...PLAIN,
    name: "Hono 4",
    file: "hono.mjs",
    glue: "`Response`",
    packages: ["hono@4", "@hono/node-server@2"],
    isFirst: true,
  },
  { ...PLAIN, name: "h3 2", file: "h3.mjs", glue: "`Response`", packages: ["h3@2"] },
  {
    ...PLAIN,
    name: "Nitro 3",
    file: "nitro_route.ts",
    glue: "`Response`",
    place: "routes/news.ts",
    build: {
      files: { "nitro.config.mjs": `export default { serverDir: "./" };` },
      command: ["node_modules/nitro/dist/cli/index.mjs", "build"],
    },
    command: () => [".output/server/index.mjs"],
    packages: ["nitro@3"],
  },
  {
    ...PLAIN,
    name: "Nuxt 4",
    file: "nuxt.ts",
    glue: "`ServerResponse`",
    runtime: "Node 22",
    place: "server/routes/news.ts",
    build: {
      files: { "app.vue": "<template><p>news</p></template>" },
      command: ["node_modules/nuxt/bin/nuxt.mjs", "build"],
    },
    command: () => [".output/server/index.mjs"],
    packages: ["nuxt@4"],
  },
  {
    ...PLAIN,
    name: "SvelteKit 3",
    file: "sveltekit_server.ts",
    glue: "`Response`",
    runtime: "Node 22",
    place: "src/routes/news/+server.ts",
    build: {
      files: {
        "src/app.html": "<!doctype html>%sveltekit.head%%sveltekit.body%",
        "vite.config.js": `import adapter from "@sveltejs/adapter-node";
          import { sveltekit } from "@sveltejs/kit/vite";
          export default { plugins: [sveltekit({ adapter: adapter() })] };`,
      },
      command: ["node_modules/vite/bin/vite.js", "build"],
    },
    command: () => ["build/index.js"],
    packages: ["@sveltejs/kit@3", "@sveltejs/adapter-node@6", "svelte@5", "vite@8"],
    // A form of another site could send text, so SvelteKit refuses it without the header `Origin`.
    publish: (base, text) => publish(base, text, "application/octet-stream"),
  },
  {
    ...PLAIN,
    name: "Next.js 16",
    file: "nextjs_route.ts",
    glue: "`Response`",
    place: "app/news/route.ts",
    build: { files: {}, command: ["node_modules/next/dist/bin/next", "build"] },
    command: (port) => {
      return ["node_modules/next/dist/bin/next", "start", "-H", "127.0.0.1", "-p", `${port}`];
    },
    code: 143,
    packages: [
      ...["next@16", "react@19", "react-dom@19"],
      ...["typescript@5", "@types/node@20", "@types/react@19"],
    ],
  },
  {
    ...PLAIN,
    name: "`Deno.serve`",
    file: "deno_serve.ts",
    glue: "`Response`",
    runtime: "Deno",
    packages: [],
  },
  {
    ...PLAIN,
    name: "`Bun.serve`",
    file: "bun_serve.mjs",
    glue: "`Response`",
    runtime: "Bun",
    packages: [],
  },
  {
    ...PLAIN,
    name: "NestJS 12 `@Sse`",
    file: "nestjs.ts",
    glue: "`Observable`",
    packages: [
      ...["@nestjs/core@12", "@nestjs/common@12", "@nestjs/platform-express@12"],
      ...["rxjs@7", "reflect-metadata@0.2", "typescript@5", "@types/node@20"],
    ],
    isFirst: true,
  },
  {
    ...PLAIN,
    name: "oRPC 1",
    file: "orpc.mjs",
    glue: "async iterator",
    packages: ["@orpc/server@1"],
    ask: (base, after) =>
      call(`${base}/news`, {}, after === undefined ? {} : { "last-event-id": after }),
    publish: (base, text) => call(`${base}/publish`, { json: text }),
    head: 405,
    eventSource: false,
    isFirst: true,
  },
  {
    ...PLAIN,
    name: "tRPC 11 `tracked`",
    file: "trpc.mjs",
    glue: "async iterator",
    packages: ["@trpc/server@11"],
    publish: (base, text) => call(`${base}/publish`, text),
    head: 204,
  },
  {
    ...PLAIN,
    name: "GraphQL Yoga 5",
    file: "graphql_yoga.mjs",
    glue: "async iterator",
    packages: ["graphql-yoga@5", "graphql@16"],
    ask: (base, after) => {
      const query = `subscription ($after: ID) { news(after: $after) { id message } }`;
      return call(`${base}/news`, { query, variables: { after } }, { accept: "text/event-stream" });
    },
    publish: (base, text) =>
      call(`${base}/news`, {
        query: `mutation ($text: String!) { publish(message: $text) }`,
        variables: { text },
      }),
    head: 405,
    eventSource: false,
  },
];
