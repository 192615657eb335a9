import { join } from "node:path";
import { certify } from "../../services/certificate.ts";
import { serverUser, start } from "../../services/postgres.ts";
import type { Server } from "../../services/server.ts";

/** Who may connect without TLS, who may not, and who needs a password. */
const RULES =
  "host all postgres all trust\nhostssl all careful all trust\nhost all locked all scram-sha-256\n";

/** A server whose certificate has names of its own. */
export class Secured implements AsyncDisposable {
  readonly server: Server;
  readonly certificate: string;
  readonly #folder: string;

  private constructor(server: Server, folder: string, certificate: string) {
    this.server = server;
    this.#folder = folder;
    this.certificate = certificate;
  }

  static async start(names: string): Promise<Secured> {
    const folder = await Deno.makeTempDir();
    const { certificate, key } = await certify(folder, names);
    const rules = join(folder, "rules");
    await Deno.writeTextFile(rules, RULES);
    const user = await serverUser();
    for (const path of user ? [folder, certificate, key, rules] : []) {
      await Deno.chown(path, user!.uid, user!.gid);
    }
    await Deno.chmod(key, 0o600);
    const settings = {
      "ssl": "on",
      "ssl_cert_file": certificate,
      "ssl_key_file": key,
      "hba_file": rules,
    };
    return new Secured(await start({ settings }), folder, certificate);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.server[Symbol.asyncDispose]();
    await Deno.remove(this.#folder, { recursive: true });
  }
}
