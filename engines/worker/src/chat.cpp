// llama.cpp's chat layer for Rust: renders conversations, and reads what a model wrote. It is a C++ interface
// (`common/chat.h`), which this turns into a C one. Values cross as JSON; nothing is thrown across the edge.
//
// Rules: ORCH-ENG-26

#include "chat.h"
#include "json.h"
#include "log.h"

#include <cstdlib>
#include <cstring>
#include <exception>
#include <memory>
#include <string>

using json = common_json;

struct worker_chat {
    common_chat_templates_ptr templates;
};

struct worker_chat_parser {
    common_chat_parser_params params;
    common_chat_msg           read;
};

namespace {

char * copy_of(const std::string & text) {
    char * copy = static_cast<char *>(std::malloc(text.size() + 1));
    if (copy != nullptr) {
        std::memcpy(copy, text.c_str(), text.size() + 1);
    }
    return copy;
}

// Runs `work`; an exception becomes a text in `error` and a null as the result.
template <typename Work> auto guarded(char ** error, Work work) noexcept -> decltype(work()) {
    *error = nullptr;
    try {
        return work();
    } catch (const std::exception & thrown) {
        *error = copy_of(thrown.what());
    } catch (...) {
        *error = copy_of("an error without a text");
    }
    return nullptr;
}

common_chat_templates_inputs inputs_of(const json & request) {
    common_chat_templates_inputs inputs;
    inputs.messages               = common_chat_msgs_parse_oaicompat(request.at("messages"));
    inputs.tools                  = common_chat_tools_parse_oaicompat(request.at("tools"));
    inputs.tool_choice            = common_chat_tool_choice_parse_oaicompat(request.at("tool_choice"));
    inputs.parallel_tool_calls    = request.at("parallel_tool_calls").get<bool>();
    inputs.enable_thinking        = request.at("enable_thinking").get<bool>();
    inputs.reasoning_format       = COMMON_REASONING_FORMAT_DEEPSEEK;
    inputs.json_schema            = request.value("json_schema", "");
    const bool continues          = request.at("continue_final_message").get<bool>();
    inputs.continue_final_message = continues ? COMMON_CHAT_CONTINUATION_AUTO : COMMON_CHAT_CONTINUATION_NONE;
    inputs.add_generation_prompt  = !continues;
    for (const auto & [name, value] : request.at("template_arguments").items()) {
        inputs.chat_template_kwargs[name] = value.dump();
    }
    return inputs;
}

json rendered(const common_chat_params & params) {
    json triggers = json::array();
    for (const auto & trigger : params.grammar_triggers) {
        triggers.push_back({{"kind", static_cast<int>(trigger.type)}, {"value", trigger.value}});
    }
    return {
        {"prompt", params.prompt},
        {"grammar", params.grammar},
        {"grammar_lazy", params.grammar_lazy},
        {"grammar_triggers", triggers},
        {"preserved_tokens", params.preserved_tokens},
        {"stops", params.additional_stops},
        {"thinking_start", params.supports_thinking ? params.thinking_start_tag : std::string()},
        {"thinking_ends", params.thinking_end_tags},
        {"format", static_cast<int>(params.format)},
        {"generation_prompt", params.generation_prompt},
        {"parser", params.parser},
    };
}

// What `now` has beyond what `before` had. A text that is not the beginning of the later one is left as it was said:
// nothing that was told can be taken back.
json added(const common_chat_msg & before, const common_chat_msg & now) {
    const auto beyond = [](const std::string & old, const std::string & fresh) {
        return fresh.size() > old.size() && fresh.compare(0, old.size(), old) == 0 ? fresh.substr(old.size()) : std::string();
    };
    json calls = json::array();
    for (size_t at = 0; at < now.tool_calls.size(); at++) {
        const common_chat_tool_call   nothing;
        const bool                    is_new = at >= before.tool_calls.size();
        const common_chat_tool_call & old    = is_new ? nothing : before.tool_calls[at];
        const common_chat_tool_call & fresh  = now.tool_calls[at];
        const std::string arguments = beyond(old.arguments, fresh.arguments);
        if (is_new || !arguments.empty()) {
            calls.push_back({{"index", at}, {"begins", is_new}, {"id", fresh.id}, {"name", fresh.name}, {"arguments", arguments}});
        }
    }
    return {
        {"reasoning", beyond(before.reasoning_content, now.reasoning_content)},
        {"content", beyond(before.content, now.content)},
        {"calls", calls},
    };
}

} // namespace

// The templates of a model, from their source.
extern "C" worker_chat * worker_chat_open(const char * source, const char * bos, const char * eos, char ** error) noexcept {
    return guarded(error, [&] {
        // Its log goes to the standard error by a thread of its own; what matters is returned.
        common_log_pause(common_log_main());
        // What is wrong with a template gets lost in the other call.
        const common_chat_template parsed(source, bos, eos);
        return new worker_chat{ common_chat_templates_init(nullptr, source, bos, eos) };
    });
}

extern "C" void worker_chat_close(worker_chat * chat) noexcept {
    delete chat;
}

// What the templates can do: an object of names and booleans.
extern "C" char * worker_chat_abilities(const worker_chat * chat, char ** error) noexcept {
    return guarded(error, [&] {
        json abilities = json::object();
        for (const auto & [name, is_there] : common_chat_templates_get_caps(chat->templates.get())) {
            abilities[name] = is_there;
        }
        abilities["thinking"] = common_chat_templates_support_enable_thinking(chat->templates.get());
        return copy_of(abilities.dump());
    });
}

// Renders a request; see `inputs_of` for what it holds, and `rendered` for the result.
extern "C" char * worker_chat_render(const worker_chat * chat, const char * request, char ** error) noexcept {
    return guarded(error, [&] {
        const auto params = common_chat_templates_apply(chat->templates.get(), inputs_of(json::parse(request)));
        return copy_of(rendered(params).dump());
    });
}

// A reader of the answer to what was rendered.
extern "C" worker_chat_parser * worker_chat_parser_open(int format, const char * generation_prompt, const char * parser, char ** error) noexcept {
    return guarded(error, [&] {
        auto reader = std::make_unique<worker_chat_parser>();
        reader->params.format            = static_cast<common_chat_format>(format);
        reader->params.reasoning_format  = COMMON_REASONING_FORMAT_DEEPSEEK;
        reader->params.generation_prompt = generation_prompt;
        if (*parser != 0) {
            reader->params.parser.load(parser);
        }
        return reader.release();
    });
}

extern "C" void worker_chat_parser_close(worker_chat_parser * parser) noexcept {
    delete parser;
}

// Reads the answer so far, from its start, and tells what is new in it.
extern "C" char * worker_chat_parser_read(worker_chat_parser * parser, const char * text, size_t bytes, bool is_partial, char ** error) noexcept {
    return guarded(error, [&] {
        auto now = common_chat_parse(std::string(text, bytes), is_partial, parser->params);
        const auto news = added(parser->read, now);
        if (now.content.size() >= parser->read.content.size()) {
            parser->read = std::move(now);
        }
        return copy_of(news.dump());
    });
}

extern "C" void worker_chat_free(char * text) noexcept {
    std::free(text);
}
