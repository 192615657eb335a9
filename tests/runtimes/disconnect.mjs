/** Uses each broker of the arguments, and leaves it. */

import { Broadcast } from "@broadcaster/broadcaster";
import process from "node:process";

for (const url of process.argv.slice(2)) {
  const broadcast = new Broadcast(url);
  await broadcast.subscribe("chatroom");
  await broadcast.publish("chatroom", "hello");
  await broadcast.disconnect();
  process.stdout.write("disconnected\n");
}
