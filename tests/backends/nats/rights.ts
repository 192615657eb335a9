/** What a user of each scheme needs for the channels "open.>", and nothing else. */
export const LEAST = {
  "nats": `publish: ["open.>"], subscribe: ["open.>", "_INBOX.>"]`,
  "nats-stream":
    `publish: ["broadcaster.open.>", "$JS.API.>"], subscribe: ["broadcaster-live.open.>", "_INBOX.>"]`,
} as const;
