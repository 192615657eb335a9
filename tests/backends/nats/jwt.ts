/** An operator, an account and its users, as `nsc` and Synadia Cloud make them. */

import { Buffer } from "node:buffer";
import { nkeys } from "@nats-io/transport-node";

/** A pair of keys, or the public one. */
type Key = ReturnType<typeof nkeys.createUser>;

/** Issues credentials for an account of a server. */
export class Issuer {
  /** The configuration of a server that trusts it. */
  readonly config: string;
  readonly #account = nkeys.createAccount();

  /** Makes new keys. */
  constructor() {
    const operator = nkeys.createOperator();
    const system = nkeys.createAccount();
    const jetstream = { "mem_storage": -1, "disk_storage": -1, streams: -1, consumer: -1 };
    const limits = {
      subs: -1,
      data: -1,
      payload: -1,
      conn: -1,
      leaf: -1,
      imports: -1,
      exports: -1,
    };
    const nats = { type: "account", version: 2, limits: { ...limits, wildcards: true } };
    const own = { ...nats, limits: { ...nats.limits, ...jetstream } };
    const trusted = sign(operator, operator, { type: "operator", version: 2 });
    const [account, unused] = [
      sign(operator, this.#account, own),
      sign(operator, system, nats),
    ];
    this.config = `operator: ${trusted}
      "system_account": ${system.getPublicKey()}
      resolver: MEMORY
      resolver_preload: {
        ${this.#account.getPublicKey()}: ${account}
        ${system.getPublicKey()}: ${unused}
      }`;
  }

  /** The text of a credentials file; they expire after so many seconds, if it is said. */
  credentials(seconds?: number): string {
    const user = nkeys.createUser();
    const unlimited = { subs: -1, data: -1, payload: -1 };
    const expiry = seconds === undefined ? undefined : Math.floor(Date.now() / 1_000) + seconds;
    const jwt = sign(this.#account, user, { type: "user", version: 2, ...unlimited }, expiry);
    const seed = new TextDecoder().decode(user.getSeed());
    return `-----BEGIN NATS USER JWT-----\n${jwt}\n------END NATS USER JWT------\n
-----BEGIN USER NKEY SEED-----\n${seed}\n------END USER NKEY SEED------\n`;
  }
}

function sign(issuer: Key, subject: Key, nats: Record<string, unknown>, exp?: number): string {
  const header = { typ: "JWT", alg: "ed25519-nkey" };
  const claims = {
    jti: subject.getPublicKey(),
    iat: Math.floor(Date.now() / 1_000),
    iss: issuer.getPublicKey(),
    sub: subject.getPublicKey(),
    name: "test",
    ...exp !== undefined && { exp },
    nats,
  };
  const body = [header, claims].map((part) => encoded(JSON.stringify(part))).join(".");
  return `${body}.${encoded(issuer.sign(Buffer.from(body)))}`;
}

function encoded(data: string | Uint8Array): string {
  return Buffer.from(data).toString("base64url");
}
