import type { Locator, Page } from "npm:playwright-core@1.64.1";
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { Broadcast } from "@broadcaster/broadcaster";
import { Proxy } from "../proxy.ts";
import { start as startRedis } from "../services/redis.ts";
import { Example, look, test, Visitors } from "./example.ts";

const CHAT = "examples/chat.ts";

test("Two people meet, talk and part", async () => {
  await using chat = await Example.start(CHAT);
  await using visitors = await Visitors.start();
  const [ada, bo] = [await join(visitors, chat, "Ada"), await join(visitors, chat, "Bo")];
  await person(ada, "Bo").waitFor();
  await person(bo, "Ada").waitFor();
  await note(ada, "Bo joined").waitFor();
  await say(ada, "Good morning");
  await message(bo, "Good morning").waitFor();
  await say(bo, "Good evening");
  await message(ada, "Good evening").waitFor();
  await look(ada, "chat-two");
  await bo.close();
  await note(ada, "Bo left").waitFor();
  await person(ada, "Bo").waitFor({ state: "detached" });
});
