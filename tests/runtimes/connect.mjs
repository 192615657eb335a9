/** Says why a broker cannot be connected to, with a package that has no client beside it. */

import { Broadcast } from "@broadcaster/broadcaster";
import process from "node:process";

for (const url of process.argv.slice(2)) {
  const reason = await new Broadcast(url).connect().catch((error) => error);
  process.stdout.write(`${reason.name}: ${reason.message}\n`);
}
