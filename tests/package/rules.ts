/** What published code must not contain, as a plugin of `deno lint`. */

import { join } from "node:path";

type Node = Deno.lint.Node;

/** Packages that only a computed import may load: see `client.ts`. */
const CLIENTS = [
  ...[
    "ioredis",
    "postgres",
    "kafkajs",
    "amqplib",
    "mqtt",
    "@nats-io/transport-node",
    "@nats-io/jetstream",
  ],
];

/** What published code must not contain, as selectors of its syntax tree. */
const FORBIDDEN = {
  'MemberExpression[object.name="Deno"]': "Deno: Node and Bun have none",
  'MemberExpression[object.name="console"]': "console: a library does not print",
  "TSAnyKeyword": "any",
  "TSEnumDeclaration": "enum: types that erase are enough",
  'MemberExpression[object.name="Promise"][property.name=/^(withResolvers|try)$/]':
    "a method that Node 20 does not have",
  'MemberExpression[object.name="Array"][property.name="fromAsync"]':
    "a method that Node 20 does not have",
  'VariableDeclaration[kind="await using"]': "await using: Node 20 does not parse it",
  'VariableDeclaration[kind="using"]': "using: Node 20 does not parse it",
};

const PROJECT = join(import.meta.dirname!, "..", "..");

/** Lints published code, and no other. */
const PLUGIN: Deno.lint.Plugin = {
  name: "package",
  rules: {
    published: {
      create: (context) =>
        isPublished(context.filename)
          ? visitor((node, message) => context.report({ node, message }))
          : {},
    },
  },
};

export default PLUGIN;

function isPublished(path: string): boolean {
  return ["mod.ts", "core/", "backends/", "tests/conformance/"]
    .some((item) => path.startsWith(join(PROJECT, item)));
}

function visitor(report: (node: Node, message: string) => void): Deno.lint.LintVisitor {
  const found = Object.entries(FORBIDDEN).map(([selector, message]) =>
    [selector, (node: Node) => report(node, message)] as const
  );
  function load(node: Node, source: Node | null, isType: boolean): void {
    if (source?.type === "Literal" && !isAllowed(String(source.value), isType)) {
      report(node, `import of ${source.raw}, where only types of the clients may be imported`);
    }
  }
  return {
    ...Object.fromEntries(found),
    ImportDeclaration: (node) => load(node, node.source, node.importKind === "type"),
    ImportExpression: (node) => load(node, node.source, false),
    ExportAllDeclaration: (node) => load(node, node.source, node.exportKind === "type"),
    ExportNamedDeclaration: (node) => load(node, node.source, node.exportKind === "type"),
  };
}

function isAllowed(specifier: string, isType: boolean): boolean {
  return /^(\.\.?\/.*\.ts$|node:)/.test(specifier) || isType && CLIENTS.includes(specifier);
}
