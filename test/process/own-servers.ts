// A folder of state for each test of a file, and the servers that run on it; afterwards neither is left.

import { afterEach, beforeEach } from "vitest";
import { createStateDir, launchServer, removeStateDir, type Server, type ServerOptions } from "./server.ts";

type Options = Omit<ServerOptions, "stateDir">;

export function ownServers() {
  let stateDir = "";
  const servers: Server[] = [];
  beforeEach(async () => {
    stateDir = await createStateDir();
  });
  afterEach(async () => {
    for (const server of servers.splice(0)) await server.kill9();
    await removeStateDir(stateDir);
  });

  function launch(options: Options): Server {
    const server = launchServer({ ...options, stateDir });
    servers.push(server);
    return server;
  }

  return {
    get stateDir() {
      return stateDir;
    },
    /** Starts a server without waiting for it. */
    launch,
    /** Starts a server and waits until it serves. */
    async start(options: Options): Promise<Server & { url: string }> {
      const server = launch(options);
      return { ...server, url: await server.ready };
    },
  };
}
