/** `postgres-stream://` passes the conformance suite. */

import { suite } from "../../harnesses.ts";

suite("postgres-stream");
