// The tests run in workerd, with the real bindings of wrangler.toml.

import { cloudflareTest, readD1Migrations } from "@cloudflare/vitest-plugin";
import { defineConfig } from "vitest/config";

export default defineConfig({
  plugins: [
    cloudflareTest({
      wrangler: { configPath: "./wrangler.toml" },
      miniflare: {
        bindings: {
          TEST_MIGRATIONS: await readD1Migrations("./migrations"),
          // A durable job of six steps takes a fraction of a second, and is looked after every second.
          STEP_MILLISECONDS: "20",
          JOB_WATCH_SECONDS: "1",
        },
      },
    }),
  ],
  test: {
    include: ["test/**/*.test.ts"],
    setupFiles: ["./test/support/migrate.ts"],
    exclude: ["test/process/**"],
    coverage: {
      provider: "istanbul",
      include: ["src/**/*.ts"],
      exclude: ["src/env.d.ts"],
      thresholds: { lines: 95 },
      reporter: ["text-summary", "text"],
    },
  },
});
