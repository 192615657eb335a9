/**
 * The functions and triggers of the log, in SQL.
 *
 * @module
 */

import {
  BATCH,
  BEHIND,
  EPOCH,
  HASH,
  LOCKS,
  microsOf,
  SHAPE,
  UPKEEP,
  WAKE_CHANNEL,
} from "./parts.ts";

/** How long the library waits for a lock before it continues with other channels. */
const PATIENCE = "250ms";
/** Functions that others may call run with the rights of the owner, and without other schemas. */
const AS_OWNER = "security definer set search_path = pg_catalog, pg_temp";

/** All functions, and the triggers that call some of them. */
export const ROUTINES: string = `\
create or replace function broadcaster.renew() returns trigger
language plpgsql ${AS_OWNER} as $log$
begin
  update broadcaster.meta set epoch = left(gen_random_uuid()::text, 8);
  delete from broadcaster.trimmed;
  delete from broadcaster.keys;
  return null;
end $log$;

create or replace function broadcaster.mark() returns trigger
language plpgsql ${AS_OWNER} as $log$
begin
  insert into broadcaster.trimmed as known select distinct on (channel) channel, id, created
    from gone order by channel, id desc
    on conflict (channel) do update set id = excluded.id, created = excluded.created
      where known.id < excluded.id;
  return null;
end $log$;

-- ALWAYS: logical replication empties tables, too.
drop trigger if exists renew on broadcaster.log;
create trigger renew before truncate on broadcaster.log
  for each statement execute function broadcaster.renew();
alter table broadcaster.log enable always trigger renew;
drop trigger if exists mark on broadcaster.log;
create trigger mark after delete on broadcaster.log
  referencing old table as gone for each statement execute function broadcaster.mark();
alter table broadcaster.log enable always trigger mark;

-- Removes a batch of what is too old. Of each channel, the newest of those that are too old stays:
-- it tells readers that have seen it that they missed nothing. Returns whether there may be more.
create or replace function broadcaster.tidy() returns boolean
language plpgsql ${AS_OWNER} as $log$
declare
  meta broadcaster.meta;
  latest timestamptz;
  found_some bigint;
  is_full boolean;
begin
  perform from broadcaster.locks where n = ${UPKEEP} for update skip locked;
  if not found then return false; end if;
  -- Rows of the outbox that are committed are in the log as well.
  delete from broadcaster.outbox where ctid = any (array(
    select ctid from broadcaster.outbox limit ${BATCH}));
  get diagnostics found_some = row_count;
  is_full := found_some >= ${BATCH};
  -- Except those that are used again while it waits for their lock.
  delete from broadcaster.keys where expires <= clock_timestamp() and ctid = any (array(
    select ctid from broadcaster.keys where expires <= clock_timestamp() limit ${BATCH}));
  get diagnostics found_some = row_count;
  is_full := is_full or found_some >= ${BATCH};
  select * into meta from broadcaster.meta;
  if meta.retention = 0 then return is_full; end if;
  with expired as materialized (
    select created, channel, id from broadcaster.log
    where created > meta.examined
      and created <= clock_timestamp() - meta.retention * interval '1 millisecond'
    order by created fetch first ${BATCH} rows with ties
  ), marks as (
    select channel, max(id) as id from expired group by channel
  ), gone as (
    delete from broadcaster.log as log using marks
    where log.channel = marks.channel and log.id < marks.id
  )
  select max(created), count(*) into latest, found_some from expired;
  if latest is not null then update broadcaster.meta set examined = latest; end if;
  return is_full or found_some >= ${BATCH};
end $log$;

-- Called by the library, with all messages that wait. One with a key is stored only if the key is
-- not known; otherwise it returns the id of the known row and, after a colon, its time. If it may
-- not wait and channels are locked, it names them and stores nothing. Without channels, it removes
-- what is too old, and returns the retention, and whether there may be more.
create or replace function broadcaster.store(channels text[], payloads bytea[],
  all_headers jsonb[] default null, all_keys text[] default null, lifetimes bigint[] default null,
  may_wait boolean default true)
returns table (epoch text, micros bigint, ids text)
language plpgsql ${AS_OWNER} set lock_timeout = '${PATIENCE}' as $log$
declare
  moment timestamptz;
  numbers bigint[];
  hashes int[];
  held int[];
begin
  if channels is null then
    ids := broadcaster.tidy();
    select retention into micros from broadcaster.meta;
    return next;
    return;
  end if;
  hashes := array(select distinct ${HASH} as hash from unnest(channels) as name order by hash);
  if may_wait then
    held := array(select n from broadcaster.locks where n = any (hashes) order by n for update);
    if cardinality(held) < cardinality(hashes) then
      raise undefined_table using message = 'rows of the table locks are missing';
    end if;
  else
    held := array(
      select n from broadcaster.locks where n = any (hashes) order by n for update skip locked);
    if cardinality(held) < cardinality(hashes) then
      raise lock_not_available using message = 'channels are locked', detail = (
        select jsonb_agg(distinct name) from unnest(channels) as name where ${HASH} <> all (held));
    end if;
  end if;
  moment := clock_timestamp();
  numbers := array(select nextval('broadcaster.ids') from generate_series(1, cardinality(channels)));
  if all_keys is null then
    insert into broadcaster.log (channel, id, payload, headers, created)
      select given.channel, given.id, given.payload, given.headers, moment
      from unnest(channels, numbers, payloads, all_headers)
        as given (channel, id, payload, headers);
    return query select ${EPOCH}, ${microsOf("moment")}, array_to_string(numbers, ',')
      from broadcaster.meta as meta;
    return;
  end if;
  return query with given as (
    select * from unnest(channels, numbers, payloads, all_headers, all_keys, lifetimes)
      with ordinality as given (channel, id, payload, headers, key, lifetime, n)
  ), told as (
    select given.*, known.created as since, case when given.key is null then given.id else
      coalesce(known.id, min(given.id) over (partition by given.channel, given.key)) end as own
    from given left join broadcaster.keys as known
      on known.channel = given.channel and known.key = given.key and known.expires > moment
  ), stored as (
    insert into broadcaster.log (channel, id, payload, headers, created)
    select told.channel, told.id, told.payload, told.headers, moment from told where own = told.id
  ), noted as (
    insert into broadcaster.keys (channel, key, id, created, expires)
    select told.channel, told.key, told.id, moment, moment + lifetime * interval '1 millisecond'
    from told where told.key is not null and own = told.id
    on conflict on constraint keys_pkey do update
      set id = excluded.id, created = excluded.created, expires = excluded.expires
  )
  select ${EPOCH}, ${microsOf("moment")},
    string_agg(concat_ws(':', own, ${microsOf("since")}), ',' order by n)
  from broadcaster.meta as meta, told group by meta.epoch, meta.tableoid;
end $log$;

-- Called by applications, within their own transactions.
create or replace function broadcaster.publish(channel text, payload bytea,
  headers jsonb default null) returns void
language sql ${AS_OWNER} as $log$
  insert into broadcaster.outbox (channel, payload, headers) values ($1, $2, $3);
$log$;

create or replace function broadcaster.publish(channel text, payload text,
  headers jsonb default null) returns void
language sql ${AS_OWNER} as $log$
  insert into broadcaster.outbox (channel, payload, headers)
    values ($1, convert_to($2, 'UTF8'), $3);
$log$;

-- Collects the locks that the transaction needs, in a setting of this log.
create or replace function broadcaster.note() returns trigger
language plpgsql ${AS_OWNER} as $log$
declare
  setting text := 'broadcaster_noted.in_' || tg_relid;
  hash text := (select ${HASH} from (values (new.channel)) as given (name));
  noted text := coalesce(current_setting(setting, true), '');
begin
  if position(' ' || hash || ' ' in noted) = 0 then
    perform set_config(setting, noted || ' ' || hash || ' ', true);
  end if;
  return new;
end $log$;

-- Runs at the commit: takes all locks in order at the first row, and numbers each. It waits for
-- locks as long as the application wants to. Of tables, it reads only that of the locks, which
-- nobody changes, so it works at every isolation level.
create or replace function broadcaster.number() returns trigger
language plpgsql ${AS_OWNER} as $log$
declare
  setting text := 'broadcaster_noted.in_' || tg_relid;
  noted text := current_setting(setting, true);
begin
  if noted <> '' then
    perform from broadcaster.locks where n = any (
      select word::int from regexp_split_to_table(trim(noted), ' +') as word
    ) order by n for update;
    perform set_config(setting, '', true);
  end if;
  perform from broadcaster.locks
    where n = (select ${HASH} from (values (new.channel)) as given (name)) for update;
  if not found then
    raise undefined_table using message = 'rows of the table locks are missing';
  end if;
  insert into broadcaster.log (channel, id, payload, headers, created) values
    (new.channel, nextval('broadcaster.ids'), new.payload, new.headers, clock_timestamp());
  perform pg_notify('${WAKE_CHANNEL}', 'sql ' || hashtext(new.channel));
  return null;
end $log$;

drop trigger if exists note on broadcaster.outbox;
create trigger note before insert on broadcaster.outbox
  for each row execute function broadcaster.note();

drop trigger if exists number on broadcaster.outbox;
create constraint trigger number after insert on broadcaster.outbox
  deferrable initially deferred for each row execute function broadcaster.number();

-- Tells every role whether the log can be used: its version, whether it has all of its rows, and
-- which of its parts are missing or were altered since it was created.
create or replace function broadcaster.state()
returns table (version int, is_complete boolean, missing text, altered text)
language plpgsql stable ${AS_OWNER} as $log$
begin
  return query with shape (name, digest) as (${SHAPE})
  select meta.version,
    (select count(*) = ${LOCKS + 1} from broadcaster.locks) and not exists (${BEHIND}),
    string_agg(known.key, ', ' order by known.key) filter (where shape.name is null),
    string_agg(known.key, ', ' order by known.key) filter (where shape.digest <> known.value)
  from broadcaster.meta as meta cross join jsonb_each_text(meta.shape) as known
    left join shape on shape.name = known.key
  group by meta.version;
end $log$;
`;
