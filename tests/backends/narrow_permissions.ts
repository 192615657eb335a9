import { join } from "node:path";
import { run, said } from "../runtimes/process.ts";
import { PROJECT } from "../runtimes/tarball.ts";

const PROGRAM = `
import { Broadcast } from "@broadcaster/broadcaster";
const broadcast = new Broadcast(Deno.args[0]);
const channel = Deno.args[1];
const subscription = await broadcast.subscribe(channel);
await broadcast.publish(channel, "hello");
for await (const { message } of subscription) { console.log(message); break; }
await broadcast.disconnect();
`;

/** Runs a program that hears itself, with nothing but some permissions. Resolves with what it said. */
export async function runWith(
  permissions: readonly string[],
  url: string,
  channel: string,
): Promise<string> {
  const folder = await Deno.makeTempDir();
  const file = join(folder, "program.ts");
  await Deno.writeTextFile(file, PROGRAM);
  const map = join(PROJECT, "tests", "import_map.json");
  const outcome = await run(Deno.execPath(), [
    ...["run", "--no-check", "--no-prompt", "--import-map", map, ...permissions],
    ...[file, url, channel],
  ]);
  await Deno.remove(folder, { recursive: true });
  return said(outcome);
}
