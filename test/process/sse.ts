// Server-sent events, read the way the HTML standard says: an event counts when its empty line has come, so
// that one cut in the middle is none.

export type ServerEvent = { id: string; event: string; data: string };

/** Returns a function that takes the next bytes and gives the events they complete. */
export function createParser(): (bytes: Uint8Array) => ServerEvent[] {
  const decoder = new TextDecoder();
  let rest = "";
  return (bytes) => {
    rest += decoder.decode(bytes, { stream: true });
    const blocks = rest.split("\n\n");
    rest = blocks.pop() ?? "";
    return blocks.map(parseBlock).filter((event) => event.data !== "");
  };
}

function parseBlock(block: string): ServerEvent {
  const event: ServerEvent = { id: "", event: "message", data: "" };
  for (const line of block.split("\n")) {
    const colon = line.indexOf(":");
    if (colon === 0) continue;
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (name === "id") event.id = value;
    else if (name === "event") event.event = value;
    else if (name === "data") event.data += event.data === "" ? value : `\n${value}`;
  }
  return event;
}
