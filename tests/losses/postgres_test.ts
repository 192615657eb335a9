/** What can be lost without notice on PostgreSQL, and that it is told where it can be known. */

import { showLosses } from "./claims.ts";

showLosses("postgres", "postgres-stream");
