/** What the URL parameters mean, by broker: the tables of the documents are made of it. */

import { AMQP, KAFKA, MQTT, NATS, POSTGRES, REDIS } from "../../backends/parameters.ts";
import { Broadcast } from "../../mod.ts";

/** A parameter, what it means, and the schemes that have it, if not all of the broker do. */
export interface Meaning {
  readonly names: readonly string[];
  readonly means: string;
  readonly only?: string;
}

/** The parameters of a broker. */
export interface BrokerParameters {
  readonly meanings: readonly Meaning[];
  /** Those that are accepted, and mean nothing. */
  readonly ignored: readonly string[];
  /** What to do about others. */
  readonly hints: Readonly<Record<string, string>>;
}

const CA = { names: ["ca"], means: "The path of a PEM file with the authorities to trust." };
const CERT = {
  names: ["cert", "key"],
  means: "The paths of PEM files with the certificate of this client, and its key.",
};

/** By page. */
export const PARAMETERS: Readonly<Record<string, BrokerParameters>> = {
  memory: {
    meanings: [{
      names: ["history"],
      means: "How many events each channel keeps: 1,000 by default. With 0 there is no log.",
    }],
    ...{ ignored: [], hints: {} },
  },
  redis: {
    meanings: [
      {
        names: ["maxlen"],
        means:
          "How many events each channel keeps, about: the server removes whole blocks, some hundred events late. 10,000 by default; 0 keeps all.",
        only: "redis-stream",
      },
      {
        names: ["prefix"],
        means:
          "Put before each channel's name at the server: several applications can share a server.",
      },
      { names: ["db"], means: "The database, if the path does not name it." },
      { names: ["cluster"], means: "`true` marks a single host as a node of a cluster." },
      {
        names: ["sentinel"],
        means: "The name of the master that the hosts, which are sentinels, watch.",
      },
      {
        names: ["sentinelUsername", "sentinelPassword"],
        means: "The login at the sentinels. That of the URL is for the master.",
      },
      { names: ["tls", "ssl"], means: "`true` for TLS, as `rediss://` has it." },
      {
        names: ["ssl_cert_reqs"],
        means: "`none` accepts every certificate, `required` is the default.",
      },
      ...[CA, CERT],
      { names: ["family"], means: "The version of IP: `0` for both, `4` or `6`." },
      { names: ["protocol"], means: "The version of RESP: `2` or `3`, the default." },
      { names: ["client_name"], means: "The name of the connections at the server." },
    ],
    ignored: REDIS.ignored,
    hints: REDIS.hints,
  },
  postgres: {
    meanings: [
      {
        names: ["schema"],
        means: "The schema of the log: `broadcaster` by default. Each schema is a separate log.",
        only: "postgres-stream",
      },
      {
        names: ["retention"],
        means: "How long events are stored: `30m`, `12h`, `7d`, or `forever`.",
        only: "postgres-stream",
      },
      {
        names: ["pool"],
        means: "How many additional sessions read history: 0 by default.",
        only: "postgres-stream",
      },
      {
        names: ["sslmode"],
        means:
          "`disable`, the default, `allow`, `prefer`, `require`, `verify-ca` or `verify-full`, with libpq's meaning. `no-verify` is another name of `require`.",
      },
      {
        names: ["ca", "sslrootcert"],
        means:
          "The path of a PEM file with the authorities to trust; `system` for those of the runtime.",
      },
      {
        names: ["cert", "sslcert", "key", "sslkey"],
        means: "The paths of PEM files with the certificate of this client, and its key.",
      },
      { names: ["ssl"], means: "`true` for `sslmode=verify-full`." },
      {
        names: ["sslaccept"],
        means:
          "Prisma's: `strict` for `sslmode=verify-full`, `accept_invalid_certs` for `require`.",
      },
      { names: ["sslnegotiation"], means: "`direct` starts with TLS, from PostgreSQL 17 on." },
      {
        names: ["channel_binding"],
        means:
          "`require` for `sslmode=verify-full`: the client cannot bind the password to TLS, and a certificate that is checked protects as well.",
      },
      { names: ["gssencmode"], means: "`disable` or `prefer`. GSSAPI is not supported." },
      {
        names: ["host", "port"],
        means: "The server. A host that starts with a slash is the folder of its Unix socket.",
      },
      {
        names: ["target_session_attrs"],
        means:
          "`any`, `primary` or `read-write`. The backend never stays on a server that accepts no writes.",
      },
      {
        names: ["connect_timeout"],
        means: "How long the server may take to accept a session, in seconds: 10 by default.",
      },
      { names: ["application_name"], means: "The name of the sessions: `broadcaster`." },
      { names: ["options"], means: "Settings of the sessions: `-c%20name=value`." },
      {
        names: ["pgbouncer"],
        means: "`true`: no statement is prepared. A pooler is recognized without it.",
      },
    ],
    ignored: POSTGRES.ignored,
    hints: POSTGRES.hints,
  },
  kafka: {
    meanings: [
      {
        names: ["sasl", "sasl_mechanism", "sasl.mechanism"],
        means:
          "`plain`, `scram-sha-256` or `scram-sha-512`; by default `plain` if the URL has a user.",
      },
      { names: ["tls"], means: "`true` for TLS." },
      {
        names: ["security_protocol", "security.protocol"],
        means: "As other clients write it: `SASL_SSL`, for example.",
      },
      { ...CA, means: `${CA.means} Implies TLS.` },
      { ...CERT, means: `${CERT.means} They imply TLS.` },
      { names: ["clientId"], means: "The name in the brokers' logs: `broadcaster` by default." },
      {
        names: ["create"],
        means: "`false` refuses a channel without a topic instead of creating it.",
      },
      {
        names: ["replication"],
        means: "The replication factor of topics that are created; the broker's by default.",
      },
    ],
    ignored: KAFKA.ignored,
    hints: KAFKA.hints,
  },
  rabbitmq: {
    meanings: [
      {
        names: ["exchange"],
        means: "The topic exchange to publish to: `broadcaster` by default.",
        only: "amqp",
      },
      {
        names: ["retention"],
        means: "How long events are stored: `30m`, `12h`, `7d`, the default, or `forever`.",
        only: "amqp-stream",
      },
      {
        names: ["maxBytes"],
        means: "The limit for the events of one channel, in bytes.",
        only: "amqp-stream",
      },
      {
        names: ["segmentBytes"],
        means:
          "The size of a stream's files: 16 MiB by default. Old events are removed by whole files.",
        only: "amqp-stream",
      },
      {
        names: ["create"],
        means: "`false` refuses a channel without a stream instead of creating it.",
        only: "amqp-stream",
      },
      {
        names: ["maxStreams"],
        means: "How many streams this process may create: 1,000 by default.",
        only: "amqp-stream",
      },
      { names: ["vhost"], means: "The virtual host, if the path names none." },
      { names: ["heartbeat"], means: "The interval of heartbeats in seconds; 0 for none." },
      { names: ["frameMax", "frame_max"], means: "The size of the largest frame, in bytes." },
      { names: ["channelMax", "channel_max"], means: "How many AMQP channels one connection has." },
      { names: ["connection_timeout"], means: "The limit for connecting, in milliseconds." },
      {
        names: ["auth_mechanism"],
        means: "`plain`, `amqplain`, or `external` for a client certificate.",
      },
      { ...CA, names: ["ca", "cacertfile"] },
      { ...CERT, names: ["cert", "certfile", "key", "keyfile"] },
      {
        names: ["verify"],
        means: "`verify_none` accepts every certificate; `verify_peer` is the default.",
      },
      {
        names: ["server_name_indication"],
        means: "The name that the certificate must have, in place of the host.",
      },
    ],
    ignored: AMQP.ignored,
    hints: {},
  },
  mqtt: {
    meanings: [
      { ...CA, means: `${CA.means} Implies TLS.` },
      { ...CERT, means: `${CERT.means} They imply TLS.` },
      {
        names: ["rejectUnauthorized"],
        means: "`false` accepts every certificate.",
      },
      {
        names: ["clientId"],
        means:
          "The name of the connection at the server; a random one by default. A server closes a connection once another one has the same name.",
      },
      {
        names: ["keepalive"],
        means: "The keep-alive interval, in seconds: 10 by default.",
      },
      { names: ["connectTimeout"], means: "The limit for connecting, in milliseconds." },
      { names: ["clean", "cleanSession"], means: "Only `true` is possible." },
      { names: ["protocolVersion"], means: "Only `5` is possible." },
    ],
    ignored: MQTT.ignored,
    hints: {},
  },
  nats: {
    meanings: [
      {
        names: ["stream"],
        means: "The stream of all channels: `broadcaster` by default.",
        only: "nats-stream",
      },
      {
        names: ["retention"],
        means: "How long events are kept: `30m`, `12h`, `7d`, the default, or `forever`.",
        only: "nats-stream",
      },
      {
        names: ["maxlen"],
        means: "How many events of each channel are kept.",
        only: "nats-stream",
      },
      {
        names: ["maxBytes"],
        means: "The size of all events together, in bytes.",
        only: "nats-stream",
      },
      {
        names: ["storage"],
        means: "`file`, the default, or `memory`.",
        only: "nats-stream",
      },
      {
        names: ["replicas"],
        means: "On how many servers of a cluster each event is stored: 1 by default.",
        only: "nats-stream",
      },
      {
        names: ["tls"],
        means: "`true` if the server must have TLS. Without it, TLS is used if it is offered.",
      },
      ...[CA, CERT],
      {
        names: ["creds"],
        means: "The path of a credentials file. It is read again for each connection.",
      },
    ],
    ignored: [],
    hints: NATS.hints,
  },
};

/** The parameters that every scheme has, with their defaults. */
export const COMMON: readonly (Meaning & { readonly standard: string })[] = [
  {
    names: ["buffer"],
    standard: "1024",
    means:
      "How many events a channel keeps for slow and resuming readers: at least 2. It keeps at most 4 MiB; a string counts two bytes per character.",
  },
  {
    names: ["linger"],
    standard: "10s",
    means: "How long a channel stays subscribed after its last subscriber has left.",
  },
  {
    names: ["timeout"],
    standard: "10s",
    means: "How long `publish` and `subscribe` wait while the connection is lost.",
  },
  {
    names: ["probe"],
    standard: "10s",
    means: "How often the connection is checked; 0 for never.",
  },
  {
    names: ["maxMessage"],
    standard: "16777216",
    means:
      "The largest encoded message, in bytes. `publish` rejects a larger one, and one that arrives is a `messageerror`.",
  },
];

/** The names of the parameters that a scheme knows, as its error has them. */
export function knownTo(scheme: string): string[] {
  try {
    new Broadcast(`${scheme}://host?a-name-that-is-near-to-no-other-one=1`);
  } catch (error) {
    const [, names = ""] = /known parameters are (.+)$/.exec((error as Error).message) ?? [];
    return names.split(", ");
  }
  throw new Error(`${scheme}:// accepts every parameter`);
}
