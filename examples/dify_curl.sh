#!/usr/bin/env bash
# Everything the gateway does with Dify, by curl. Start one first (`make demo`), then: bash examples/dify_curl.sh
set -euo pipefail

BASE_URL=${OPENAI_BASE_URL:-http://127.0.0.1:3000/v1}
MODEL=${MODEL:-dify-demo}
AGENT_MODEL=${AGENT_MODEL:-dify-agent-demo}
WORKFLOW_MODEL=${WORKFLOW_MODEL:-dify-workflow-demo}

# -N shows every token as it comes; -f makes a refusal an error.
ask() { curl -fsSN -H "Authorization: Bearer ${OPENAI_API_KEY:-none}" "$@"; }
chat() { ask "$BASE_URL/chat/completions" -H 'Content-Type: application/json' "$@"; }

echo '# A chatflow, streamed'
chat -d '{"model": "'"$MODEL"'", "stream": true, "messages": [{"role": "user", "content": "Count to 5."}]}'

echo '# A conversation: its id is in the header x-conversation-id'
files=$(mktemp -d)
trap 'rm -rf "$files"' EXIT
chat -D "$files/headers" \
  -d '{"model": "'"$MODEL"'", "messages": [{"role": "user", "content": "My name is Ada."}]}'
id=$(sed -n 's/^x-conversation-id: \([0-9a-f-]*\).*/\1/p' "$files/headers")

echo
echo '# It goes on there: only the new message is sent'
chat -H "x-conversation-id: $id" \
  -d '{"model": "'"$MODEL"'", "messages": [{"role": "user", "content": "What is my name?"}]}'

echo
echo '# An agent'
chat -d '{"model": "'"$AGENT_MODEL"'", "messages": [{"role": "user", "content": "Count to 3."}]}'

echo
echo '# A workflow; what is no message goes into inputs'
chat -d '{"model": "'"$WORKFLOW_MODEL"'", "inputs": {"tone": "dry"},
  "messages": [{"role": "user", "content": "A trip to the sea."}]}'

echo
echo '# Words to sound, and sound to words'
ask "$BASE_URL/audio/speech" -H 'Content-Type: application/json' -o "$files/said.mp3" \
  -d '{"model": "'"$MODEL"'", "voice": "alloy", "input": "A trip to the sea."}'
ask "$BASE_URL/audio/transcriptions" -F model="$MODEL" -F file=@"$files/said.mp3"
echo
