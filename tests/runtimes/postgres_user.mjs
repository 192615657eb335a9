/** Names the user that a Postgres URL without one connects as. */

import { postgres } from "@broadcaster/broadcaster/postgres";
import process from "node:process";

try {
  const backend = await postgres({ url: process.argv[2] }).open();
  await backend.connect();
  const { user } = await backend.describe();
  await backend.close();
  process.stdout.write(user);
} catch (error) {
  process.stdout.write(`${error.name}: ${error.message}`);
}
