/**
 * Platform features that are not Web APIs: environment variables and the modules of Node. Nothing
 * is imported, so that bundles for browsers have nothing to resolve.
 *
 * @module
 */

/** The used parts of the Deno, Node and Bun globals. */
interface Platform {
  readonly Deno?: {
    readonly permissions: {
      querySync(descriptor: { name: "env"; variable: string }): { readonly state: string };
    };
    readonly env: { get(name: string): string | undefined };
  };
  readonly process?: {
    readonly env?: Readonly<Record<string, string | undefined>>;
    getBuiltinModule?(name: string): unknown;
  };
}

/**
 * The value of an environment variable, if the process may read it. On Deno, reading without the
 * permission would prompt the user.
 */
export function variable(name: string): string | undefined {
  // On Deno, `process` takes longer to load than the whole library.
  const { Deno: deno } = globalThis as Platform;
  try {
    if (!deno) return (globalThis as Platform).process?.env?.[name];
    const { state } = deno.permissions.querySync({ name: "env", variable: name });
    return state === "granted" ? deno.env.get(name) : undefined;
  } catch {
    return undefined;
  }
}

/**
 * A module of Node: directly on Node and Bun, as a promise on Deno, and `undefined` elsewhere and
 * before Node 20.16.
 */
export function nodeModule<Module>(name: string): Module | Promise<Module> | undefined {
  if (!("Deno" in globalThis)) {
    return (globalThis as Platform).process?.getBuiltinModule?.(name) as Module | undefined;
  }
  const specifier = `node:${name}`;
  return import(/* @vite-ignore */ /* webpackIgnore: true */ specifier);
}
