/** Certificates of brokers, of clients and of strangers, and their authority. */

import { join } from "node:path";
import { provide, run } from "../../services/debian.ts";

/** A folder with an authority, and what it vouches for: a broker, and a client. */
export class Certificates implements AsyncDisposable {
  readonly #folder: string;

  private constructor(folder: string) {
    this.#folder = folder;
  }

  /** Draws all keys. */
  static async make(): Promise<Certificates> {
    const folder = await Deno.makeTempDir({ prefix: "kafka-tls-" });
    const openssl = await provide("openssl", "openssl");
    const make = (name: string, more: string[]) =>
      run(openssl, [
        ..."req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2".split(" "),
        ...["-keyout", `${name}.key`, "-out", `${name}.cert`, "-subj", `/CN=${name}`, ...more],
      ], { cwd: folder });
    await make("ca", ["-addext", "basicConstraints=critical,CA:TRUE"]);
    const signed = ["-CA", "ca.cert", "-CAkey", "ca.key", "-addext", "basicConstraints=CA:FALSE"];
    await make("broker", [...signed, "-addext", "subjectAltName=IP:127.0.0.1"]);
    await make("client", signed);
    await make("stranger", []);
    const certificates = new Certificates(folder);
    const parts = ["broker.key", "broker.cert", "ca.cert"].map((name) => certificates.read(name));
    // A broker takes only files that end in ".pem".
    await Deno.writeTextFile(certificates.path("broker.pem"), (await Promise.all(parts)).join(""));
    await Deno.writeTextFile(certificates.path("ca.pem"), await certificates.read("ca.cert"));
    return certificates;
  }

  /** The properties of a broker behind TLS, on the listener for clients. */
  broker(protocol: "SSL" | "SASL_SSL"): Record<string, string> {
    return {
      "listener.security.protocol.map": `CLIENT:${protocol},INSIDE:PLAINTEXT,CONTROLLER:PLAINTEXT`,
      "ssl.keystore.type": "PEM",
      "ssl.keystore.location": this.path("broker.pem"),
      "ssl.truststore.type": "PEM",
      "ssl.truststore.location": this.path("ca.pem"),
    };
  }

  /** The parameters of a URL: whom to trust, and who one is. */
  parameters(name?: string): string {
    const own = name ? `&cert=${this.path(`${name}.cert`)}&key=${this.path(`${name}.key`)}` : "";
    return `ca=${this.path("ca.cert")}${own}`;
  }

  /** The path of a file. */
  path(name: string): string {
    return join(this.#folder, name);
  }

  /** The text of a file. */
  async read(name: string): Promise<string> {
    return await Deno.readTextFile(this.path(name));
  }

  /** Removes all. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.#folder, { recursive: true });
  }
}
