/**
 * The tables and functions of the log, as a migration.
 *
 * @module
 */

/** The longest name of a channel, in bytes: an entry of the index holds it. */
export const NAME_LIMIT = 1_024;
/** The longest payload, in bytes: the client moves it as hexadecimal text. */
export const PAYLOAD_LIMIT = 128 * 1024 * 1024;

/** The first key of the advisory locks of channels: "broa" in ASCII. The next number is for upkeep. */
export const LOCK_CLASS = 1_651_666_785;
const UPKEEP_CLASS = LOCK_CLASS + 1;

/** The lock under which the schema is created. */
const SCHEMA_LOCK = `pg_advisory_xact_lock(${UPKEEP_CLASS}, 0)`;
/** The lock under which rows are removed. */
export const TRIM_LOCK = `pg_try_advisory_xact_lock(${UPKEEP_CLASS}, 1)`;

/** The channel of LISTEN and NOTIFY on which readers are woken. */
export const WAKE_CHANNEL = "broadcaster_log";

/**
 * Creates the missing tables and functions, in the first schema of the `search_path`. Existing
 * ones stay. The backend runs it by itself if something is missing when it connects.
 *
 * Ids come from one sequence. They are taken under a lock of the channel that is held until the
 * commit, so in each channel the order of ids is the order of commit. A transaction of the
 * application takes its locks only when it commits, in order, so an open one blocks no other.
 */
export const MIGRATION: string = `\
select ${SCHEMA_LOCK};

-- A log without its table, or without its sequence, is another log: it gets another epoch.
do $$ begin
  if to_regclass('broadcaster_log') is null or to_regclass('broadcaster_ids') is null then
    drop table if exists broadcaster_meta, broadcaster_keys;
  end if;
end $$;

-- Not owned by the table: TRUNCATE ... RESTART IDENTITY must not restart it.
create sequence if not exists broadcaster_ids;

create table if not exists broadcaster_log (
  channel text collate "C" not null check (octet_length(channel) <= ${NAME_LIMIT}),
  id bigint not null,
  payload bytea not null,
  created timestamptz not null,
  primary key (channel, id)
);
alter table broadcaster_log add column if not exists
  headers jsonb check (jsonb_typeof(headers) = 'object');
create index if not exists broadcaster_log_created on broadcaster_log (created);

-- One row: the epoch, which tells this log from earlier ones.
create table if not exists broadcaster_meta (epoch text not null);
insert into broadcaster_meta
  select left(gen_random_uuid()::text, 8) where not exists (select from broadcaster_meta);

-- The channels of which rows were removed.
create table if not exists broadcaster_trimmed (channel text collate "C" primary key);

-- The rows that were published with an idempotency key, until that expires.
create table if not exists broadcaster_keys (
  channel text collate "C" not null,
  key text collate "C" not null,
  id bigint not null,
  created timestamptz not null,
  expires timestamptz not null,
  primary key (channel, key)
);
create index if not exists broadcaster_keys_expires on broadcaster_keys (expires);

-- The messages of applications pass through here. Once committed, they are in the log too.
create unlogged table if not exists broadcaster_outbox (
  channel text collate "C" not null check (octet_length(channel) <= ${NAME_LIMIT}),
  payload bytea not null check (octet_length(payload) <= ${PAYLOAD_LIMIT})
);
alter table broadcaster_outbox add column if not exists
  headers jsonb check (jsonb_typeof(headers) = 'object');

create or replace function broadcaster_renew() returns trigger
language plpgsql set search_path from current as $$
begin
  update broadcaster_meta set epoch = left(gen_random_uuid()::text, 8);
  delete from broadcaster_trimmed;
  delete from broadcaster_keys;
  return null;
end $$;

create or replace function broadcaster_mark() returns trigger
language plpgsql set search_path from current as $$
begin
  insert into broadcaster_trimmed select distinct channel from gone on conflict do nothing;
  return null;
end $$;

drop trigger if exists broadcaster_renew on broadcaster_log;
create trigger broadcaster_renew before truncate on broadcaster_log
  for each statement execute function broadcaster_renew();

drop trigger if exists broadcaster_mark on broadcaster_log;
create trigger broadcaster_mark after delete on broadcaster_log
  referencing old table as gone for each statement execute function broadcaster_mark();

-- The time in microseconds, as places have it.
create or replace function broadcaster_micros(moment timestamptz) returns bigint
language sql immutable as $$ select (extract(epoch from $1) * 1000000)::bigint $$;

-- Called by the library, with all messages that wait. One with a key is stored only if the key is
-- not known; otherwise it returns the id of the known row and, after a colon, its time.
create or replace function broadcaster_store(channels text[], payloads bytea[],
  all_headers jsonb[] default null, all_keys text[] default null, lifetimes bigint[] default null)
returns table (epoch text, micros bigint, ids text)
language plpgsql set search_path from current as $$
declare
  moment timestamptz;
  numbers bigint[];
begin
  perform pg_advisory_xact_lock(${LOCK_CLASS}, hash) from (
    select distinct hashtext(name) as hash from unnest(channels) as name order by hash
  ) as sorted;
  moment := clock_timestamp();
  numbers := array(select nextval('broadcaster_ids') from generate_series(1, cardinality(channels)));
  if all_keys is null then
    insert into broadcaster_log (channel, id, payload, headers, created)
      select given.channel, given.id, given.payload, given.headers, moment
      from unnest(channels, numbers, payloads, all_headers)
        as given (channel, id, payload, headers);
    return query select meta.epoch, broadcaster_micros(moment), array_to_string(numbers, ',')
      from broadcaster_meta as meta;
    return;
  end if;
  return query with given as (
    select * from unnest(channels, numbers, payloads, all_headers, all_keys, lifetimes)
      with ordinality as given (channel, id, payload, headers, key, lifetime, n)
  ), told as (
    select given.*, known.created as since, case when given.key is null then given.id else
      coalesce(known.id, min(given.id) over (partition by given.channel, given.key)) end as own
    from given left join broadcaster_keys as known
      on known.channel = given.channel and known.key = given.key and known.expires > moment
  ), stored as (
    insert into broadcaster_log (channel, id, payload, headers, created)
    select told.channel, told.id, told.payload, told.headers, moment from told where own = told.id
  ), noted as (
    insert into broadcaster_keys (channel, key, id, created, expires)
    select told.channel, told.key, told.id, moment, moment + lifetime * interval '1 millisecond'
    from told where told.key is not null and own = told.id
    on conflict on constraint broadcaster_keys_pkey do update
      set id = excluded.id, created = excluded.created, expires = excluded.expires
  )
  select meta.epoch, broadcaster_micros(moment),
    string_agg(concat_ws(':', own, broadcaster_micros(since)), ',' order by n)
  from broadcaster_meta as meta, told group by meta.epoch;
end $$;

-- Called by applications, within their own transactions.
create or replace function broadcaster_publish(channel text, payload bytea) returns void
language sql set search_path from current as $$
  insert into broadcaster_outbox (channel, payload) values ($1, $2);
$$;

create or replace function broadcaster_publish(channel text, payload text) returns void
language sql set search_path from current as $$
  insert into broadcaster_outbox (channel, payload) values ($1, convert_to($2, 'UTF8'));
$$;

create or replace function broadcaster_publish(channel text, payload bytea, headers jsonb)
returns void language sql set search_path from current as $$
  insert into broadcaster_outbox (channel, payload, headers) values ($1, $2, $3);
$$;

create or replace function broadcaster_publish(channel text, payload text, headers jsonb)
returns void language sql set search_path from current as $$
  insert into broadcaster_outbox (channel, payload, headers)
    values ($1, convert_to($2, 'UTF8'), $3);
$$;

-- Collects the channels that the transaction publishes to.
create or replace function broadcaster_note() returns trigger
language plpgsql as $$
declare
  hash text := hashtext(new.channel)::text;
  noted text := coalesce(current_setting('broadcaster.noted', true), '');
begin
  if position(' ' || hash || ' ' in noted) = 0 then
    perform set_config('broadcaster.noted', noted || ' ' || hash || ' ', true);
  end if;
  return new;
end $$;

-- Runs at the commit: takes all locks in order at the first row, and numbers each. It reads no table.
create or replace function broadcaster_number() returns trigger
language plpgsql set search_path from current as $$
declare
  noted text := current_setting('broadcaster.noted', true);
begin
  if noted <> '' then
    perform pg_advisory_xact_lock(${LOCK_CLASS}, hash) from (
      select distinct word::int as hash
      from regexp_split_to_table(trim(noted), ' +') as word order by hash
    ) as sorted;
    perform set_config('broadcaster.noted', '', true);
  end if;
  perform pg_advisory_xact_lock(${LOCK_CLASS}, hashtext(new.channel));
  insert into broadcaster_log (channel, id, payload, headers, created) values
    (new.channel, nextval('broadcaster_ids'), new.payload, new.headers, clock_timestamp());
  perform pg_notify('${WAKE_CHANNEL}', 'sql ' || hashtext(new.channel));
  return null;
end $$;

drop trigger if exists broadcaster_note on broadcaster_outbox;
create trigger broadcaster_note before insert on broadcaster_outbox
  for each row execute function broadcaster_note();

drop trigger if exists broadcaster_number on broadcaster_outbox;
create constraint trigger broadcaster_number after insert on broadcaster_outbox
  deferrable initially deferred for each row execute function broadcaster_number();
`;

/** Tells whether all of it exists. */
export const IS_THERE: string = `\
select coalesce(bool_and(there), false)::text from (
  select to_regclass(name) is not null as there from unnest(array['broadcaster_ids',
    'broadcaster_log', 'broadcaster_meta', 'broadcaster_trimmed', 'broadcaster_keys',
    'broadcaster_outbox']) as name
  union all
  select to_regprocedure(name) is not null from unnest(array[
    'broadcaster_store(text[],bytea[],jsonb[],text[],bigint[])',
    'broadcaster_publish(text,bytea)', 'broadcaster_publish(text,text)',
    'broadcaster_publish(text,bytea,jsonb)', 'broadcaster_publish(text,text,jsonb)']) as name
) as parts`;

/** Returns a row unless the schema was copied without its rows. */
export const HAS_EPOCH: string = "select epoch from broadcaster_meta";
