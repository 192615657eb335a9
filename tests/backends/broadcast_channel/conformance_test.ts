/** `broadcast-channel://` passes the conformance suite. */

import { suite } from "../harnesses.ts";

suite("broadcast-channel");
