import postgres from "postgres";

/** A database of a test's own, which goes with it. */
export class TestDatabase implements AsyncDisposable {
  /** As a raw client reaches it. */
  readonly url: string;
  /** A raw client of it: what is not ours. */
  readonly sql: postgres.Sql;
  readonly #server: string;
  readonly #name: string;

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
    return this.url.replace(/^[^:]*/, "postgres-stream");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.sql.end();
    await TestDatabase.#ask(this.#server, `drop database ${this.#name} with (force)`);
  }

  static async #ask(server: string, statement: string): Promise<void> {
    const sql = postgres(server, { max: 1, onnotice: () => {} });
    await sql.unsafe(statement);
    await sql.end();
  }
}
