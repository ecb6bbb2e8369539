// What a context takes of memory, by llama.cpp's own count: its only way to say so is a C++ interface
// (`src/llama-ext.h`), which this turns into a C one. The declarations are those of the version that
// `Cargo.toml` pins; a test compares the count with what a load logs.

#include <cstddef>
#include <cstdint>
#include <map>

struct llama_context;
struct ggml_backend_buffer_type;

struct llama_memory_breakdown_data {
    size_t model   = 0;
    size_t context = 0;
    size_t compute = 0;
};

std::map<ggml_backend_buffer_type *, llama_memory_breakdown_data> llama_get_memory_breakdown(const llama_context * ctx);

extern "C" bool ggml_backend_buft_is_host(ggml_backend_buffer_type * type);

struct worker_memory_use {
    uint64_t weights;
    uint64_t kv_cache;
    uint64_t compute;
};

extern "C" void worker_memory_of(const llama_context * ctx, worker_memory_use * host, worker_memory_use * device) noexcept {
    for (const auto & [type, bytes] : llama_get_memory_breakdown(ctx)) {
        worker_memory_use & use = *(ggml_backend_buft_is_host(type) ? host : device);
        use.weights  += bytes.model;
        use.kv_cache += bytes.context;
        use.compute  += bytes.compute;
    }
}
