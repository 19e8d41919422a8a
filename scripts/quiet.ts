// No usage data, no banner, no log files outside the project, no network, no browser.
//
// Imported for its effect and before anything of wrangler or miniflare: both read the environment.

const quiet: Record<string, string> = {
  WRANGLER_SEND_METRICS: "false",
  WRANGLER_HIDE_BANNER: "true",
  WRANGLER_WRITE_LOGS: "false",
  CLOUDFLARE_CF_FETCH_ENABLED: "false",
};

for (const [name, value] of Object.entries(quiet)) process.env[name] ??= value;
