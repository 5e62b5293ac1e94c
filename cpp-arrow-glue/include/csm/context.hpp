// SPDX-License-Identifier: Apache-2.0
// The context regions are opened under. Most programs use the default one and never see it.
#pragma once

#include <csm/status.hpp>

#include <arrow/result.h>
#include <memory>

namespace csm {

using ContextOptions = csm_ctx_options_t;

class Context {
 public:
  // Options as csm_ctx_new() has them, struct_size filled in here.
  static arrow::Result<std::shared_ptr<Context>> Make(ContextOptions options = {}) {
    options.struct_size = sizeof options;
    internal::Call call;
    csm_ctx_t* handle = nullptr;
    ARROW_RETURN_NOT_OK(call(csm_ctx_new(&options, &handle, call.error())));
    return std::shared_ptr<Context>(new Context(handle));
  }

  // The one used where none is named: made at first use, never freed, since pools outlive everything.
  static arrow::Result<std::shared_ptr<Context>> Default() {
    static const auto* context = new arrow::Result<std::shared_ptr<Context>>(Make());
    return *context;
  }

  ~Context() { csm_ctx_free(handle_); }
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  csm_ctx_t* handle() const { return handle_; }

 private:
  explicit Context(csm_ctx_t* handle) : handle_(handle) {}

  csm_ctx_t* const handle_;
};

}  // namespace csm
