/**
 * Inspects the objects of a log before they are used: their owners, who may add others, and whether
 * they were altered.
 *
 * @module
 */

import { RefusedError } from "../../../core/backend/errors.ts";
import { quote } from "../../../core/util/quote.ts";
import { isMissing } from "../errors.ts";
import type { Query } from "./database.ts";
import { FUNCTIONS, TABLES } from "./parts.ts";
import { VERSION } from "./schema.ts";

const NAMES = `'${[...TABLES, "ids"].join("', '")}'`;
const PROCEDURES = `'${
  [...FUNCTIONS, "state()"].map((name) => name.replace(/\(.*/, "")).join("', '")
}'`;

/**
 * The roles whose code may run with the rights of this role: itself, superusers, the owner of the
 * database, and the roles that it is a member of. A superuser is a member of every role by
 * definition, and trusts only superusers. Every operator has operands of the same type: see
 * `microsOf()`.
 */
const TRUST = `with me as (
    select oid, rolsuper from pg_catalog.pg_roles where rolname = current_user
  ), trusted as (
    select role.oid from pg_catalog.pg_roles as role cross join me
    cross join (select datdba from pg_catalog.pg_database where datname = current_database()) as base
    join pg_catalog.pg_roles as owner on owner.oid = datdba
    where role.oid = me.oid or role.rolsuper or not me.rolsuper and (role.oid = datdba
        or role.rolname = 'pg_database_owner'::name or pg_catalog.pg_has_role(me.oid, role.oid, 'MEMBER'::text))
      or role.rolname = 'pg_database_owner'::name and (owner.rolsuper or owner.oid = me.oid)
  ), space as (
    select oid, nspowner, nspacl from pg_catalog.pg_namespace where nspname = $1::text::name
  ), tables as (
    select class.oid, relname::text as name, relowner, relacl, relkind
    from pg_catalog.pg_class as class join space on relnamespace = space.oid
    where relname::text in (${NAMES})
  )`;

/** Each row has a problem, the role that it concerns, and the object. */
const PROBLEMS = `${TRUST}
  select 'owner', pg_catalog.pg_get_userbyid(owner)::text, what from (
    select nspowner, 'schema'::text from space
    union all select relowner, name from tables
    union all select proowner, proname::text from pg_catalog.pg_proc join space
      on pronamespace = space.oid where proname::text in (${PROCEDURES})
    union all select proowner, 'trigger '::text || tgname::text from pg_catalog.pg_trigger
      join tables on tgrelid = tables.oid join pg_catalog.pg_proc as proc on proc.oid = tgfoid
      where not tgisinternal
  ) as objects (owner, what) where owner not in (select oid from trusted)
  union all select 'grant', case when grantee = 0::oid then 'public'::text
      else pg_catalog.pg_get_userbyid(grantee)::text end, what
  from (
    select nspacl, 'schema'::text, 'CREATE'::text from space
    union all select relacl, name, 'TRIGGER'::text from tables
  ) as objects (acl, what, kind)
  cross join lateral pg_catalog.aclexplode(acl)
  where privilege_type = kind and grantee not in (select oid from trusted)
  union all select 'kind', relkind::text, name from tables
    where relkind <> case when name = 'ids'::text then 'S'::"char" else 'r'::"char" end
  limit 1`;

const STATE = `select version::text, is_complete::text, missing, altered from broadcaster.state()`;

/**
 * Inspects a log.
 *
 * @param query Sends statements.
 * @param schema The schema of the log.
 * @returns The missing object, if any.
 * @throws {RefusedError} If the log must not be used. The message has advice.
 */
export async function inspect(query: Query, schema: string): Promise<string | undefined> {
  const [problem] = await query(PROBLEMS, [schema]);
  if (problem) throw new RefusedError(wordsFor(schema, problem.map(String)));
  const [state] = await stateOf(query);
  if (!state) return "everything, or the row of meta";
  const [version, isComplete, missing, altered] = state;
  if (Number(version) > VERSION) {
    throw new RefusedError(
      `the log in schema ${
        quote(schema)
      } has version ${version}, this library knows version ${VERSION}: update the library`,
    );
  }
  if (altered !== null) {
    throw new RefusedError(
      `the log in schema ${quote(schema)} was altered (${altered}): undo that, or ${ANOTHER}`,
    );
  }
  if (missing !== null) return String(missing);
  if (isComplete === "false") return "rows of locks, or ids beyond those of the table";
  return Number(version) < VERSION ? `what version ${VERSION} adds` : undefined;
}

async function stateOf(query: Query): ReturnType<Query> {
  try {
    return await query(STATE);
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
}

const ANOTHER = "name another schema with ?schema=";

function wordsFor(schema: string, [kind, role = "", name]: readonly string[]): string {
  const isSchema = name === "schema";
  const object = isSchema ? `schema ${quote(schema)}` : `${name} in schema ${quote(schema)}`;
  if (kind === "kind") return `${object} is not part of a log: ${ANOTHER}`;
  if (kind === "owner") {
    return `${object} belongs to role ${
      quote(role)
    }, which could run code with the rights of this role: connect as ${
      quote(role)
    }, let a superuser or the owner of the database own it, or ${ANOTHER}`;
  }
  const right = isSchema ? "CREATE" : "TRIGGER";
  return `role ${
    quote(role)
  } has the right ${right} on ${object}, so it could run code with the rights of others: revoke it, or ${ANOTHER}`;
}
