/** What can be lost without notice on Redis, and that it is told where it can be known. */

import { showLosses } from "./claims.ts";

showLosses("redis", "redis-stream");
