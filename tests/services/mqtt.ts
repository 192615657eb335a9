import { join } from "node:path";
import { provide } from "./debian.ts";
import { Server } from "./server.ts";
import { ask, find, freePort, type Located } from "./service.ts";

/** Additional options for {@linkcode start}. */
export interface MqttOptions {
  /** More of its configuration, such as `max_queued_messages 10`. */
  config?: string;
  /** Who is let in; everybody by default. */
  user?: { name: string; password: string };
}

/** Finds an MQTT server for this run. */
export function locate(): Promise<Located> {
  return find({
    variable: "MQTT_URL",
    start,
    usual: async () => await answers(1883) ? "mqtt://127.0.0.1:1883" : undefined,
  });
}

/** Starts a Mosquitto of a test's own. */
export async function start({ config = "", user }: MqttOptions = {}): Promise<Server> {
  const port = freePort();
  const command = await provide("mosquitto", "mosquitto", async () => {
    for (const path of ["/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto"]) {
      if (await Deno.stat(path).catch(() => undefined)) return path;
    }
  });
  const directory = await Deno.makeTempDir({ prefix: "mqtt-" });
  const lines = [
    `listener ${port} 127.0.0.1`,
    `allow_anonymous ${user ? "false" : "true"}`,
    config,
  ];
  // It would give up the right to read the folder.
  if (Deno.uid() === 0) lines.push("user root");
  if (user) {
    const path = join(directory, "users");
    const made = await new Deno.Command("mosquitto_passwd", {
      args: ["-c", "-b", path, user.name, user.password],
    }).output();
    if (!made.success) throw new Error("Cannot make a password file with mosquitto_passwd");
    lines.push(`password_file ${path}`);
  }
  await Deno.writeTextFile(join(directory, "mosquitto.conf"), `${lines.join("\n")}\n`);
  return await Server.start({
    name: "mosquitto",
    url: `mqtt://127.0.0.1:${port}`,
    port,
    directory,
    command,
    args: ["-c", "mosquitto.conf"],
    answers: () => answers(port),
  });
}

/** Says CONNECT, and is answered, be it with a refusal. */
function answers(port: number): Promise<boolean> {
  const connect = [0x10, 13, 0, 4, 0x4d, 0x51, 0x54, 0x54, 5, 2, 0, 10, 0, 0, 0];
  return ask(port, new Uint8Array(connect), (reply) => reply[0] === 0x20);
}
