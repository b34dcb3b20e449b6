// OpenAI's own JavaScript library against the gateway: whole replies, a limit, an error, and a stop in mid-stream.

import assert from "node:assert";
import OpenAI from "openai";

const client = new OpenAI({ baseURL: `${process.argv[2]}/v1`, apiKey: "none", maxRetries: 0 });
const messages = [{ role: "user", content: "why is the sky blue?" }];
const stream = wishes => client.chat.completions.create({ model: "chat", messages, stream: true, ...wishes });

const whole = await client.chat.completions.create({ model: "chat", messages });
assert.equal(whole.choices[0].finish_reason, "stop");
assert(whole.choices[0].message.content.length > 20);

let text = "", finish = null;
for await (const chunk of await stream()) {
  text += chunk.choices[0]?.delta.content ?? "";
  finish = chunk.choices[0]?.finish_reason ?? finish;
}
// The model chooses its words at random.
assert(text.length > 20, text);
assert.equal(finish, "stop");

for await (const chunk of await stream({ max_tokens: 5 })) finish = chunk.choices[0]?.finish_reason ?? finish;
assert.equal(finish, "length");

await assert.rejects(client.chat.completions.create({ model: "chat", messages: [] }), OpenAI.BadRequestError);

const reply = await stream();
let stopped = null, read = 0;
for await (const chunk of reply) {
  stopped = chunk.id;
  if (++read === 6) {
    reply.controller.abort();
    break;
  }
}
console.log(stopped);
