/** `memory://` passes the conformance suite, with and without its log. */

import { suite } from "../harnesses.ts";

suite("memory");
suite("memory without a log");
