// The process tests start real servers on real ports and kill them. They run in Node, one after another:
// each wants the machine for itself.

import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/process/**/*.test.ts"],
    fileParallelism: false,
    testTimeout: 120_000,
    hookTimeout: 120_000,
  },
});
