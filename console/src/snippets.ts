// How programs are told to use the daemon.

export interface Where {
  base: string;
  token: string;
  model: string;
  /** Tokens of context of a request, once an engine has told. */
  context?: number;
}

export interface Recipe {
  id: string;
  name: string;
  /** Needs the OpenAI plane, or Anthropic's part of it. */
  plane: "native" | "openai" | "anthropic";
  about: string;
  /** Tokens of context that its first request needs, more or less. */
  needs?: number;
  blocks: { title: string; text: string }[];
}

/** What coding agents send with their first request, and room for an answer. */
const AGENT_TOKENS = 32_768;
/** The most that an agent is told to ask for. */
const OUTPUT_TOKENS = 8192;

const json = (value: unknown) => JSON.stringify(value, null, 2);

/** The answer that an agent may ask for: a quarter of the context. */
const outputOf = (context: number) => Math.max(256, Math.min(OUTPUT_TOKENS, Math.floor(context / 4)));

export function recipes(where: Where): Recipe[] {
  return [...programs(where), ...windows(where), ...agents(where), ...machines(where)];
}

function programs({ base, token, model }: Where): Recipe[] {
  const api = `${base}/v1`;
  return [
    {
      id: "cli",
      name: "llama-orch",
      plane: "native",
      about: "The command line beside the daemon. On the same machine it finds the token by itself.",
      blocks: [
        { title: "From another shell or machine", text: `export LLAMA_ORCH_URL=${base}\nexport LLAMA_ORCH_TOKEN=${token}\nllama-orch run "Why is the sky blue?"` },
        { title: "With files and pipes", text: 'git diff | llama-orch run "Write a commit message for this"' },
      ],
    },
    {
      id: "curl",
      name: "curl",
      plane: "native",
      about: "A chat completion; or a task, whose answer says where it stands and when it starts, and whose tokens are read from its stream.",
      blocks: [
        {
          title: "Chat completion",
          text: `export TOKEN=${token}\ncurl -sN ${api}/chat/completions -H "Authorization: Bearer $TOKEN" \\\n  -d '{"model": "${model}", "stream": true, "messages": [{"role": "user", "content": "Why is the sky blue?"}]}'`,
        },
        {
          title: "Submit a task and stream it",
          text: `export TOKEN=${token}\nID=$(curl -s ${api}/tasks -H "Authorization: Bearer $TOKEN" \\\n  -d '{"model_ref": "${model}", "messages": [{"role": "user", "content": "Why is the sky blue?"}], "max_tokens": 128}' \\\n  | sed 's/.*"task_id":"\\([^"]*\\)".*/\\1/')\ncurl -sN ${api}/tasks/$ID/stream -H "Authorization: Bearer $TOKEN"`,
        },
      ],
    },
    {
      id: "openai",
      name: "OpenAI libraries",
      plane: "openai",
      about: "The official libraries run unmodified. The model name with @batch behind it goes to the batch lane.",
      blocks: [
        { title: "Environment", text: `export OPENAI_BASE_URL=${api}\nexport OPENAI_API_KEY=${token}` },
        { title: "Python", text: `from openai import OpenAI\n\nclient = OpenAI(base_url="${api}", api_key="${token}")\nstream = client.chat.completions.create(\n    model="${model}",\n    messages=[{"role": "user", "content": "Why is the sky blue?"}],\n    stream=True,\n)\nfor chunk in stream:\n    print(chunk.choices[0].delta.content or "", end="", flush=True)` },
        { title: "TypeScript", text: `import OpenAI from "openai";\n\nconst client = new OpenAI({ baseURL: "${api}", apiKey: "${token}" });\nconst answer = await client.chat.completions.create({\n  model: "${model}",\n  messages: [{ role: "user", content: "Why is the sky blue?" }],\n});\nconsole.log(answer.choices[0].message.content);` },
      ],
    },
    {
      id: "anthropic",
      name: "Anthropic libraries",
      plane: "anthropic",
      about: "The base URL has no /v1 at its end here.",
      blocks: [
        { title: "Python", text: `from anthropic import Anthropic\n\nclient = Anthropic(base_url="${base}", api_key="${token}")\nmessage = client.messages.create(\n    model="${model}",\n    max_tokens=512,\n    messages=[{"role": "user", "content": "Why is the sky blue?"}],\n)\nprint(message.content[0].text)` },
      ],
    },
  ];
}

function windows({ base, token, model }: Where): Recipe[] {
  const api = `${base}/v1`;
  return [
    {
      id: "open-webui",
      name: "Open WebUI",
      plane: "openai",
      about: "Titles and tags can go to the batch lane, so that they do not wait in front of you.",
      blocks: [
        {
          title: "Container on the same machine",
          text: `docker run -d --name open-webui --network host \\\n  -e OPENAI_API_BASE_URLS=${api} \\\n  -e OPENAI_API_KEYS=${token} \\\n  -e ENABLE_FORWARD_USER_INFO_HEADERS=true \\\n  -e TASK_MODEL_EXTERNAL=${model}@batch \\\n  ghcr.io/open-webui/open-webui:main`,
        },
      ],
    },
    {
      id: "continue",
      name: "Continue",
      plane: "openai",
      about: "In ~/.continue/config.yaml.",
      blocks: [{ title: "config.yaml", text: `models:\n  - name: llama-orch\n    provider: openai\n    model: ${model}\n    apiBase: ${api}\n    apiKey: ${token}\n    roles: [chat, edit, apply]` }],
    },
  ];
}

function agents({ base, token, model, context }: Where): Recipe[] {
  const api = `${base}/v1`;
  const output = context === undefined ? undefined : outputOf(context);
  const limit = context === undefined ? {} : { limit: { context, output } };
  return [
    {
      id: "claude-code",
      name: "Claude Code",
      plane: "anthropic",
      about: "Through Anthropic’s messages, at the daemon’s own address. Its small jobs go to the batch lane.",
      needs: AGENT_TOKENS,
      blocks: [
        {
          title: "Shell",
          text: `export ANTHROPIC_BASE_URL=${base}\nexport ANTHROPIC_AUTH_TOKEN=${token}\nexport ANTHROPIC_MODEL=${model}\nexport ANTHROPIC_SMALL_FAST_MODEL=${model}@batch${output === undefined ? "" : `\nexport CLAUDE_CODE_MAX_OUTPUT_TOKENS=${output}`}\nclaude`,
        },
      ],
    },
    {
      id: "codex",
      name: "Codex",
      plane: "openai",
      about: "In ~/.codex/config.toml; the token goes through the environment.",
      needs: AGENT_TOKENS,
      blocks: [
        {
          title: "config.toml",
          text: `model = "${model}"\nmodel_provider = "llama-orch"${context === undefined ? "" : `\nmodel_context_window = ${context}`}\n\n[model_providers.llama-orch]\nname = "llama-orch"\nbase_url = "${api}"\nenv_key = "LLAMA_ORCH_TOKEN"\nwire_api = "responses"`,
        },
        { title: "Shell", text: `export LLAMA_ORCH_TOKEN=${token}\ncodex` },
      ],
    },
    {
      id: "opencode",
      name: "opencode",
      plane: "openai",
      about: "In opencode.json of the project, or ~/.config/opencode/opencode.json.",
      needs: AGENT_TOKENS,
      blocks: [
        {
          title: "opencode.json",
          text: json({
            $schema: "https://opencode.ai/config.json",
            provider: { "llama-orch": { npm: "@ai-sdk/openai-compatible", name: "llama-orch", options: { baseURL: api, apiKey: token }, models: { [model]: limit } } },
          }),
        },
      ],
    },
    {
      id: "qwen-code",
      name: "Qwen Code",
      plane: "openai",
      about: "Through the environment, or the same in .env of the project.",
      needs: AGENT_TOKENS,
      blocks: [{ title: "Shell", text: `export OPENAI_BASE_URL=${api}\nexport OPENAI_API_KEY=${token}\nexport OPENAI_MODEL=${model}\nqwen` }],
    },
    {
      id: "aider",
      name: "Aider",
      plane: "openai",
      about: "Through the environment, or the same in .env of the project.",
      needs: 8192,
      blocks: [{ title: "Shell", text: `export OPENAI_API_BASE=${api}\nexport OPENAI_API_KEY=${token}\naider --model openai/${model}` }],
    },
  ];
}

function machines({ base, token }: Where): Recipe[] {
  return [
    {
      id: "prometheus",
      name: "Prometheus",
      plane: "native",
      about: "The metrics ask for the token, too.",
      blocks: [{ title: "prometheus.yml", text: `scrape_configs:\n  - job_name: llama-orch\n    authorization:\n      credentials: ${token}\n    static_configs:\n      - targets: ["${base.replace(/^https?:\/\//, "")}"]` }],
    },
  ];
}
