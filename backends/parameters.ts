/**
 * The URL parameters of each broker: supported ones, ignored ones of other clients, and advice
 * about others.
 *
 * @module
 */

/** Paths of PEM files. */
const PEM = ["ca", "cert", "key"];

/** Parameters of the Redis schemes. */
export const REDIS = {
  unix: true,
  parameters: [
    ...["prefix", "cluster", "sentinel", "sentinelUsername", "sentinelPassword", ...PEM],
    ...["db", "family", "protocol", "tls", "ssl", "ssl_cert_reqs", "client_name"],
  ],
  // Pools, timeouts, retries and decoding in URLs of redis-py, ioredis, go-redis and Lettuce.
  ignored: [
    ...["allowUsernameInURI", "connectTimeout", "connect_timeout", "conn_max_idle_time"],
    ...["conn_max_lifetime", "decode_responses", "dial_timeout", "enableReadyCheck", "encoding"],
    ...["encoding_errors", "health_check_interval", "idle_timeout", "keepAlive", "lazyConnect"],
    ...["maxRetriesPerRequest", "max_connections", "max_idle_conns", "max_retries"],
    ...["max_retry_backoff", "min_idle_conns", "min_retry_backoff", "pool_fifo", "pool_size"],
    ...["pool_timeout", "read_timeout", "retry_on_error", "retry_on_timeout"],
    ...["socket_connect_timeout", "socket_keepalive", "socket_timeout", "write_timeout"],
  ],
  hints: {
    "ssl_ca_certs": 'use "ca"',
    "ssl_ca_path": 'use "ca", the path of a file',
    "ssl_certfile": 'use "cert"',
    "ssl_keyfile": 'use "key"',
    "ssl_check_hostname": "the name is checked unless ssl_cert_reqs is none",
    "rejectUnauthorized": 'use "ssl_cert_reqs=none"',
    "skip_verify": 'use "ssl_cert_reqs=none"',
    "password": "write it before the host: redis://:password@host",
    "username": "write it before the host: redis://user:password@host",
    "master_name": 'use "sentinel"',
    "sentinelMasterId": 'use "sentinel"',
    "virtual_host": "write the database as the path, or as db",
    "keyPrefix": 'use "prefix"',
  },
} as const;

const IN_USERINFO = "write it before the host: postgres://user:password@host/database";
const IN_OPTIONS = "write options=-c%20name=value";
const NO_FILE = "libpq's files are not read, write user, password and host into the URL";

/** Parameters of the Postgres schemes, from libpq, hosting providers and Prisma. */
export const POSTGRES = {
  parameters: [
    ...[
      "sslmode",
      ...PEM,
      "sslrootcert",
      "sslcert",
      "sslkey",
      "ssl",
      "sslaccept",
      "sslnegotiation",
    ],
    ...["channel_binding", "gssencmode", "host", "port", "target_session_attrs"],
    ...["connect_timeout", "application_name", "options", "pgbouncer"],
  ],
  ignored: [
    // The number of connections is fixed.
    ...["connection_limit", "pool_timeout", "pool_mode", "pool_size", "statement_cache_size"],
    ...["max_idle_connection_lifetime", "socket_timeout", "keepalives", "keepalives_idle"],
    ...["keepalives_interval", "keepalives_count", "tcp_user_timeout", "fallback_application_name"],
    // The client always uses UTF-8, and libpq's meaning of `sslmode`.
    ...["client_encoding", "uselibpqcompat", "supa", "workaround"],
  ],
  hints: {
    user: IN_USERINFO,
    password: IN_USERINFO,
    dbname: "write it after the host: postgres://host/database",
    hostaddr: "write it as the host",
    passfile: NO_FILE,
    service: NO_FILE,
    sslpassword: "use a key without a passphrase",
    prepare: "write pgbouncer=true",
    prepareThreshold: "write pgbouncer=true",
    "statement_timeout": IN_OPTIONS,
    "lock_timeout": IN_OPTIONS,
    "search_path": IN_OPTIONS,
    timezone: IN_OPTIONS,
  },
};

/** Parameters of Kafka. */
export const KAFKA = {
  parameters: [
    ...["sasl", "tls", ...PEM, "clientId", "create", "replication"],
    ...["security_protocol", "security.protocol", "sasl_mechanism", "sasl.mechanism"],
  ],
  // Batches, timeouts and retries in configurations of kafka-python and librdkafka.
  ignored: [
    ...["acks", "api_version", "batch_size", "compression_type", "linger_ms", "max_block_ms"],
    ...["metadata_max_age_ms", "request_timeout_ms", "retries", "retry_backoff_ms"],
  ],
  hints: {
    "bootstrap_servers": "write the servers as hosts: kafka://a:9092,b:9092",
    "bootstrap.servers": "write the servers as hosts: kafka://a:9092,b:9092",
    "group_id": "topics are read without a consumer group",
    "group.id": "topics are read without a consumer group",
    "client_id": 'use "clientId"',
    "client.id": 'use "clientId"',
    "username": "write it before the host: kafka://user:password@host",
    "password": "write it before the host: kafka://user:password@host",
    "sasl_plain_username": "write it before the host: kafka://user:password@host",
    "sasl_plain_password": "write it before the host: kafka://user:password@host",
    "ssl": 'use "tls"',
    "ssl_cafile": 'use "ca"',
    "ssl.ca.location": 'use "ca"',
    "ssl_certfile": 'use "cert"',
    "ssl_keyfile": 'use "key"',
  },
};

/** Parameters of the AMQP schemes: the library's own, and other clients' names for the same. */
export const AMQP = {
  parameters: [
    ...[...PEM, "cacertfile", "certfile", "keyfile", "verify", "server_name_indication"],
    ...["heartbeat", "frameMax", "frame_max", "channelMax", "channel_max", "connection_timeout"],
    ...["vhost", "auth_mechanism"],
  ],
  ignored: [
    ...["locale", "connection_attempts", "retry_delay", "socket_timeout", "reconnect_interval"],
    ...["blocked_connection_timeout", "fail_fast", "fail_if_no_peer_cert", "name"],
  ],
};

/** Parameters of MQTT. */
export const MQTT = {
  parameters: [
    ...[...PEM, "rejectUnauthorized", "clientId", "keepalive", "connectTimeout"],
    ...["clean", "cleanSession", "protocolVersion"],
  ],
  ignored: ["protocolId", "reconnectPeriod", "resubscribe", "queueQoSZero"],
};

/** Parameters of the NATS schemes. */
export const NATS = {
  parameters: ["tls", "creds", ...PEM],
  hints: {
    token: "write it before the host, as in nats://token@host",
    user: "write it before the host, as in nats://user:password@host",
    pass: "write it before the host, as in nats://user:password@host",
    credentials: `use "creds", the path of a credentials file`,
    jwt: `use "creds", the path of a credentials file`,
    nkey:
      "pass a connection with an nkeyAuthenticator(), as nats({ client }) or natsStream({ client })",
    tlsFirst:
      "pass a connection with tls.handshakeFirst, as nats({ client }) or natsStream({ client })",
  },
};

/** Advice about brokers over WebSockets. */
const WEB_SOCKETS =
  "for WebSockets, connect a client of the broker's library and pass it: mqtt({ client }) or nats({ client })";

/** Advice about schemes of other clients. */
export const OTHER_SCHEMES: Readonly<Record<string, string>> = {
  ws: WEB_SOCKETS,
  wss: WEB_SOCKETS,
  tcp: "for MQTT, write mqtt://",
  ssl: "for MQTT, write mqtts://",
  tls: "for NATS, write nats://…?tls=true or nats-stream://…?tls=true",
  unix: "for Redis, write redis+unix:// or redis-stream+unix://",
};
