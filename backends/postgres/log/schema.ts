/**
 * The tables and functions of the log, as a migration.
 *
 * @module
 */

import { BEHIND, FUNCTIONS, LOCKS, NAME_LIMIT, PAYLOAD_LIMIT, SHAPE, UPKEEP } from "./parts.ts";
import { ROUTINES } from "./routines.ts";
import { checkSchema, inSchema, SCHEMA } from "./schema_name.ts";

/** The version of the tables and functions. */
export const VERSION = 1;

/** The longest headers that SQL may publish, in bytes of JSON. */
const HEADERS_LIMIT = 1024 * 1024;

/** How long events are stored by default, in milliseconds. */
const RETENTION = 7 * 24 * 60 * 60 * 1_000;

/** The id, and the time in microseconds, must fit into a JavaScript number. */
const SAFE = `id between 1 and ${Number.MAX_SAFE_INTEGER}
    and created >= '1970-01-01Z' and created < '2255-01-01Z'`;

/** The constraint for every row, whoever inserts it. */
function valid(name: string, time: boolean): string {
  return `constraint ${name} check (octet_length(channel) <= ${NAME_LIMIT}
    and octet_length(payload) <= ${PAYLOAD_LIMIT}
    and (headers is null or jsonb_typeof(headers) = 'object'
      and octet_length(headers::text) <= ${HEADERS_LIMIT})${time ? `\n    and ${SAFE}` : ""})`;
}

const STATEMENTS = `\
set local search_path = pg_catalog, pg_temp;

do $log$ begin
  if to_regnamespace('"broadcaster"') is null then
    create schema "broadcaster";
  end if;
  -- Only the owner may comment on a schema, and one at a time: the others wait for its commit.
  execute 'comment on schema "broadcaster" is ' || quote_nullable(
    obj_description(to_regnamespace('"broadcaster"'), 'pg_namespace'));
  -- Keys of a log that is gone.
  if to_regclass('broadcaster.log') is null or to_regclass('broadcaster.ids') is null then
    drop table if exists broadcaster.keys;
  end if;
end $log$;

-- Not owned by the table: TRUNCATE ... RESTART IDENTITY must not restart it.
create sequence if not exists broadcaster.ids maxvalue ${Number.MAX_SAFE_INTEGER};

create table if not exists broadcaster.log (
  channel text collate "C" not null,
  id bigint not null,
  payload bytea not null,
  headers jsonb,
  created timestamptz not null,
  primary key (channel, id),
  ${valid("log_row", true)}
);
create index if not exists log_created on broadcaster.log (created);

-- The newest row of each channel that was removed.
create table if not exists broadcaster.trimmed (
  channel text collate "C" primary key,
  id bigint not null,
  created timestamptz not null
);

-- The rows that were published with an idempotency key, until that expires.
create table if not exists broadcaster.keys (
  channel text collate "C" not null,
  key text collate "C" not null,
  id bigint not null,
  created timestamptz not null,
  expires timestamptz not null,
  primary key (channel, key),
  constraint keys_row check (${SAFE})
);
create index if not exists keys_expires on broadcaster.keys (expires);

-- The messages of applications pass through here. Once committed, they are in the log too.
create unlogged table if not exists broadcaster.outbox (
  channel text collate "C" not null,
  payload bytea not null,
  headers jsonb,
  ${valid("outbox_row", false)}
);

-- Who locks a row holds a channel. Advisory locks could be taken by any role of the server.
create table if not exists broadcaster.locks (n int primary key);
insert into broadcaster.locks select n from generate_series(${UPKEEP}, ${LOCKS - 1}) as n
  on conflict do nothing;

-- One row: the epoch, which tells this log from earlier ones, how long events are stored in
-- milliseconds (0 for forever), up to when they were examined, and what the log is made of.
create table if not exists broadcaster.meta (
  one boolean primary key default true check (one),
  epoch text not null default left(gen_random_uuid()::text, 8),
  retention bigint not null default ${RETENTION} check (retention >= 0),
  examined timestamptz not null default '-infinity',
  version int not null,
  shape jsonb not null
);

${ROUTINES}
-- A sequence that is behind its table, as after logical replication, would number events into the
-- past of their channels.
select setval('broadcaster.ids', id) from (${BEHIND}) as newest;

insert into broadcaster.meta as meta (version, shape)
  select ${VERSION}, jsonb_object_agg(name, digest) from (${SHAPE}) as shape (name, digest)
  on conflict (one) do update set version = excluded.version, shape = excluded.shape
    where meta.version < excluded.version;

revoke all on function ${FUNCTIONS.map((name) => `broadcaster.${name}`).join(", ")} from public;
grant execute on function broadcaster.state() to public;
`;

/**
 * The SQL that creates the missing parts of a log. Run it in one transaction, for example with
 * `psql --single-transaction`. The backend runs it by itself if something is missing when it
 * connects. Print it to create the objects in advance, as their future owner.
 *
 * Ids come from one sequence. An id is taken under a lock of the channel, which is held until the
 * commit. So in each channel, the order of ids is the order of commit. A transaction of the
 * application takes its locks only when it commits, in order, so an open transaction does not block
 * others.
 *
 * @param schema The schema of the log.
 * @throws {TypeError} If the text cannot be the name of a schema.
 */
export function migration(schema: string = SCHEMA): string {
  const name = checkSchema(schema);
  return inSchema(name, STATEMENTS).replaceAll(`"${SCHEMA}"`, `"${name}"`);
}
