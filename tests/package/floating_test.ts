/**
 * No promise of published code floats: one that nobody waits for, and that rejects, ends the process
 * of the user.
 */

import { assertEquals } from "@std/assert";
import { dirname, join } from "node:path";
import ts from "npm:typescript@5.9";
import { published } from "./published.ts";

Deno.test("every promise of published code is waited for, or its rejection is handled", async () => {
  const folder = await Deno.makeTempDir({ prefix: "floating-" });
  try {
    assertEquals(await floatingIn(folder), []);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("a promise that floats is found", () => {
  const text = `
    declare function work(): Promise<void>;
    declare function on(callback: () => void): void;
    work();
    void work();
    work().then(() => {});
    work().finally(() => {});
    on(async () => {});
    on(() => work());
    work().catch(() => {});
    work().then(() => {}, () => {});
    on(() => work().catch(() => {}));
    const later = work();
    await work();
  `;
  const name = "/example.ts";
  const host = ts.createCompilerHost(OPTIONS);
  const { getSourceFile } = host;
  host.getSourceFile = (path, ...rest) =>
    path === name
      ? ts.createSourceFile(path, text, ts.ScriptTarget.ESNext, true)
      : getSourceFile.call(host, path, ...rest);
  const program = ts.createProgram([name], OPTIONS, host);
  const found = floating(program, program.getSourceFile(name)!);
  assertEquals(found.map(({ line }) => line), [4, 5, 6, 7, 8, 9]);
});

const OPTIONS: ts.CompilerOptions = {
  strict: true,
  target: ts.ScriptTarget.ESNext,
  module: ts.ModuleKind.ESNext,
  moduleResolution: ts.ModuleResolutionKind.Bundler,
  allowImportingTsExtensions: true,
  noEmit: true,
  lib: ["esnext", "dom", "dom.iterable", "dom.asynciterable"].map((name) => `lib.${name}.d.ts`),
  types: [],
};

/** What floats in the published files. Clients are not installed: what they return has no type. */
async function floatingIn(folder: string): Promise<string[]> {
  const files = (await published()).filter(({ path }) => path.endsWith(".ts"));
  for (const { path, text } of files) {
    await Deno.mkdir(join(folder, dirname(path)), { recursive: true });
    await Deno.writeTextFile(join(folder, path), text);
  }
  const program = ts.createProgram(files.map(({ path }) => join(folder, path)), OPTIONS);
  return files.flatMap(({ path }) =>
    floating(program, program.getSourceFile(join(folder, path))!)
      .map(({ line, text }) => `${path}:${line}: ${text}`)
  );
}

interface Found {
  readonly line: number;
  readonly text: string;
}

function floating(program: ts.Program, file: ts.SourceFile): Found[] {
  const checker = program.getTypeChecker();
  const found: Found[] = [];

  function isPromise(type: ts.Type): boolean {
    const types = type.isUnion() ? type.types : [type];
    return types.some((type) => type.getProperty("then") !== undefined);
  }

  /** Whether a callback returns a promise to somebody who expects nothing. */
  function isIgnored(node: ts.ArrowFunction | ts.FunctionExpression): boolean {
    const expected = checker.getContextualType(node)?.getCallSignatures()[0]?.getReturnType();
    if (!expected || !(expected.flags & ts.TypeFlags.Void)) return false;
    return isPromise(checker.getSignatureFromDeclaration(node)!.getReturnType()) &&
      (ts.isBlock(node.body) || !isHandled(node.body));
  }

  function visit(node: ts.Node): void {
    const isFloating = ts.isExpressionStatement(node) || ts.isVoidExpression(node)
      ? !isKept(node.expression) && isPromise(checker.getTypeAtLocation(node.expression)) &&
        !isHandled(node.expression)
      : (ts.isArrowFunction(node) || ts.isFunctionExpression(node)) && isIgnored(node);
    if (isFloating) {
      const { line } = file.getLineAndCharacterOfPosition(node.getStart());
      found.push({ line: line + 1, text: node.getText().split("\n")[0]! });
    }
    ts.forEachChild(node, visit);
  }
  visit(file);
  return found;
}

/** Whether a statement keeps its promise, or waits for it. */
function isKept(expression: ts.Expression): boolean {
  return ts.isAwaitExpression(expression) ||
    ts.isBinaryExpression(expression) && expression.operatorToken.getText().endsWith("=");
}

/** Whether a promise has a handler of its rejection. */
function isHandled(node: ts.Expression): boolean {
  if (!ts.isCallExpression(node) || !ts.isPropertyAccessExpression(node.expression)) return false;
  const { name, expression } = node.expression;
  const least = new Map([["catch", 1], ["then", 2]]).get(name.text);
  return least ? node.arguments.length >= least : name.text === "finally" && isHandled(expression);
}
