"""OpenAI's own Python library against the gateway: whole replies, a limit, an error, and a stop in mid-stream."""

import sys

import openai

client = openai.OpenAI(base_url=f"{sys.argv[1]}/v1", api_key="none", max_retries=0)
question = [{"role": "user", "content": "why is the sky blue?"}]


def stream(**wishes):
    return client.chat.completions.create(model="chat", messages=question, stream=True, **wishes)


whole = client.chat.completions.create(model="chat", messages=question)
assert whole.choices[0].finish_reason == "stop" and whole.choices[0].message.content, whole
assert whole.usage.completion_tokens > 3, whole.usage

text, finish, usage = "", None, None
for chunk in stream(stream_options={"include_usage": True}):
    usage = chunk.usage or usage
    for choice in chunk.choices:
        text += choice.delta.content or ""
        finish = choice.finish_reason or finish
# The model chooses its words at random.
assert len(text) > 20 and finish == "stop" and usage.completion_tokens > 3, (text, finish, usage)

assert [choice.finish_reason for chunk in stream(max_tokens=5) for choice in chunk.choices][-1] == "length"

try:
    client.chat.completions.create(model="chat", messages=[])
    raise AssertionError("an empty conversation is an error")
except openai.BadRequestError as error:
    assert "messages" in error.message, error

reply = stream()
read = 0
for chunk in reply:
    read += 1
    if read == 6:
        stopped = chunk.id
        break
reply.close()
print(stopped)
