/**
 * Parts of the SQL of the log: names, limits and expressions.
 *
 * @module
 */

/** The longest name of a channel, in bytes. It must fit into an entry of the index. */
export const NAME_LIMIT = 1_024;
/** The longest payload, in bytes. The client transfers it as hexadecimal text. */
export const PAYLOAD_LIMIT = 128 * 1024 * 1024;
/**
 * A lock for each value of a hash of channel names. The order of a channel depends on its lock, so
 * this number must never change.
 */
export const LOCKS = 16_384;
/** The number of rows that are removed at a time. */
export const BATCH = 1_000;

/** The channel of LISTEN and NOTIFY that wakes readers. */
export const WAKE_CHANNEL = "broadcaster_log";

/**
 * The epoch of a log. The epoch includes the ids of the tables, so that a copy, such as by
 * `pg_dump`, is another log.
 */
export const EPOCH: string = "left(md5(meta.epoch || meta.tableoid::text " +
  "|| 'broadcaster.log'::regclass::oid::text || 'broadcaster.ids'::regclass::oid::text), 8)";

/** The one row of meta. The limit tells the planner that there is only one. */
export const META: string =
  `(select ${EPOCH} as epoch from broadcaster.meta as meta limit 1) as meta`;

/** Greater than any id that fits into a JavaScript number. */
export const END: string = String(2 ** 53);

/**
 * A time in microseconds, as in places. The operands have the same type. Otherwise a foreign
 * operator, in a schema of the `search_path`, could match better.
 */
export function microsOf(time: string): string {
  return `(extract(epoch from ${time}) * 1000000::numeric)::bigint`;
}

/** The hash for the lock of a channel. Locks are taken in order. */
export const HASH: string = `hashtext(name) & ${LOCKS - 1}`;
/** The lock for maintenance. */
export const UPKEEP = -1;

/** The tables of the log. */
export const TABLES: readonly string[] = ["log", "meta", "trimmed", "keys", "outbox", "locks"];
/** The functions of the log. */
export const FUNCTIONS: readonly string[] = [
  "store(text[],bytea[],jsonb[],text[],bigint[],boolean)",
  "publish(text,text,jsonb)",
  "publish(text,bytea,jsonb)",
  ...["tidy()", "note()", "number()", "renew()", "mark()"],
];

const OIDS = TABLES.map((name) => `to_regclass('broadcaster.${name}')`).join(", ");

/**
 * The parts of the log and their definitions. Expressions are left out, since they differ between
 * versions of Postgres.
 */
export const SHAPE: string = `
  select class.relname || '.' || attname, concat_ws(' ', relkind, format_type(atttypid, atttypmod),
      attnotnull)
    from pg_class as class join pg_attribute on attrelid = class.oid
    where class.oid in (${OIDS}) and attnum > 0 and not attisdropped
  union all select 'sequence ids', concat_ws(' ', seqtypid, seqincrement, seqmax, seqcycle)
    from pg_sequence where seqrelid = to_regclass('broadcaster.ids')
  union all select 'constraint ' || conname, concat_ws(' ', contype, conkey, convalidated)
    from pg_constraint where contype in ('c', 'p') and conrelid in (${OIDS})
  union all select 'trigger ' || tgname, concat_ws(' ', tgfoid::regproc, tgtype, tgenabled)
    from pg_trigger where not tgisinternal and tgrelid in (${OIDS})
  union all select 'function ' || name, md5(concat_ws(' ', prosrc, prosecdef, proconfig))
    from unnest(array['state()', '${FUNCTIONS.join("', '")}']) as name
    join pg_proc on pg_proc.oid = to_regprocedure('broadcaster.' || name)`;

/** The newest id, if the sequence is behind it. */
export const BEHIND: string = `select max(id) as id from (
    select id from broadcaster.log order by created desc limit ${BATCH}
  ) as newest having max(id) > (select last_value from broadcaster.ids)`;
