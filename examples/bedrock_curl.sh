#!/usr/bin/env bash
# Everything the gateway does with Amazon Bedrock, by curl. Start one first (`make demo`), then: bash examples/bedrock_curl.sh
set -euo pipefail

BASE_URL=${OPENAI_BASE_URL:-http://127.0.0.1:3000/v1}
MODEL=${MODEL:-bedrock-demo}
FLOW_MODEL=${FLOW_MODEL:-bedrock-flow-demo}
RUNTIME_MODEL=${RUNTIME_MODEL:-bedrock-runtime-demo}

# -N shows every token as it comes; -f makes a refusal an error.
ask() {
  curl -fsSN "$BASE_URL/chat/completions" -H "Authorization: Bearer ${OPENAI_API_KEY:-none}" \
    -H 'Content-Type: application/json' "$@"
}

echo '# An agent, streamed'
ask -d '{"model": "'"$MODEL"'", "stream": true, "messages": [{"role": "user", "content": "Count to 5."}]}'

echo '# A session: its id is in the header x-session-id'
headers=$(mktemp)
trap 'rm -f "$headers"' EXIT
ask -D "$headers" -d '{"model": "'"$MODEL"'", "messages": [{"role": "user", "content": "My name is Ada."}]}'
id=$(sed -n 's/^x-session-id: \([0-9A-Za-z._:-]*\).*/\1/p' "$headers")

echo
echo '# It goes on there: only the new message is sent'
ask -H "x-session-id: $id" \
  -d '{"model": "'"$MODEL"'", "messages": [{"role": "user", "content": "What is my name?"}]}'

echo
echo '# A function that the agent wants called, and its result'
answer=$(ask -d '{"model": "'"$MODEL"'", "messages": [{"role": "user", "content": "Please track parcel 77."}]}')
echo "$answer"
call=$(sed -n 's/.*"id":"\(call_[0-9a-f]*_0\)".*/\1/p' <<< "$answer")
ask -d '{"model": "'"$MODEL"'", "messages": [
  {"role": "user", "content": "Please track parcel 77."},
  {"role": "assistant", "tool_calls": [
    {"id": "'"$call"'", "type": "function", "function": {"name": "track", "arguments": "{\"parcel\":77}"}}]},
  {"role": "tool", "tool_call_id": "'"$call"'", "content": "It is in Ulm."}]}'

echo
echo '# What only Bedrock knows goes into the member bedrock'
ask -d '{"model": "'"$MODEL"'", "messages": [{"role": "user", "content": "Count to 3."}],
  "bedrock": {"sessionAttributes": {"plan": "gold"}, "enableTrace": false}}'

echo
echo '# A flow'
ask -d '{"model": "'"$FLOW_MODEL"'", "messages": [{"role": "user", "content": "A trip to the sea."}]}'

echo
echo '# A runtime of AgentCore'
ask -d '{"model": "'"$RUNTIME_MODEL"'", "stream": true, "messages": [{"role": "user", "content": "Count to 3."}]}'
