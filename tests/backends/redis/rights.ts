/** What a user of each scheme needs for the channel "allowed", and nothing else. */
export const LEAST = {
  "redis": "+publish +subscribe +unsubscribe &allowed",
  "redis-stream": "+xadd +xrange +xread +xlen +xinfo|stream +publish +subscribe +unsubscribe " +
    "~allowed &allowed:wake",
} as const;
