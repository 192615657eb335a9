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
    "@opentelemetry/api",
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

/** Classes that each realm has of its own: Jest and `node:vm` give others than the library has. */
const OF_REALMS = [
  ...[
    "AbortSignal",
    "ArrayBuffer",
    "Blob",
    "Date",
    "DOMException",
    "Error",
    "Event",
    "EventTarget",
  ],
  ...["Headers", "Map", "Promise", "RangeError", "ReadableStream", "RegExp", "Request", "Response"],
  ...["Set", "SyntaxError", "TypeError", "URL", "Uint8Array", "WritableStream"],
];

/** What runs in applications. */
const CODE = ["mod.ts", "core/", "backends/", "cli/"];

/** Where everything that users give arrives: not even our own classes, of which there may be two copies. */
const AT_THE_FACE = ["mod.ts", "core/api/", "core/sse/"];

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
    realms: {
      create: (context) =>
        isPublished(context.filename)
          ? {
            'BinaryExpression[operator="instanceof"]'(node: Deno.lint.BinaryExpression) {
              const name = node.right.type === "Identifier" ? node.right.name : "";
              if (OF_REALMS.includes(name) || isIn(AT_THE_FACE, context.filename)) {
                const message = "instanceof: each realm and each copy has classes of its own, " +
                  "see core/util/realm.ts";
                context.report({ node, message });
              }
            },
          }
          : {},
    },
    names: {
      create: (context) =>
        isIn(CODE, context.filename)
          ? {
            TemplateLiteral(node) {
              if (isReplacement(node.parent)) return;
              const message = "a raw text in quotes: see core/util/quote.ts";
              for (const found of inQuotes(node)) {
                if (!isOurs(found)) context.report({ node: found, message });
              }
            },
            'NewExpression[callee.name=/Error$/] CallExpression[callee.object.name="JSON"]'(node) {
              const message = "JSON in an error: see core/util/quote.ts";
              context.report({ node, message });
            },
          }
          : {},
    },
  },
};

export default PLUGIN;

/** The expressions of a template that are in double quotes. */
function inQuotes({ quasis, expressions }: Deno.lint.TemplateLiteral): Deno.lint.Expression[] {
  return expressions.filter((_, index) =>
    quasis[index]!.raw.endsWith('"') && quasis[index + 1]!.raw.startsWith('"')
  );
}

/** Constants, and addresses, which are the developer's own. */
function isOurs(node: Deno.lint.Expression): boolean {
  return node.type === "ThisExpression" || isReplacement(node) ||
    node.type === "Identifier" && /^([A-Z_]+|address|parsed)$/.test(node.name);
}

/** Whether it is a call of `replace()`: text that is escaped, or SQL with names filled in. */
function isReplacement(node: Node): boolean {
  return node.type === "CallExpression" && node.callee.type === "MemberExpression" &&
    node.callee.property.type === "Identifier" && /^replace/.test(node.callee.property.name);
}

function isPublished(path: string): boolean {
  return isIn([...CODE, "tests/conformance/"], path);
}

function isIn(items: readonly string[], path: string): boolean {
  return items.some((item) => path.startsWith(join(PROJECT, item)));
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
