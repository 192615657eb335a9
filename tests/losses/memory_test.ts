/** What can be lost without notice of one process, and that it is told where it can be known. */

import { showLosses } from "./claims.ts";

showLosses("memory", "broadcast-channel");
