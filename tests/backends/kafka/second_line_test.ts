/** `kafka://` on the second line of Kafka passes the conformance suite. */

import { suite } from "../harnesses.ts";

suite("kafka4");
