/**
 * A parser of server-sent events from the body of an answer.
 *
 * The browser's EventSource cannot send a token. The format:
 * https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
 */

/** Yields each event as {event, id, data}, and null for a keep-alive comment, until the connection ends. */
export async function* eventsOf(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read().catch(() => ({ done: true }));
    if (done) return;
    const blocks = (rest + value).split(/\r?\n\r?\n/);
    rest = blocks.pop();
    for (const block of blocks) yield parseEvent(block);
  }
}

/** Returns the fields of one event; null if it has no data. */
export function parseEvent(block) {
  const fields = { event: "message", id: null, data: null };
  for (const line of block.split(/\r?\n/)) {
    const [, name, value] = /^([^:]*):? ?(.*)$/s.exec(line);
    if (name === "data") fields.data = fields.data === null ? value : `${fields.data}\n${value}`;
    else if (name in fields) fields[name] = value;
  }
  return fields.data === null ? null : fields;
}
