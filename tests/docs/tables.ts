/** The tables of the documents, made of the data that the tests compare with the code. */

import { dirname, join, relative } from "node:path";
import { factoryOf, FACTS, type Facts } from "./facts.ts";
import { COMMON, PARAMETERS } from "./parameters.ts";
import { FRAMEWORKS } from "../frameworks/frameworks.ts";
import { LEAST as LEAST_OF_NATS } from "../backends/nats/rights.ts";
import { LEAST as LEAST_OF_REDIS } from "../backends/redis/rights.ts";

/** Makes a table for the page of a path. */
export type Make = (page: string) => string;

/** By name. */
export const TABLES: Readonly<Record<string, Make>> = {
  "brokers": (page) =>
    table(
      ["scheme", "needs", "log", "order"],
      FACTS.map((facts) => [
        linked(facts, page),
        facts.needs.replace(", ", "<br>"),
        facts.log.replace(/ \(.*\)/, ""),
        facts.order.replace(/[;,].*/, ""),
      ]),
    ),
  "losses": (page) =>
    table(
      ["scheme", "can be lost without notice"],
      FACTS.map((facts) => [linked(facts, page), facts.loses]),
    ),
  "order": (page) =>
    table(
      ["scheme", "order", "log", "patterns"],
      FACTS.map((facts) => [linked(facts, page), facts.order, facts.log, facts.patterns]),
    ),
  "limits": (page) =>
    table(
      ["scheme", "payload", "channel name"],
      FACTS.map((facts) => [linked(facts, page), facts.payload, facts.channel]),
    ),
  "metadata": (page) =>
    table(
      ["scheme", "headers", "keys"],
      FACTS.map((facts) => [linked(facts, page), facts.headers, facts.keys]),
    ),
  "factories": () =>
    table(
      ["factory", "module", "client"],
      FACTS.map(({ schemes: [name], client }) => [
        `\`${factoryOf(name)}()\``,
        `\`@broadcaster/broadcaster/${name}\``,
        client,
      ]),
    ),
  "options": () =>
    table(
      ["parameter", "meaning"],
      COMMON.map(({ names: [name], standard, means }) => [`\`?${name}=${standard}\``, means]),
    ),
  "frameworks": () =>
    table(
      ["framework", "glue", "lines", "client leaves", "client was cut off"],
      FRAMEWORKS.map(({ name, file, glue, eventSource }) => [
        `[${name}](../examples/frameworks/${file})`,
        glue,
        `${linesOf(`examples/frameworks/${file}`)}`,
        "released at once",
        eventSource ? "`EventSource` resumes" : "resumes with the id it passes",
      ]),
    ),
  "rights:redis": () =>
    "```text\n" + Object.entries(LEAST_OF_REDIS).map(([scheme, rights]) =>
      `# ${scheme}://, the channel "allowed"\nACL SETUSER app on >password ${rights}`
    ).join("\n\n") + "\n```",
  "rights:nats": () =>
    "```text\n" + Object.entries(LEAST_OF_NATS).map(([scheme, rights]) =>
      `# ${scheme}://, the channels "open.…"\npermissions: { ${rights} }`
    ).join("\n\n") + "\n```",
  "rights:postgres": () => rightsOfPostgres(),
  ...Object.fromEntries(
    [...new Set(FACTS.map(({ page }) => page))].flatMap((page) => [
      [`facts:${page}`, () => factsOf(FACTS.filter((facts) => facts.page === page))],
      ...(page in PARAMETERS ? [[`parameters:${page}`, () => parametersOf(page)]] : []) as [
        string,
        Make,
      ][],
    ]),
  ),
};

/** The lines of a program without those that are empty or comments. */
function linesOf(path: string): number {
  const source = Deno.readTextFileSync(join(import.meta.dirname!, "..", "..", path));
  return source.match(/^\s*(?!\/\/)\S.*$/gm)!.length;
}

/** What is said about the schemes of a broker, one below the other. */
function factsOf(schemes: readonly Facts[]): string {
  const rows: [string, (facts: Facts) => string][] = [
    ["package", ({ needs }) => needs],
    ["order", ({ order }) => order],
    ["log", ({ log }) => log],
    ["patterns", ({ patterns }) => patterns],
    ["payload", ({ payload }) => payload],
    ["channel name", ({ channel }) => channel],
    ["headers", ({ headers }) => headers],
    ["idempotency keys", ({ keys }) => keys],
    ["can be lost without notice", ({ loses }) => loses],
  ];
  return table(
    ["", ...schemes.map(({ schemes: names }) => names.map((name) => `\`${name}://\``).join(", "))],
    rows.map(([name, cell]) => [name, ...schemes.map(cell)]),
  );
}

function parametersOf(page: string): string {
  const { meanings, ignored, hints } = PARAMETERS[page]!;
  const parts = [table(
    ["parameter", "meaning"],
    meanings.map(({ names, means, only }) => [
      names.map((name) => `\`${name}\``).join(", "),
      `${only === undefined ? "" : `\`${only}://\` only. `}${means}`,
    ]),
  )];
  if (ignored.length > 0) {
    const names = [...ignored].map((name) => `\`${name}\``).join(", ");
    parts.push(`These parameters of other clients are accepted, and ignored: ${names}.`);
  }
  const advice = Object.entries(Object.groupBy(Object.keys(hints), (name) => hints[name]!));
  if (advice.length > 0) {
    parts.push("All other parameters are refused. For these, the error says what to do:");
    parts.push(table(
      ["parameter", "what to do"],
      advice.map(([hint, names]) => [
        names!.map((name) => `\`${name}\``).join(", "),
        hint.replace(/\S+:\/\/\S+\w/g, "`$&`"),
      ]),
    ));
  } else parts.push("All other parameters are refused.");
  return parts.join("\n\n");
}

/** The table of rights in the docs of the module, which a test tries with roles of a server. */
function rightsOfPostgres(): string {
  const source = Deno.readTextFileSync(
    join(import.meta.dirname!, "../../backends/postgres/log.ts"),
  );
  const [rights] = /(?<= \* ## Rights\n \*\n)[^]*?(?=\n \*\n \* Functions run)/.exec(source)!;
  return rights.replace(/^ \* ?/gm, "");
}

function linked({ schemes: [scheme], page }: Facts, from: string): string {
  const to = relative(dirname(from), `docs/brokers/${page}.md`).replaceAll("\\", "/");
  return `[\`${scheme}://\`](${to})`;
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  return [head, head.map(() => "---"), ...rows].map(line).join("\n");
}
