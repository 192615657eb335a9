/** The meaning of each error of a Postgres server and of its client. */

import { assertEquals, assertRejects } from "@std/assert";
import { answered, type Meaning, meaningOf } from "../../../backends/postgres/errors.ts";
import { ConnectionError, RefusedError } from "../../../mod.ts";
import { TemporaryError, UnknownReplyError } from "../../../backends/mod.ts";

/** Every code of appendix A of PostgreSQL's documentation, up to version 18. */
const CODES: Readonly<Record<Meaning, readonly string[]>> = {
  unknown: [
    "00000 01000 01003 01004 01006 01007 01008 0100C 01P01 02000 02001 XX000",
  ],
  refused: [
    "03000 09000 0A000 0B000 0F000 0F001 0L000 0LP01 0P000 0Z000 0Z002 20000 21000 22000 22001",
    "22002 22003 22004 22005 22007 22008 22009 2200B 2200C 2200D 2200F 2200G 2200H 2200L 2200M",
    "2200N 2200S 2200T 22010 22011 22012 22013 22014 22015 22016 22018 22019 2201B 2201E 2201F",
    "2201G 2201W 2201X 22021 22022 22023 22024 22025 22026 22027 2202E 2202G 2202H 22030 22031",
    "22032 22033 22034 22035 22036 22037 22038 22039 2203A 2203B 2203C 2203D 2203E 2203F 2203G",
    "22P01 22P02 22P03 22P04 22P05 22P06 22P07 23000 23001 23502 23503 23505 23514 23P01 24000",
    "27000 28000 28P01 2B000 2BP01 2D000 2F000 2F002 2F003 2F004 2F005 34000 38000 38001 38002",
    "38003 38004 39000 39001 39004 39P01 39P02 39P03 3B000 3B001 3D000 3F000 40002 42000 42501",
    "42601 42602 42611 42622 42701 42702 42703 42704 42710 42712 42723 42725 42803 42804 42809",
    "42830 42846 42883 428C9 42939 42P01 42P02 42P03 42P04 42P06 42P07 42P08 42P09 42P10 42P11",
    "42P12 42P13 42P14 42P15 42P16 42P17 42P18 42P19 42P20 42P21 42P22 44000 54000 54001 54011",
    "54023 55P02 55P04 58P01 58P02 58P03 F0000 F0001 HV000 HV002 HV004 HV005 HV006 HV007 HV008",
    "HV009 HV00A HV00B HV00C HV00D HV00J HV00K HV00L HV00M HV00P HV00Q HV00R HV010 HV014 HV021",
    "HV024 HV090 HV091 P0000 P0001 P0002 P0003 P0004 XX001 XX002",
  ],
  renewed: [
    "25000 25001 25002 25003 25004 25005 25006 25007 25008 25P01 25P02 26000 42P05",
  ],
  lost: [
    "08000 08001 08003 08004 08006 08007 08P01 25P03 25P04 40003 57P01 57P02 57P03 57P04 57P05",
  ],
  later: [
    "40000 40001 40P01 53000 53100 53200 53300 53400 55000 55006 55P03 57000 57014 58000 58030",
    "72000 HV001 HV00N",
  ],
};

/** Every code of postgres 3.4.9, and what sockets say. */
const OF_CLIENT: readonly [code: string, meaning: Meaning][] = [
  ["CONNECTION_CLOSED", "lost"],
  ["CONNECTION_DESTROYED", "lost"],
  ["CONNECT_TIMEOUT", "lost"],
  ["CONNECTION_ENDED", "refused"],
  ["SASL_SIGNATURE_MISMATCH", "refused"],
  ["MAX_PARAMETERS_EXCEEDED", "refused"],
  ["NOT_TAGGED_CALL", "refused"],
  ["UNDEFINED_VALUE", "refused"],
  ["UNSAFE_TRANSACTION", "refused"],
  ["MESSAGE_NOT_SUPPORTED", "unknown"],
  ["COPY_IN_PROGRESS", "later"],
  ["57014", "later"],
  ["ECONNREFUSED", "lost"],
  ["ECONNRESET", "lost"],
  ["EPIPE", "lost"],
  ["ERR_TLS_CERT_ALTNAME_INVALID", "lost"],
];

function postgresError(code: string, routine?: string): Error {
  return Object.assign(new Error("reason"), { name: "PostgresError", code, routine });
}

for (const [meaning, lines] of Object.entries(CODES)) {
  Deno.test(`postgres: ${meaning} is the meaning of each of its SQLSTATEs`, () => {
    for (const code of lines.join(" ").split(" ")) {
      assertEquals([code, meaningOf(postgresError(code))], [code, meaning]);
    }
  });
}

Deno.test("postgres: no SQLSTATE of the installed server is forgotten", async () => {
  const known = Object.values(CODES).flat().join(" ").split(" ");
  for (const version of await versions()) {
    const list = await Deno.readTextFile(`/usr/share/postgresql/${version}/errcodes.txt`);
    const codes = [...list.matchAll(/^(\w{5})\s+[EWS]\s/gm)].map(([, code]) => code!);
    assertEquals(codes.filter((code) => !known.includes(code)), []);
  }
});

Deno.test("postgres: each code of the client, and of a socket, has its meaning", () => {
  for (const [code, meaning] of OF_CLIENT) {
    assertEquals([code, meaningOf(Object.assign(new Error(code), { code }))], [code, meaning]);
  }
});

Deno.test("postgres: a code of no class is unknown, one of a known class is as its class", () => {
  const meanings = ["QQ123", "53ABC", "25ABC", "42ABC"].map((code) =>
    meaningOf(postgresError(code))
  );
  assertEquals(meanings, ["unknown", "later", "renewed", "refused"]);
});

Deno.test("postgres: a queue of notifications that is full is no limit of the program", () => {
  assertEquals(meaningOf(postgresError("54000", "PreCommit_Notify")), "later");
  assertEquals(meaningOf(postgresError("54000", "index_form_tuple")), "refused");
});

Deno.test("postgres: a call rejects by the meaning, and an error is wrapped once", async () => {
  const cases = [
    ["57P01", ConnectionError, 0],
    ["42501", RefusedError, 0],
    ["53200", TemporaryError, 0],
    ["25006", TemporaryError, 1],
    ["XX000", UnknownReplyError, 1],
  ] as const;
  for (const [code, type, ends] of cases) {
    const cause = postgresError(code);
    const ended: unknown[] = [];
    const answer = answered(Promise.reject(cause), (error) => ended.push(error));
    const error = await assertRejects(() => answer, type);
    assertEquals([error.cause, ended.length], [cause, ends]);
  }
});

async function versions(): Promise<string[]> {
  try {
    return await Array.fromAsync(Deno.readDir("/usr/share/postgresql"), ({ name }) => name)
      .then((names) => names.filter((name) => /^\d+$/.test(name)));
  } catch {
    return [];
  }
}
