/** URLs as hosting providers, ORMs and libpq write them. */

import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { type Settings, settingsOf, shownAs } from "../../../backends/postgres/url.ts";
import { Address } from "../../../core/backend/address.ts";
import { Broadcast } from "../../../mod.ts";

/** What a URL comes to: as much as differs from a URL without parameters. */
interface Meaning {
  shown?: string;
  tls?: Settings["endpoint"]["tls"];
  timeout?: number;
  host?: string;
  port?: number;
  prepare?: boolean;
  connection?: Record<string, string>;
}

const CHECKED = { checks: "host", isDirect: false } as const;
const UNCHECKED = { checks: "nothing", isDirect: false } as const;

const MEANINGS: readonly [what: string, parameters: string, meaning: Meaning][] = [
  ["Neon", "?sslmode=require&channel_binding=require", { tls: CHECKED }],
  ["Neon, by options", "?sslmode=require&options=endpoint%3Dep-cool-1", {
    tls: UNCHECKED,
    connection: { "application_name": "broadcaster", "options": "endpoint=ep-cool-1" },
  }],
  ["Supabase", "?pgbouncer=true&connection_limit=1", { prepare: false }],
  ["Vercel", "?sslmode=require&supa=base-pooler.x", { tls: UNCHECKED }],
  ["Prisma", "?schema=public&pool_timeout=10&sslaccept=strict&connect_timeout=15", {
    tls: CHECKED,
    timeout: 15_000,
  }],
  ["Prisma, trusting", "?sslaccept=accept_invalid_certs&statement_cache_size=0", {
    tls: UNCHECKED,
  }],
  ["Heroku", "?ssl=true", { tls: CHECKED }],
  ["Heroku, unchecked", "?sslmode=no-verify", { tls: UNCHECKED }],
  ["Cloud SQL", "?host=/cloudsql/project:region:instance", {
    host: "/cloudsql/project:region:instance",
    shown: "postgres:///cloudsql/project:region:instance:5432/app",
  }],
  ["Debian", "?host=/var/run/postgresql&port=5433", {
    host: "/var/run/postgresql",
    port: 5433,
    shown: "postgres:///var/run/postgresql:5433/app",
  }],
  ["RDS", "?sslmode=verify-full&sslrootcert=system", { tls: CHECKED }],
  ["a cluster", "?target_session_attrs=read-write&application_name=web", {
    connection: { "application_name": "web" },
  }],
  ["Aiven, DigitalOcean", "?sslmode=require", { tls: UNCHECKED }],
  ["Cockroach", "?sslmode=verify-full&options=--cluster%3Dcool-1", {
    tls: CHECKED,
    connection: { "application_name": "broadcaster", "options": "--cluster=cool-1" },
  }],
  ["pg", "?sslmode=require&uselibpqcompat=true", { tls: UNCHECKED }],
  ["PostgreSQL 17", "?sslmode=require&sslnegotiation=direct", {
    tls: { checks: "nothing", isDirect: true },
  }],
  ["libpq", "?sslmode=prefer&gssencmode=disable&keepalives=1&client_encoding=utf8", {
    tls: { ...UNCHECKED, isOptional: true },
  }],
  ["no TLS", "?ssl=false", {}],
  ["no timeout", "?connect_timeout=0", { timeout: 0 }],
];

for (const [what, parameters, meaning] of MEANINGS) {
  Deno.test(`postgres: the URL of ${what} has its meaning`, async () => {
    const url = `postgres://u:s3cret@localhost/app${parameters}`;
    // All of its parameters are known.
    await new Broadcast(url).disconnect();
    const address = new Address(url);
    const shown = shownAs("postgres", address);
    const { endpoint, client } = await settingsOf(address);
    assertEquals({ shown, ...endpoint, prepare: client.prepare, connection: client.connection }, {
      shown: "postgres://localhost:5432/app",
      host: "localhost",
      port: 5432,
      tls: undefined,
      timeout: 10_000,
      prepare: undefined,
      connection: { "application_name": "broadcaster" },
      ...meaning,
    });
  });
}

Deno.test("postgres: a host in the URL may be the folder of a Unix socket", async () => {
  const { endpoint } = await settingsOf(new Address("postgres://%2Fvar%2Frun%2Fpostgresql/app"));
  assertEquals([endpoint.host, endpoint.port], ["/var/run/postgresql", 5432]);
});

Deno.test("postgres: an authority that is named is read, and checks as libpq does", async () => {
  const path = await Deno.makeTempFile();
  await Deno.writeTextFile(path, "PEM");
  for (
    const [parameters, checks] of [
      [`ca=${path}`, "host"],
      [`sslrootcert=${path}`, "host"],
      [`sslmode=require&sslrootcert=${path}`, "authority"],
      [`sslmode=verify-ca&sslrootcert=${path}`, "authority"],
      [`sslmode=require&sslrootcert=${path}&channel_binding=require`, "host"],
      [`sslmode=no-verify&sslrootcert=${path}`, "nothing"],
    ]
  ) {
    const { endpoint } = await settingsOf(new Address(`postgres://localhost?${parameters}`));
    assertEquals([endpoint.tls?.ca, endpoint.tls?.checks], ["PEM", checks]);
  }
  await Deno.remove(path);
});

/** Parameters that cannot have their meaning, and what to do. */
const REFUSED: readonly [parameters: string, help: string][] = [
  ["?target_session_attrs=standby", "any, primary or read-write, since a standby takes no NOTIFY"],
  ["?sslmode=disable&channel_binding=require", "disable or prefer with sslmode=disable"],
  ["?sslmode=no-verify&channel_binding=require", "disable or prefer with sslmode=no-verify"],
  ["?sslmode=prefer&sslnegotiation=direct", "require with direct TLS"],
  ["?sslmode=on", "one of disable, allow, prefer, require, no-verify, verify-ca, verify-full"],
  ["?connect_timeout=10s", "a whole number of at least 0"],
  ["?host=a,b", "it names several hosts, postgres:// takes one: that of the primary"],
];

for (const [parameters, help] of REFUSED) {
  Deno.test(`postgres: ${parameters} is refused, with what to do`, async () => {
    await using broadcast = new Broadcast(`postgres://u:s3cret@localhost/app${parameters}`);
    const error = await assertRejects(() => broadcast.connect(), TypeError, help);
    assertEquals(error.message.includes("s3cret"), false);
  });
}

/** Unknown parameters, and what to do. */
const UNKNOWN: readonly [parameter: string, help: string][] = [
  ["ssl_mode", 'did you mean "sslmode"?'],
  ["applicationName", 'did you mean "application_name"?'],
  ["user", "postgres://user:password@host/database"],
  ["password", "postgres://user:password@host/database"],
  ["statement_timeout", "options=-c%20name=value"],
  ["prepareThreshold", "write pgbouncer=true"],
  ["passfile", "libpq's files are not read"],
];

for (const [parameter, help] of UNKNOWN) {
  Deno.test(`postgres: a parameter ${parameter} is refused, with what to do`, () => {
    for (const scheme of ["postgres", "postgres-stream"]) {
      const error = assertThrows(
        () => new Broadcast(`${scheme}://localhost?${parameter}=s3cret`),
        TypeError,
        help,
      );
      assertEquals(error.message.includes("s3cret"), false);
    }
  });
}
