/** Fails a test that takes longer than ten minutes, instead of waiting for it for ever. */

const LIMIT = 600_000;
const define = Deno.test;

function limited(...args: (string | Deno.TestDefinition | Deno.TestDefinition["fn"])[]): void {
  const definition: Partial<Deno.TestDefinition> = { timeout: LIMIT };
  for (const arg of args) {
    if (typeof arg === "string") definition.name = arg;
    else if (typeof arg === "function") definition.fn = arg;
    else Object.assign(definition, arg);
  }
  define(definition as Deno.TestDefinition);
}

// `ignore`, `beforeAll` and the other properties stay.
Object.assign(Deno, { test: Object.assign(limited, define) });
