// `npm run serve`: the built Worker on this machine, without the development proxy and at full speed.

import "./quiet.ts";
import { closeOnSignal, command } from "./command.ts";
import { ensureSecrets } from "./local-secrets.ts";
import { serve } from "./local-server.ts";
import { readProject } from "./project.ts";
import { readSettings } from "./settings.ts";

command(async () => {
  const settings = readSettings(readProject(), process.env);
  const secrets = await ensureSecrets(settings.stateDir, process.env);
  const server = await serve({ ...settings, vars: { ...settings.vars, ...secrets } });
  closeOnSignal(() => server.close());
  // Programs wait for this line.
  console.log(`Ready on ${server.url}`);
});
