import type { Harness } from "../conformance.ts";

/** What `suite.mjs` makes a harness of. Without a limit there is none. */
export type HarnessData = Pick<Harness, "name" | "features"> & { url: string; limit?: number };

const BROKERS: Omit<HarnessData, "url">[] = [
  { name: "redis", features: { crossProcess: true, binary: true } },
  { name: "postgres", features: { crossProcess: true, binary: false }, limit: 7_999 },
  { name: "kafka", features: { crossProcess: true, binary: true }, limit: 1_000_000 },
];

/** Memory, and the brokers that `tests/run.ts` has located. */
export function harnesses(): HarnessData[] {
  const located = BROKERS.flatMap((broker) => {
    const url = Deno.env.get(`${broker.name.toUpperCase()}_URL`);
    return url ? [{ ...broker, url }] : [];
  });
  return [
    { name: "memory", url: "memory://", features: { crossProcess: false, binary: true } },
    ...located,
  ];
}
