/** The example of a backend registers its cases itself. */

import "../../examples/custom_backend.ts";
