/** `postgres-stream://` with several sessions that read the past passes the conformance suite. */

import { suite } from "../../harnesses.ts";

suite("postgres-stream with a pool");
