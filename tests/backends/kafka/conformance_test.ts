/** `kafka://` passes the conformance suite. */

import { suite } from "../harnesses.ts";

suite("kafka");
