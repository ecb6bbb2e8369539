// How programs are told to use the daemon.

export interface Where {
  base: string;
  token: string;
  model: string;
}

export interface Recipe {
  id: string;
  name: string;
  /** Needs the OpenAI plane, or Anthropic's part of it. */
  plane: "native" | "openai" | "anthropic";
  about: string;
  blocks: { title: string; text: string }[];
}

const json = (value: unknown) => JSON.stringify(value, null, 2);

export function recipes({ base, token, model }: Where): Recipe[] {
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
      about: "Submit a task, then read its tokens. The answer to the first says where you stand and when it starts.",
      blocks: [
        {
          title: "Submit and stream",
          text: `export TOKEN=${token}\nID=$(curl -s ${api}/tasks -H "Authorization: Bearer $TOKEN" \\\n  -d '{"messages": [{"role": "user", "content": "Why is the sky blue?"}], "max_tokens": 128}' \\\n  | sed 's/.*"task_id":"\\([^"]*\\)".*/\\1/')\ncurl -sN ${api}/tasks/$ID/stream -H "Authorization: Bearer $TOKEN"`,
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
    {
      id: "aider",
      name: "Aider",
      plane: "openai",
      about: "Through the environment, or the same in .env of the project.",
      blocks: [{ title: "Shell", text: `export OPENAI_API_BASE=${api}\nexport OPENAI_API_KEY=${token}\naider --model openai/${model}` }],
    },
    {
      id: "opencode",
      name: "opencode",
      plane: "openai",
      about: "In opencode.json of the project, or ~/.config/opencode/opencode.json.",
      blocks: [
        {
          title: "opencode.json",
          text: json({
            $schema: "https://opencode.ai/config.json",
            provider: { "llama-orch": { npm: "@ai-sdk/openai-compatible", name: "llama-orch", options: { baseURL: api, apiKey: token }, models: { [model]: { limit: { context: 32768, output: 4096 } } } } },
          }),
        },
      ],
    },
    {
      id: "claude-code",
      name: "Claude Code",
      plane: "anthropic",
      about: "Through Anthropic’s messages, at the daemon’s own address.",
      blocks: [{ title: "Shell", text: `export ANTHROPIC_BASE_URL=${base}\nexport ANTHROPIC_AUTH_TOKEN=${token}\nexport ANTHROPIC_MODEL=${model}\nexport ANTHROPIC_SMALL_FAST_MODEL=${model}@batch\nexport CLAUDE_CODE_MAX_OUTPUT_TOKENS=8192\nclaude` }],
    },
    {
      id: "prometheus",
      name: "Prometheus",
      plane: "native",
      about: "The metrics ask for the token, too.",
      blocks: [{ title: "prometheus.yml", text: `scrape_configs:\n  - job_name: llama-orch\n    authorization:\n      credentials: ${token}\n    static_configs:\n      - targets: ["${base.replace(/^https?:\/\//, "")}"]` }],
    },
  ];
}
