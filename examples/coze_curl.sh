#!/usr/bin/env bash
# Everything the gateway does with Coze, by curl. Start one first (`make demo`), then: bash examples/coze_curl.sh
set -euo pipefail

BASE_URL=${OPENAI_BASE_URL:-http://127.0.0.1:3000/v1}
MODEL=${MODEL:-coze-demo}
WORKFLOW_MODEL=${WORKFLOW_MODEL:-coze-workflow-demo}

# -N shows every token as it comes; -f makes a refusal an error.
ask() { curl -fsSN -H "Authorization: Bearer ${OPENAI_API_KEY:-none}" -H 'Content-Type: application/json' "$@"; }

echo '# A chat, streamed'
ask "$BASE_URL/chat/completions" \
  -d '{"model": "'"$MODEL"'", "stream": true, "messages": [{"role": "user", "content": "Count to 5."}]}'

echo '# A conversation: its id is in the header x-conversation-id'
headers=$(mktemp)
trap 'rm -f "$headers"' EXIT
ask "$BASE_URL/chat/completions" -D "$headers" -H 'x-model-type: conversation' \
  -d '{"model": "'"$MODEL"'", "messages": [{"role": "user", "content": "My name is Ada."}]}'
id=$(sed -n 's/^x-conversation-id: \([0-9]*\).*/\1/p' "$headers")

echo
echo '# It goes on there: only the new message is sent'
ask "$BASE_URL/chat/completions" -H "x-conversation-id: $id" \
  -d '{"model": "'"$MODEL"'", "messages": [{"role": "user", "content": "What is my name?"}]}'

echo
echo '# What Coze keeps: the list, the messages; then it is cleared, and deleted'
ask "$BASE_URL/conversations?limit=5"
echo
ask "$BASE_URL/conversations/$id/history?order=asc"
echo
ask -X DELETE "$BASE_URL/conversations/$id?mode=clear"
echo
ask -X DELETE "$BASE_URL/conversations/$id"

echo
echo '# A workflow'
ask "$BASE_URL/chat/completions" -H 'x-conversation-id: trip-1' \
  -d '{"model": "'"$WORKFLOW_MODEL"'", "messages": [{"role": "user", "content": "A trip to the sea."}]}'

echo
echo '# Its session'
ask "$BASE_URL/workflows/sessions/trip-1"
echo
