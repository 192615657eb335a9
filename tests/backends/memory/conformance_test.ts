/** `memory://` passes the conformance suite, with and without its log, and with a name. */

import { suite } from "../harnesses.ts";

suite("memory");
suite("memory without a log");
suite("memory with a name");
