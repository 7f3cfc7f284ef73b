#!/bin/sh
# Makes src/llama/bindings.rs and headers.sha256 anew from the headers of a built llama.cpp.
# Needs bindgen (the command line tool, 0.72) and libclang.
#
# Usage: rust/tea-cli/bindings.sh build/llama-x86_64/include
set -eu
include=$1
out=$(dirname "$0")/src/llama
functions='ggml_(init|free|new_tensor|tensor_overhead|mul_mat|mul_mat_id)'
functions="$functions|ggml_backend_(dev_(count|by_type|backend_reg|supports_op)|load_all_from_path)"
functions="$functions|ggml_backend_(reg_get_proc_address|buft_alloc_buffer|buft_get_alloc_size|buffer_free)"
functions="$functions|llama_(supports_gpu_offload|backend_init|log_set|tokenize|decode|free"
functions="$functions|set_n_threads|token_to_piece|get_memory|get_embeddings_seq|memory_clear|memory_seq_rm"
functions="$functions|batch_get_one|init_from_model|(model|context|sampler_chain)_default_params"
functions="$functions|model_(load_from_file|load_from_file_ptr|free|get_vocab|n_embd_out)"
functions="$functions|vocab_(bos|eos|get_add_bos|get_text|is_control|is_eog|n_tokens)"
functions="$functions|sampler_(chain_init|chain_add|accept|sample|free|init_(penalties|greedy|top_k|top_p|min_p|temp|dist)))"
bindgen --allowlist-function "$functions" --dynamic-loading Functions \
    --dynamic-link-require-all --no-doc-comments \
    --output "$out/bindings.rs" "$include/llama.h" -- "-I$include"
cd "$include"
sha256sum llama.h ggml.h ggml-cpu.h ggml-backend.h ggml-alloc.h ggml-opt.h gguf.h > "$OLDPWD/$out/headers.sha256"
