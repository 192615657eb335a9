import postgres from "postgres";

/** A database of a test's own, which goes with it. */
export class TestDatabase implements AsyncDisposable {
  /** As a raw client reaches it. */
  readonly url: string;
  /** A raw client of it: what is not ours. */
  readonly sql: postgres.Sql;
  readonly #server: string;
  readonly #name: string;
  readonly #roles: string[] = [];
  readonly #clients: postgres.Sql[] = [];

  private constructor(server: string, name: string) {
    this.#server = server;
    this.#name = name;
    this.url = server.replace(/[^/]*$/, name);
    this.sql = postgres(this.url, { onnotice: () => {}, max: 40 });
  }

  /** Creates it on a server. */
  static async create(server: string): Promise<TestDatabase> {
    const name = `broadcaster_${crypto.randomUUID().replaceAll("-", "")}`;
    await TestDatabase.#ask(server, `create database ${name}`);
    return new TestDatabase(server, name);
  }

  /** Its log, as a broadcast reaches it. */
  get log(): string {
    return this.logAs();
  }

  /** Its log, as a role reaches it. */
  logAs(role?: string): string {
    return this.#as(role).replace(/^[^:]*/, "postgres-stream");
  }

  /** Creates a role that may log in, and goes with the database. */
  async role(name: string): Promise<string> {
    const role = `${name}_${this.#name.slice(-12)}`;
    await this.sql.unsafe(`create role ${role} login`);
    this.#roles.push(role);
    return role;
  }

  /** Makes a new role the owner of the database. */
  async ownedBy(name: string): Promise<string> {
    const role = await this.role(name);
    await this.sql.unsafe(`alter database ${this.#name} owner to ${role}`);
    return role;
  }

  /** A raw client of a role, with one connection. */
  as(role: string): postgres.Sql {
    const client = postgres(this.#as(role), { onnotice: () => {}, max: 1 });
    this.#clients.push(client);
    return client;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.sql, ...this.#clients].map((one) => one.end({ timeout: 1 })));
    await TestDatabase.#ask(this.#server, `drop database ${this.#name} with (force)`);
    for (const role of this.#roles) await TestDatabase.#ask(this.#server, `drop role ${role}`);
  }

  #as(role?: string): string {
    return role === undefined ? this.url : this.url.replace(/\/\/(?:[^@]*@)?/, `//${role}@`);
  }

  static async #ask(server: string, statement: string): Promise<void> {
    const sql = postgres(server, { max: 1, onnotice: () => {} });
    await sql.unsafe(statement);
    await sql.end();
  }
}
