/** The broker that a test file needs: located by `tests/run.ts`, which names it or says why not. */

/** Runs a test file's cases against a broker, or shows one skipped case with the reason. */
export function withBroker(name: string, body: (url: string) => void): void {
  const url = Deno.env.get(`${name.toUpperCase()}_URL`);
  if (url) return body(url);
  const reason = Deno.env.get(`BROADCASTER_SKIP_${name.toUpperCase()}`) ??
    `run \`deno task test\`, or set ${name.toUpperCase()}_URL`;
  Deno.test.ignore(`${name}: skipped, ${reason}`, () => {});
}
