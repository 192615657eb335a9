/** `redis-stream://` passes the conformance suite. */

import { suite } from "../../harnesses.ts";

suite("redis-stream");
