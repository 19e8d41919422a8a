// `npm run serve`: the built Worker on this machine, without the development proxy and at full speed.

import "./quiet.ts";
import { closeOnSignal, command } from "./command.ts";
import { serve } from "./local-server.ts";
import { readProject } from "./project.ts";
import { readSettings } from "./settings.ts";

command(async () => {
  const server = await serve(readSettings(readProject(), process.env));
  closeOnSignal(() => server.close());
  // Programs wait for this line.
  console.log(`Ready on ${server.url}`);
});
