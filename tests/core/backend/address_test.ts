/** Broker URLs: what their parameters mean. */

import { assertEquals, assertThrows } from "@std/assert";
import { Address } from "../../../core/backend/address.ts";

const duration = (value: string) =>
  new Address(`memory://?span=${encodeURIComponent(value)}`).duration("span");

Deno.test("a duration in a URL has its unit, or is 0", () => {
  const durations = { "0": 0, "0s": 0, "500ms": 500, "5s": 5_000, "1.5s": 1_500, "2m": 120_000 };
  const longer = { "1h": 3_600_000, "7d": 604_800_000 };
  for (const [value, expected] of Object.entries({ ...durations, ...longer })) {
    assertEquals(duration(value), expected, value);
  }
  assertEquals(new Address("memory://").duration("span"), undefined);
});

Deno.test("a duration without its unit is refused, and the error says how to write it", () => {
  for (const value of ["1", "5", "00", "0.0", "10000", "1.5", "999999999"]) {
    const { message } = assertThrows(() => duration(value), TypeError);
    assertEquals(
      message,
      `Cannot open "memory://": parameter "span" must be a duration with its unit, such as ${value}s or ${value}ms, it is "${value}"`,
    );
  }
});

Deno.test("what is no duration is refused", () => {
  const wrong = [
    "",
    "s",
    "-5s",
    "+5s",
    "5 s",
    "5S",
    "5sec",
    "5s5s",
    "1e3s",
    "0x5s",
    "Infinity",
    ".5s",
  ];
  for (const value of wrong) {
    const { message } = assertThrows(() => duration(value), TypeError);
    assertEquals(
      message,
      `Cannot open "memory://": parameter "span" must be a duration such as 250ms, 10s or 7d, it is "${value}"`,
    );
  }
});

Deno.test("credentials that parse as a path are never shown", () => {
  for (const url of ["redis:/u:s3cret", "redis:////u:s3cret", "redis:///u:s3cret"]) {
    assertEquals(String(new Address(url)), "redis:///…");
  }
  assertEquals(String(new Address("redis://u:s3cret@host/0")), "redis://host/0");
});

Deno.test("hosts may repeat the scheme and the login", () => {
  const { hosts, username, password } = new Address(
    "nats://u:p@a:1,nats://b,nats://u:p@c:3?tls=true",
  );
  assertEquals(hosts, [{ hostname: "a", port: 1 }, { hostname: "b" }, { hostname: "c", port: 3 }]);
  assertEquals([username, password], ["u", "p"]);
});
