/** `redis-stream://` in a cluster passes the conformance suite. */

import { suite } from "../../harnesses.ts";

suite("redis-stream in a cluster");
