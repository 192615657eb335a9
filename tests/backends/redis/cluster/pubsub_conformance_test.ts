/** `redis://` in a cluster passes the conformance suite. */

import { suite } from "../../harnesses.ts";

suite("redis in a cluster");
