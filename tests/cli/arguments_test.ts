/** The arguments of the command: help, and mistakes. */

import { assertEquals, assertStringIncludes } from "@std/assert";
import config from "../../deno.json" with { type: "json" };
import { broadcaster } from "./command.ts";

const COMMANDS = ["pub", "sub", "history", "check"];

Deno.test("--help lists the commands, and that of a command its options", async () => {
  const { code, stdout, stderr } = await broadcaster(["--help"]);
  assertEquals([code, stderr], [0, ""]);
  for (const name of COMMANDS) {
    assertStringIncludes(stdout, `\n  ${name} `);
    const own = await broadcaster([name, "--help"]);
    assertEquals([own.code, own.stderr], [0, ""]);
    assertStringIncludes(own.stdout, `Usage: broadcaster ${name} `);
    assertStringIncludes(own.stdout, "--help");
    assertEquals(own, await broadcaster(["help", name]));
    assertEquals(own, await broadcaster([name, "redis://127.0.0.1:1", "-h"]));
  }
});

Deno.test("no line of help is wider than 100 columns", async () => {
  for (const args of [["--help"], ...COMMANDS.map((name) => [name, "--help"])]) {
    const { stdout } = await broadcaster(args);
    assertEquals(stdout.split("\n").filter((line) => line.length > 100), []);
  }
});

Deno.test("--version is that of the package", async () => {
  const { code, stdout } = await broadcaster(["--version"]);
  assertEquals([code, stdout], [0, `${config.version}\n`]);
});

const URL = "redis://127.0.0.1:1";

for (
  const [args, expected] of [
    [[], "Usage: broadcaster COMMAND"],
    [["historu"], 'unknown command "historu", did you mean history?'],
    [["listen"], 'unknown command "listen", known commands are pub, sub, history, check'],
    [["sub", URL, "a", "--histori", "5"], "unknown option --histori, did you mean --history?"],
    [["sub", URL, "a", "--history"], "--history needs a value: --history N"],
    [["sub", URL, "a", "--history", "many"], '--history must be a number of events, it is "many"'],
    [["sub", URL, "a", "--json=yes"], "--json takes no value"],
    [["sub", URL, "a", "--after", "x", "--after", "y"], "--after is given twice"],
    [["sub", URL], "no channel is given"],
    [["sub", URL, "a", "--pattern", "b*"], "--pattern and channels cannot be given together"],
    [["sub", "chatroom"], "no broker is given: write its URL first"],
    [["sub", "redsi://x", "a"], 'unknown scheme "redsi"'],
    [["sub", "redis://x?prefx=a", "a"], 'unknown parameter "prefx", did you mean "prefix"?'],
    [["pub", URL], "no channel is given"],
    [["pub", URL, "a", "hello", "world"], "write it in quotes: 'hello world'"],
    [["pub", URL, "a", "b", "--header", "c"], '--header must be NAME=VALUE, it is "c"'],
    [["pub", URL, "a", "--key", "c"], "--key is for one message"],
    [["history", URL, "a", "b"], "one channel is read at a time"],
  ] as const
) {
  Deno.test(`the exit code is 2, and it is said why: ${args.join(" ")}`, async () => {
    const { code, stdout, stderr } = await broadcaster(args);
    assertEquals([code, stdout], [2, ""]);
    assertStringIncludes(stderr, expected);
  });
}
