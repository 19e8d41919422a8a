import { describe, expect, it } from "vitest";
import { matchPath } from "../../../src/transports/rest/routes.ts";

/** The match as plain data. */
function match(path: string) {
  const found = matchPath(path);
  return typeof found === "object" ? { ...found, verbs: Object.fromEntries(found.verbs) } : found;
}

const configs = { GET: "ListTaskPushNotificationConfigs", POST: "CreateTaskPushNotificationConfig" };
const config = { GET: "GetTaskPushNotificationConfig", DELETE: "DeleteTaskPushNotificationConfig" };

// §11.3, each path at the root and under a tenant.
const paths: [string, Record<string, string>, Record<string, string>][] = [
  ["/message:send", { POST: "SendMessage" }, {}],
  ["/message:stream", { POST: "SendStreamingMessage" }, {}],
  ["/tasks", { GET: "ListTasks" }, {}],
  ["/tasks/0-1", { GET: "GetTask" }, { id: "0-1" }],
  ["/tasks/0-1:cancel", { POST: "CancelTask" }, { id: "0-1" }],
  ["/tasks/0-1:subscribe", { GET: "SubscribeToTask", POST: "SubscribeToTask" }, { id: "0-1" }],
  ["/tasks/0-1/pushNotificationConfigs", configs, { taskId: "0-1" }],
  ["/tasks/0-1/pushNotificationConfigs/c", config, { taskId: "0-1", id: "c" }],
  ["/extendedAgentCard", { GET: "GetExtendedAgentCard" }, {}],
];

describe("matchPath (§11.3)", () => {
  it.each(paths)("finds %s at the root and under an agent", (path, verbs, variables) => {
    const version = "1.0";
    expect(match(path)).toEqual({ tenant: undefined, version, verbs, variables });
    expect(match(`/echo${path}`)).toEqual({ tenant: "echo", version, verbs, variables });
  });

  it.each(paths)("finds that of 0.3 for %s below /v1", (path, verbs, variables) => {
    const legacyPath = `/v1${path === "/extendedAgentCard" ? "/card" : path}`;
    const version = "0.3";
    expect(match(legacyPath)).toEqual({ tenant: undefined, version, verbs, variables });
    expect(match(`/echo${legacyPath}`)).toEqual({ tenant: "echo", version, verbs, variables });
  });

  it("decodes variables, also a colon or slash that was encoded", () => {
    expect(match("/tasks/a%2Fb%3Acancel")).toMatchObject({
      verbs: { GET: "GetTask" },
      variables: { id: "a/b:cancel" },
    });
    expect(match("/%65cho/tasks/%C3%A9:cancel")).toMatchObject({ tenant: "echo", variables: { id: "é" } });
  });

  it("takes an unknown suffix for a part of the id", () => {
    expect(match("/tasks/a:b")).toMatchObject({ verbs: { GET: "GetTask" }, variables: { id: "a:b" } });
    expect(match("/tasks/a:b:cancel")).toMatchObject({
      verbs: { POST: "CancelTask" },
      variables: { id: "a:b" },
    });
    expect(match("/tasks/:cancel")).toMatchObject({
      verbs: { GET: "GetTask" },
      variables: { id: ":cancel" },
    });
  });

  it.each([
    "/tasks/%",
    "/tasks/%zz",
    "/tasks/%ff",
    "/tasks/%ed%a0%80",
    "/%ff/tasks",
    "/tasks/a/pushNotificationConfigs/%c0%80",
  ])("finds %s malformed", (path) => {
    expect(match(path)).toBe("malformed");
  });

  it.each([
    "/",
    "/echo",
    "/tasks/",
    "/message:nothing",
    "/echo/message",
    "/a/b/tasks",
    "/v1/tasks/1/2",
    "/tasks//pushNotificationConfigs",
    "//tasks/",
    "/Tasks",
    "/tasks/constructor/__proto__",
  ])("knows nothing at %s", (path) => {
    expect(match(path)).toBeUndefined();
  });

  it("takes an empty first segment for a tenant that no agent has", () => {
    expect(match("//tasks")).toMatchObject({ tenant: "" });
  });
});
