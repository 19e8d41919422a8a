// The tests run in workerd, with the real bindings of wrangler.toml.

import { readdirSync, readFileSync } from "node:fs";
import { cloudflareTest, readD1Migrations } from "@cloudflare/vitest-plugin";
import { defineConfig } from "vitest/config";

/** Every file of src by its path there, for the tests that read the code. Vite's own glob would be cached. */
const sources = readdirSync("src", { recursive: true, encoding: "utf8" })
  .filter((path) => path.endsWith(".ts"))
  .map((path) => [path.replaceAll("\\", "/"), readFileSync(`src/${path}`, "utf8")]);

/** RFC 8037, appendix A.1. */
const signingKey = {
  kty: "OKP",
  crv: "Ed25519",
  kid: "test-key",
  d: "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",
  x: "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
};

export default defineConfig({
  plugins: [
    cloudflareTest({
      wrangler: { configPath: "./wrangler.toml" },
      miniflare: {
        bindings: {
          TEST_MIGRATIONS: await readD1Migrations("./migrations"),
          TEST_SOURCES: Object.fromEntries(sources),
          TEST_WRANGLER_TOML: readFileSync("wrangler.toml", "utf8"),
          // Tests come by names of their own.
          ALLOWED_HOSTS: "*",
          // A durable job of six steps takes a fraction of a second, and is looked after every second.
          STEP_MILLISECONDS: "20",
          JOB_WATCH_SECONDS: "1",
          // Keys of these tests alone.
          ENCRYPTION_KEYS:
            "2:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=,1:Hx4dHBsaGRgXFhUUExIREA8ODQwLCgkIBwYFBAMCAQA=",
          SIGNING_KEYS: JSON.stringify([signingKey]),
          // Of the seeded runs: how many, and the one to repeat.
          TEST_RUNS: process.env.RUNS ?? "1000",
          TEST_SEED: process.env.SEED ?? "",
          ADMIN_KEY: "operator-key-of-these-tests-0123456789",
        },
      },
    }),
  ],
  test: {
    include: ["test/**/*.test.ts"],
    setupFiles: ["./test/support/migrate.ts"],
    exclude: ["test/process/**"],
    // Durable jobs wait for the platform's own clocks, and a busy machine makes everything slower.
    testTimeout: 20_000,
    coverage: {
      provider: "istanbul",
      include: ["src/**/*.ts"],
      exclude: ["src/env.d.ts"],
      thresholds: { lines: 95 },
      reporter: ["text-summary", "text"],
    },
  },
});
