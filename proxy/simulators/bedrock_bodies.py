"""The shapes of what the Bedrock services take: one table for each operation, limits and all.

Members, limits, required ones and unions are those of the service models, which a test compares; patterns are
written here so that they accept the same names. What a path holds has its shape here too.
"""

from __future__ import annotations

from collections.abc import Mapping

from proxy.simulators.bedrock_shapes import (
    Anything,
    Blob,
    Flag,
    Listed,
    Mapped,
    Number,
    Shape,
    Structure,
    Text,
)

_ALNUM = r"[0-9a-zA-Z]+"
_SESSION = r"[0-9a-zA-Z._:-]+"
_ACCOUNT = r"[0-9]{12}"
_BEDROCK = rf"arn:aws(-[^:]+)?:bedrock:[a-z0-9-]{{1,20}}:{_ACCOUNT}"
_NAME = r"([0-9a-zA-Z][_-]?){1,100}"
_NODE = r"[a-zA-Z](_?[0-9a-zA-Z]){0,99}"
_LAMBDA = (
    rf"arn:(aws[a-zA-Z-]*)?:lambda:[a-z]{{2}}(-gov)?-[a-z]+-\d:{_ACCOUNT}:"
    r"function:[\w.-]+(:(\$LATEST|[\w-]+))?"
)
_KMS = rf"arn:aws(-cn|-us-gov)?:kms:[a-zA-Z0-9-]*:{_ACCOUNT}:key/[a-zA-Z0-9-]{{36}}"
_MODEL = (
    r"arn:aws(-[^:]+)?:bedrock:[a-z0-9-]{0,20}:[0-9]{0,12}:"
    r"(custom-model|foundation-model|inference-profile)/[a-zA-Z0-9-:./]+"
    r"|[a-z0-9-]{1,63}[.][a-z0-9-]{1,63}([.]?[a-z0-9-]{1,63})(:[a-z0-9-]{1,63}){0,2}"
    r"|([0-9a-zA-Z][_-]?)+"
)
_RERANKER = r"(arn:aws(-[^:]+)?:bedrock:[a-z0-9-]{1,20}::foundation-model/(.*))?"
_IMPLICIT = (
    rf"(arn:aws(-[^:]+)?:(bedrock|sagemaker):[a-z0-9-]{{1,20}}:({_ACCOUNT})?:([a-z-]+/)?)?"
    r"([a-z0-9.-]{1,63}){0,2}((:[a-z0-9-]{1,63}){0,2})?(/[a-z0-9]{1,12})?"
)
_GUARDRAIL = rf"[a-z0-9]+|{_BEDROCK}:guardrail/[a-z0-9]+"


def _one_of(*values: str) -> Text:
    return Text(enum=frozenset(values))


def _some(required: str = "", /, **members: Shape) -> Structure:
    return Structure(members, frozenset(required.split()))


def _union(**members: Shape) -> Structure:
    return Structure(members, union=True)


_TEXT = Text()
_STRINGS = Mapped(_TEXT)
SESSION_ID = Text(2, 100, _SESSION)
AGENT_ID = Text(0, 10, _ALNUM)
SOURCE_ARN = Text(0, 2048, rf"{_BEDROCK}:agent/[0-9a-zA-Z]{{10}}")

# Knowledge bases.

_FILTER_MEMBERS: dict[str, Shape] = {}
_FILTER = Structure(_FILTER_MEMBERS, union=True)
_ATTRIBUTE = _some("key value", key=Text(1, 100), value=Anything())
_COMPARED = (
    "equals notEquals greaterThan greaterThanOrEquals lessThan lessThanOrEquals "
    "in notIn startsWith stringContains listContains"
)
_FILTER_MEMBERS.update(dict.fromkeys(_COMPARED.split(), _ATTRIBUTE))
_FILTER_MEMBERS.update(dict.fromkeys(("andAll", "orAll"), Listed(_FILTER, 2)))

_FIELDS = Listed(_some("fieldName", fieldName=Text(1, 2000)), 1, 100)
_RERANK_METADATA = _some(
    "selectionMode",
    selectionMode=_one_of("SELECTIVE", "ALL"),
    selectiveModeConfiguration=_union(fieldsToExclude=_FIELDS, fieldsToInclude=_FIELDS),
)
_RERANKING = _some(
    "type",
    type=_one_of("BEDROCK_RERANKING_MODEL"),
    bedrockRerankingConfiguration=_some(
        "modelConfiguration",
        metadataConfiguration=_RERANK_METADATA,
        modelConfiguration=_some(
            "modelArn",
            additionalModelRequestFields=Mapped(Anything(), Text(1, 100)),
            modelArn=Text(1, 2048, _RERANKER),
        ),
        numberOfRerankedResults=Number(1, 100),
    ),
)
_RESULTS = Number(1, 100)
_RETRIEVAL = _some(
    managedSearchConfiguration=_some(
        filter=_FILTER,
        numberOfResults=_RESULTS,
        rerankingConfiguration=_RERANKING,
        rerankingModelType=_one_of("CUSTOM", "MANAGED", "NONE"),
    ),
    vectorSearchConfiguration=_some(
        filter=_FILTER,
        implicitFilterConfiguration=_some(
            "metadataAttributes modelArn",
            metadataAttributes=Listed(
                _some(
                    "description key type",
                    description=Text(1, 1024, r"[\s\S]+"),
                    key=Text(1, 256, r"[\s\S]+"),
                    type=_one_of("STRING", "NUMBER", "BOOLEAN", "STRING_LIST"),
                ),
                1,
                25,
            ),
            modelArn=Text(1, 2048, _IMPLICIT),
        ),
        numberOfResults=_RESULTS,
        overrideSearchType=_one_of("HYBRID", "SEMANTIC"),
        rerankingConfiguration=_RERANKING,
    ),
)
_KNOWLEDGE_BASE_ID = Text(0, 10, _ALNUM)

# The state of a session.

_IMAGE = _some(
    "format source",
    format=_one_of("png", "jpeg", "gif", "webp"),
    source=_union(bytes=Blob(1)),
)
_RESPONSE_BODY = Mapped(_some(body=_TEXT, images=Listed(_IMAGE)))
_RESULT: Mapping[str, Shape] = {
    "actionGroup": _TEXT,
    "agentId": _TEXT,
    "confirmationState": _one_of("CONFIRM", "DENY"),
    "responseBody": _RESPONSE_BODY,
    "responseState": _one_of("FAILURE", "REPROMPT"),
}
_FILE = _some(
    "name source useCase",
    name=_TEXT,
    source=_some(
        "sourceType",
        sourceType=_one_of("S3", "BYTE_CONTENT"),
        byteContent=_some("data mediaType", data=Blob(1, 10_485_760), mediaType=_TEXT),
        s3Location=_some("uri", uri=Text(1, 1024, r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/.{1,1024}")),
    ),
    useCase=_one_of("CODE_INTERPRETER", "CHAT"),
)
_INLINE_STATE: Mapping[str, Shape] = {
    "conversationHistory": _some(
        messages=Listed(
            _some(
                "content role",
                content=Listed(_union(text=_TEXT)),
                role=_one_of("user", "assistant"),
            )
        )
    ),
    "files": Listed(_FILE),
    "invocationId": _TEXT,
    "promptSessionAttributes": _STRINGS,
    "returnControlInvocationResults": Listed(
        _union(
            apiResult=_some(
                "actionGroup", **_RESULT, apiPath=_TEXT, httpMethod=_TEXT, httpStatusCode=Number()
            ),
            functionResult=_some("actionGroup", **_RESULT, function=_TEXT),
        ),
        1,
        5,
    ),
    "sessionAttributes": _STRINGS,
}
_STATE = _some(
    **_INLINE_STATE,
    knowledgeBaseConfigurations=Listed(
        _some(
            "knowledgeBaseId retrievalConfiguration",
            knowledgeBaseId=_KNOWLEDGE_BASE_ID,
            retrievalConfiguration=_RETRIEVAL,
        ),
        1,
    ),
)

# Asking an agent.

_PERFORMANCE = _some(performanceConfig=_some(latency=_one_of("standard", "optimized")))
_ASKED: Mapping[str, Shape] = {
    "bedrockModelConfigurations": _PERFORMANCE,
    "enableTrace": Flag(),
    "endSession": Flag(),
    "inputText": Text(0, 25_000_000),
    "promptCreationConfigurations": _some(
        excludePreviousThinkingSteps=Flag(), previousConversationTurnsToInclude=Number(0)
    ),
    "streamingConfigurations": _some(applyGuardrailInterval=Number(1), streamFinalResponse=Flag()),
}
INVOKE_AGENT = _some(**_ASKED, memoryId=Text(2, 100, _SESSION), sessionState=_STATE)

# An agent that comes with the question.

_RESOURCE_NAME = Text(pattern=_NAME)
_DESCRIPTION = Text(1, 200)
_LAMBDA_ARN = Text(0, 2048, _LAMBDA)
_KEY_ARN = Text(1, 2048, _KMS)
_MODEL_ID = Text(1, 2048, _MODEL)
_COLLABORATION = _one_of("SUPERVISOR", "SUPERVISOR_ROUTER", "DISABLED")
_ACTION_GROUPS = Listed(
    _some(
        "actionGroupName",
        actionGroupExecutor=_union(**{"lambda": _LAMBDA_ARN}, customControl=_one_of("RETURN_CONTROL")),
        actionGroupName=_RESOURCE_NAME,
        apiSchema=_union(
            payload=_TEXT,
            s3=_some(
                s3BucketName=Text(3, 63, r"[a-z0-9][.a-z0-9-]{1,61}[a-z0-9]"),
                s3ObjectKey=Text(1, 1024, r"[.\-!*_'()a-zA-Z0-9][.\-!*_'()/a-zA-Z0-9]*"),
            ),
        ),
        description=_DESCRIPTION,
        functionSchema=_union(
            functions=Listed(
                _some(
                    "name",
                    description=Text(1, 1200),
                    name=_RESOURCE_NAME,
                    parameters=Mapped(
                        _some(
                            "type",
                            description=Text(1, 500),
                            required=Flag(),
                            type=_one_of("string", "number", "integer", "boolean", "array"),
                        ),
                        _RESOURCE_NAME,
                    ),
                    requireConfirmation=_one_of("ENABLED", "DISABLED"),
                )
            ),
        ),
        parentActionGroupSignature=_one_of(
            "AMAZON.UserInput",
            "AMAZON.CodeInterpreter",
            "ANTHROPIC.Computer",
            "ANTHROPIC.Bash",
            "ANTHROPIC.TextEditor",
        ),
        parentActionGroupSignatureParams=Mapped(Text(0, 100), Text(0, 100)),
    )
)
_PROMPT = _some(
    additionalModelRequestFields=Anything(),
    basePromptTemplate=Text(1, 100_000),
    foundationModel=_MODEL_ID,
    inferenceConfiguration=_some(
        maximumLength=Number(0, 8192),
        stopSequences=Listed(_TEXT, 0, 4),
        temperature=Number(0, 1, whole=False),
        topK=Number(0, 500),
        topP=Number(0, 1, whole=False),
    ),
    parserMode=_one_of("DEFAULT", "OVERRIDDEN"),
    promptCreationMode=_one_of("DEFAULT", "OVERRIDDEN"),
    promptState=_one_of("ENABLED", "DISABLED"),
    promptType=_one_of(
        "PRE_PROCESSING",
        "ORCHESTRATION",
        "KNOWLEDGE_BASE_RESPONSE_GENERATION",
        "POST_PROCESSING",
        "ROUTING_CLASSIFIER",
    ),
)
_DEFINITION: Mapping[str, Shape] = {
    "actionGroups": _ACTION_GROUPS,
    "agentCollaboration": _COLLABORATION,
    "agentName": _RESOURCE_NAME,
    "collaboratorConfigurations": Listed(
        _some(
            "collaboratorInstruction collaboratorName",
            agentAliasArn=Text(0, 2048, rf"{_BEDROCK}:agent-alias/[0-9a-zA-Z]{{10}}/[0-9a-zA-Z]{{10}}"),
            collaboratorInstruction=Text(1, 4000),
            collaboratorName=_RESOURCE_NAME,
            relayConversationHistory=_one_of("TO_COLLABORATOR", "DISABLED"),
        )
    ),
    "customerEncryptionKeyArn": _KEY_ARN,
    "foundationModel": _MODEL_ID,
    "guardrailConfiguration": _some(
        "guardrailIdentifier guardrailVersion",
        guardrailIdentifier=Text(0, 2048, _GUARDRAIL),
        guardrailVersion=Text(1, 5, r"[1-9][0-9]{0,7}|DRAFT"),
    ),
    "idleSessionTTLInSeconds": Number(60, 3600),
    "instruction": Text(40),
    "knowledgeBases": Listed(
        _some(
            "description knowledgeBaseId",
            description=_DESCRIPTION,
            knowledgeBaseId=_KNOWLEDGE_BASE_ID,
            retrievalConfiguration=_RETRIEVAL,
        )
    ),
    "promptOverrideConfiguration": _some(
        "promptConfigurations", overrideLambda=_LAMBDA_ARN, promptConfigurations=Listed(_PROMPT, 0, 10)
    ),
}
INVOKE_INLINE_AGENT = _some(
    "foundationModel instruction",
    **_ASKED,
    **_DEFINITION,
    collaborators=Listed(_some("foundationModel instruction", **_DEFINITION)),
    customOrchestration=_some(executor=_union(**{"lambda": _TEXT})),
    inlineSessionState=_some(**_INLINE_STATE),
    orchestrationType=_one_of("DEFAULT", "CUSTOM_ORCHESTRATION"),
)

# Flows.

FLOW_ID = Text(0, 2048, rf"{_BEDROCK}:flow/[0-9a-zA-Z]{{10}}|[0-9a-zA-Z]{{10}}")
FLOW_ALIAS_ID = Text(0, 2048, rf"{_BEDROCK}:flow/[0-9a-zA-Z]{{10}}/alias/[0-9a-zA-Z]{{10}}|{_ALNUM}")
_NODE_NAME = Text(pattern=_NODE)
INVOKE_FLOW = _some(
    "inputs",
    enableTrace=Flag(),
    executionId=Text(2, 100, _SESSION),
    inputs=Listed(
        _some(
            "content nodeName",
            content=_union(document=Anything()),
            nodeInputName=_NODE_NAME,
            nodeName=_NODE_NAME,
            nodeOutputName=_NODE_NAME,
        ),
        1,
        1,
    ),
    modelPerformanceConfiguration=_PERFORMANCE,
)

# Lists.

MAX_RESULTS = Number(1, 1000)
NEXT_TOKEN = Text(1, 2048, r"\S*")
LIST = _some(maxResults=MAX_RESULTS, nextToken=NEXT_TOKEN)
ID = Text(pattern=r"[0-9a-zA-Z]{10}")
ALIAS_ID = Text(10, 10, _ALNUM)

# AgentCore.

RUNTIME_SESSION_ID = Text(33, 256)
MIME_TYPE = Text(1, 256)
ACCOUNT_ID = Text(pattern=_ACCOUNT)
MOST_PAYLOAD = 100_000_000
